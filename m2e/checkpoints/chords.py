"""Chords and key alone: of a model, only the chord recogniser is loaded."""

from os import PathLike, fspath
from pathlib import Path

from m2e.checkpoints.convert_btc import convert_btc_checkpoint
from m2e.checkpoints.load import EMBEDDED, WEIGHTS, download, embedded_model, limits
from m2e.checkpoints.music2emo import CHORDS
from m2e.errors import ModelError
from m2e.storage import read_json
from modeling_m2e import BTCConfig, TrackHarmony
from modeling_m2e.audio_m2e import AudioInput, describe
from modeling_m2e.chords_m2e import ChordRecognizer
from modeling_m2e.harmony_m2e import analyze_harmony
from modeling_m2e.key_m2e import FITTED, PAPER, key_profile, key_segments
from modeling_m2e.limits_m2e import Limits


class ChordPipeline:
    """Turns audio into a record of its chords and key.

    recognizer: predicts the chords.  name: of the model in records.  key_profile: as in `estimate_key`.
    limits: beyond which a track is refused.
    """

    def __init__(self, recognizer: ChordRecognizer, name: str, key_profile: str = FITTED, limits: Limits | None = None):
        self.recognizer, self.name, self.key_profile, self.limits = recognizer, name, key_profile, limits

    def __call__(self, source: AudioInput) -> TrackHarmony:
        """`path`, `duration`, `chords`, `key`, `key_segments` and `model` of one track, decoded once, never held whole.

        The key is None where nothing decides it. Raises: AudioError.
        """
        harmony = analyze_harmony(source, self.recognizer, self.key_profile, limits=self.limits)
        return TrackHarmony(
            path=describe(source),
            duration=harmony.duration,
            key=harmony.key,
            chords=harmony.chords,
            key_segments=key_segments(harmony.chords, harmony.key),
            model=self.name,
            seconds_used=harmony.seconds_used,
            warnings=list(harmony.warnings),
        )


def load_chords(
    model: str | PathLike | None = None,
    decoding: str | None = None,
    max_duration: float | None = None,
    timeout: float | None = None,
) -> ChordPipeline:
    """A pipeline that turns audio into records with chords and key; it runs no code of the repo.

    model: None for the recogniser inside "m2e-small"; a folder or hub id of a model with chords, of a chord
    recogniser alone, or in the layout of "amaai-lab/music2emo"; or a file, a published BTC checkpoint (.pt).
    decoding: "smooth", chords of plausible duration; or "paper", each frame on its own, as published, but for the last
    one, which ends with the track. None takes the decoding saved with the model.
    max_duration, timeout: refuse tracks that are longer, or whose analysis takes longer, than so many seconds.
    The key is estimated as the whole model estimates it: see `key_profile`.

    Raises: ModelError.
    """
    model = EMBEDDED if model is None else fspath(model)
    path, name = _local(model)
    recognizer = _recognizer(path, model, decoding)
    return ChordPipeline(recognizer, name, _key_profile(path), limits(max_duration, timeout))


def _local(model: str) -> tuple[Path, str]:
    """(file or folder of the recogniser, name of the model in records)."""
    if model == EMBEDDED:
        return embedded_model(), model
    path = Path(model).expanduser()
    return (path, path.resolve().name) if path.exists() else (download(model, None, None, {}), model)


def _recognizer(path: Path, model: str, decoding: str | None) -> ChordRecognizer:
    checkpoint = path if path.is_file() else path / CHORDS
    if checkpoint.is_file():
        return ChordRecognizer(convert_btc_checkpoint(checkpoint), decoding)
    own = f"{ChordRecognizer.subfolder}/{WEIGHTS}"
    if (
        not (path / own).is_file()
        and read_json(path / "config.json", ModelError).get("model_type") != BTCConfig.model_type
    ):
        raise ModelError(f"{model} holds no chord recogniser: neither {own} nor {CHORDS} is there.")
    return ChordRecognizer.from_pretrained(path, decoding)


def _key_profile(path: Path) -> str:
    """The key profile of the whole model in a folder; that of m2e for a chord recogniser alone."""
    if (path / CHORDS).is_file():  # the published models read the paper's chord tokens
        return PAPER
    if path.is_file():
        return FITTED
    return key_profile(read_json(path / "processor_config.json", ModelError).get("chord_vocabulary", "m2e"))
