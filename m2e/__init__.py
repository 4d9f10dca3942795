"""Music emotion recognition: a file in, its emotion out.

    import m2e
    record = m2e.load()("song.mp3")
    record.valence, record.arousal, record.selected_moods, record.key

Light to import: torch and transformers are loaded with the first model.
"""

from importlib import import_module

__version__ = "0.1.0"

_LAZY = {
    "load": "m2e.checkpoints.load",
    "load_chords": "m2e.checkpoints.chords",
    "MusicEmotion": "modeling_m2e",
    "MusicEmotionPipeline": "modeling_m2e",
    "AudioError": "modeling_m2e",
}
__all__ = ["__version__", *_LAZY]


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'm2e' has no attribute {name!r}")
