"""The published Music2Emo checkpoints in the layout of "amaai-lab/music2emo" on the hub (Apache-2.0).

A repo or folder in that layout holds several variants of one network, and a chord recogniser:

    saved_models/J_all.ckpt, D_all.ckpt, E_all.ckpt, P_all.ckpt      one checkpoint per variant
    inference/data/btc_model_large_voca.pt                           shared by all

A variant is converted to a model folder in the cache, once per commit. It is named after an @, as in
`amaai-lab/music2emo@D_all`; the default is J_all, as in the published inference.
"""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from m2e.checkpoints.convert_btc import convert_btc_checkpoint
from m2e.checkpoints.convert_music2emo import convert_music2emo_checkpoint
from m2e.errors import ModelError
from m2e.storage import write_folder
from modeling_m2e import M2EProcessor, MertEncoder, MusicEmotionPipeline
from modeling_m2e.chords_m2e import ChordRecognizer

DEFAULT_VARIANT = "J_all"
ENCODER = "m-a-p/MERT-v1-95M"  # CC BY-NC 4.0; `MertEncoder` pins the commit and sets layers 6 and 7, windows of 30 s
CHECKPOINT = "saved_models/{}.ckpt"
CHORDS = "inference/data/btc_model_large_voca.pt"
FORMAT = 2  # of the folders in the cache: bump when `convert` writes something else


def files(variant: str) -> tuple[str, str]:
    """The two files of a variant, relative to the repo: checkpoint and chord recogniser."""
    if not re.fullmatch(r"\w+", variant):
        raise ModelError(f"{variant!r} is not a variant: give a name such as {DEFAULT_VARIANT}.")
    return CHECKPOINT.format(variant), CHORDS


def missing_files(folder: Path, variant: str) -> list[str]:
    """The files of a variant that a folder lacks."""
    return [name for name in files(variant) if not (folder / name).is_file()]


def variants(names: Iterable[str]) -> list[str]:
    """The variants among the file names of a repo."""
    pattern = re.compile(re.escape(CHECKPOINT).replace(r"\{\}", r"(\w+)"))
    return sorted(match[1] for name in names if (match := pattern.fullmatch(name)))


def converted(source: Path, variant: str, name: str, commit: str | None, hub: dict[str, Any]) -> Path:
    """The model folder in the cache that holds the converted `source`; converts it if need be.

    commit: of the repo that `source` is a snapshot of; without one, a hash of the files identifies the version.
    hub: token, cache_dir and local_files_only for the encoder; the cache is in cache_dir, by default in HF_HOME.
    Raises ModelError, and the errors of the hub for the encoder.
    """
    from huggingface_hub import constants

    checkpoint, chords = (source / file for file in files(variant))
    version = commit or hashlib.sha256(checkpoint.read_bytes() + chords.read_bytes()).hexdigest()[:40]
    cache = Path(hub.get("cache_dir") or constants.HF_HOME) / "m2e" / f"v{FORMAT}"
    target = cache / f"{name.replace('/', '--')}--{version}--{variant}"
    if not target.is_dir():  # of several processes that convert at once, the first wins and all use its folder
        write_folder(target, lambda folder: convert(checkpoint, chords, folder, hub), replace=False)
    return target


def convert(checkpoint: Path, chords: Path, folder: Path, hub: dict[str, Any]) -> None:
    """Writes the model of a published checkpoint and chord recogniser into a new folder; runs no code from them."""
    model = convert_music2emo_checkpoint(checkpoint)
    recognizer = ChordRecognizer(convert_btc_checkpoint(chords), decoding="paper")
    encoder = MertEncoder.from_pretrained(ENCODER, **hub)
    if encoder.hidden_size != model.config.embedding_size:
        raise ModelError(
            f"{checkpoint} takes embeddings of {model.config.embedding_size} numbers, but {ENCODER} gives "
            f"{encoder.hidden_size}: use a checkpoint that was trained with it."
        )
    processor = M2EProcessor.build(encoder, recognizer, chord_vocabulary=model.config.chord_vocabulary)
    MusicEmotionPipeline(model=model, processor=processor).save_pretrained(folder)
