"""The published Music2Emo checkpoints, used as they lie on the hub in "amaai-lab/music2emo" (Apache-2.0).

That repo, and any other or any folder of its layout, holds several variants of one network and a chord recogniser:

    saved_models/J_all.ckpt, D_all.ckpt, E_all.ckpt, P_all.ckpt      one checkpoint per variant
    inference/data/btc_model_large_voca.pt                           shared by all

They become a model folder of this project in the cache, once per commit and variant. The variant is written behind an
@, as in `amaai-lab/music2emo@D_all`; without one it is J_all, which the published inference takes.
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
ENCODER = "m-a-p/MERT-v1-95M"  # CC BY-NC 4.0; at the commit that `MertEncoder` pins, layers 6 and 7, windows of 30 s
CHECKPOINT = "saved_models/{}.ckpt"
CHORDS = "inference/data/btc_model_large_voca.pt"
FORMAT = 2  # of the folders in the cache: raise it when `convert` writes something else


def files(variant: str) -> tuple[str, str]:
    """The two files, relative to the repo, that a variant is made of."""
    if not re.fullmatch(r"\w+", variant):
        raise ModelError(f"{variant!r} is no variant: give a name such as {DEFAULT_VARIANT}.")
    return CHECKPOINT.format(variant), CHORDS


def missing_files(folder: Path, variant: str) -> list[str]:
    """Those of the two files that a folder lacks."""
    return [name for name in files(variant) if not (folder / name).is_file()]


def variants(names: Iterable[str]) -> list[str]:
    """The variants among the file names of a repo."""
    pattern = re.compile(re.escape(CHECKPOINT).replace(r"\{\}", r"(\w+)"))
    return sorted(match[1] for name in names if (match := pattern.fullmatch(name)))


def converted(source: Path, variant: str, name: str, commit: str | None, hub: dict[str, Any]) -> Path:
    """The model folder in the cache that was made of `source`, now or earlier.

    commit: of the repo that `source` is a snapshot of; without one, what the files hold tells versions apart.
    hub: token, cache_dir and local_files_only for the encoder; the folder too is made in cache_dir, else in HF_HOME.
    Raises ModelError for a checkpoint that is none, and whatever the encoder's download raises.
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
    """Writes the model of a published checkpoint and chord recogniser into a new folder; no code of theirs is run."""
    model = convert_music2emo_checkpoint(checkpoint)
    recognizer = ChordRecognizer(convert_btc_checkpoint(chords), decoding="paper")
    encoder = MertEncoder.from_pretrained(ENCODER, **hub)
    if encoder.hidden_size != model.config.embedding_size:
        raise ModelError(
            f"{checkpoint} takes embeddings of {model.config.embedding_size} numbers, {ENCODER} gives "
            f"{encoder.hidden_size}: use a checkpoint that was trained with it."
        )
    processor = M2EProcessor.build(encoder, recognizer, chord_vocabulary=model.config.chord_vocabulary)
    MusicEmotionPipeline(model=model, processor=processor).save_pretrained(folder)
