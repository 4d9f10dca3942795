"""Chords and key without the rest: only the chord recogniser of a model is loaded."""

from os import PathLike, fspath
from pathlib import Path

from m2e.checkpoints.convert_btc import convert_btc_checkpoint
from m2e.checkpoints.load import EMBEDDED, WEIGHTS, download, embedded_model, no_bars, read_json
from m2e.checkpoints.music2emo import CHORDS
from m2e.errors import ModelError, reason
from modeling_m2e import BTCConfig, TrackHarmony
from modeling_m2e.audio_m2e import AudioInput, describe, stream
from modeling_m2e.chords_m2e import ChordRecognizer
from modeling_m2e.key_m2e import estimate_key, key_segments


class ChordPipeline:
    """Audio in, its chords and key out: a record in which all that a mood network would say is None.

    recognizer: hears the chords.  name: what records call the model.
    """

    def __init__(self, recognizer: ChordRecognizer, name: str):
        self.recognizer, self.name = recognizer, name

    def __call__(self, source: AudioInput) -> TrackHarmony:
        """`path`, `duration`, `chords`, `key`, `key_segments` and `model` of one track, decoded once, never held whole.

        The key is None where nothing decides it, and so it is with the key segments. Raises: AudioError.
        """
        rate, reader, samples = self.recognizer.sampling_rate, self.recognizer.stream(), 0
        for block in stream(source, [rate]):
            reader.push(block[rate])
            samples += len(block[rate])
        chords = reader.finish()
        key = estimate_key(chords)
        return TrackHarmony(
            path=describe(source),
            duration=samples / rate,
            key=key,
            chords=chords,
            key_segments=key_segments(chords, key),
            model=self.name,
        )


def load_chords(model: str | PathLike | None = None, decoding: str | None = None) -> ChordPipeline:
    """A pipeline that turns audio into records with chords and key; none of a repo's own code is run.

    model: None for the recogniser inside "m2e-small"; a folder or hub id of a model with chords, of a chord
    recogniser alone, or in the layout of "amaai-lab/music2emo"; or a file, a published BTC checkpoint (.pt).
    decoding: "smooth", chords of plausible duration; or "paper", each frame on its own, as published: the last one may
    reach beyond the end of the track by a tenth of a second. None takes what the model was saved with.

    Raises: ModelError.
    """
    model = EMBEDDED if model is None else fspath(model)
    try:
        with no_bars():
            path, name = _local(model)
            return ChordPipeline(_recognizer(path, model, decoding), name)
    except ModelError:
        raise
    except Exception as error:  # a damaged file fails in as many ways as there are readers
        raise ModelError(f"{model} cannot be loaded ({reason(error)}): get it again.") from error


def _local(model: str) -> tuple[Path, str]:
    """(file or folder that holds the recogniser, what records call it)."""
    if model == EMBEDDED:
        return embedded_model(), model
    path = Path(model).expanduser()
    return (path, path.resolve().name) if path.exists() else (download(model, None, None, {}), model)


def _recognizer(path: Path, model: str, decoding: str | None) -> ChordRecognizer:
    checkpoint = path if path.is_file() else path / CHORDS
    if checkpoint.is_file():
        return ChordRecognizer(convert_btc_checkpoint(checkpoint), decoding)
    own = f"{ChordRecognizer.subfolder}/{WEIGHTS}"
    if not (path / own).is_file() and read_json(path / "config.json").get("model_type") != BTCConfig.model_type:
        raise ModelError(f"{model} holds no chord recogniser: neither {own} nor {CHORDS} is there.")
    return ChordRecognizer.from_pretrained(path, decoding)
