"""Music emotion recognition: predicts the emotion of an audio file.

    import m2e
    record = m2e.load()("song.mp3")
    record.valence, record.arousal, record.selected_moods, record.key

Light to import: torch and transformers are loaded on first use.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_LAZY = {
    "load": "m2e.checkpoints.load",
    "load_audio": "modeling_m2e.audio_m2e:load",
    "load_chords": "m2e.checkpoints.chords",
    "sonify": "m2e.views.sound",
    "MusicEmotion": "modeling_m2e",
    "MusicEmotionPipeline": "modeling_m2e",
    "AudioError": "modeling_m2e",
}
__all__ = ["__version__", *_LAZY]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        module, _, attribute = _LAZY[name].partition(":")
        return getattr(import_module(module), attribute or name)
    raise AttributeError(f"module 'm2e' has no attribute {name!r}")
