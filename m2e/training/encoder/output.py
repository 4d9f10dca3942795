"""What training of the encoder leaves: weights in half precision, the fidelity to each teacher, facts and card."""

import json
from pathlib import Path

import numpy as np
from transformers.utils import SAFE_WEIGHTS_NAME

from m2e.publish.card import card
from m2e.publish.facts import FILE, Facts
from m2e.publish.fidelity import FIDELITY
from m2e.storage import write_text
from m2e.training.encoder.data import Pool
from m2e.training.encoder.recipe import EncoderRecipe
from modeling_m2e.modeling_encoder import M2EEncoderModel
from modeling_m2e.weights_m2e import halve_file

TEACHERS = {
    "musicnn_msd": "MusiCNN (Million Song Dataset)",
    "musicnn_mtt": "MusiCNN (MagnaTagATune)",
    "fcn_msd": "FCN (Million Song Dataset)",
    "fcn_jamendo": "FCN (MTG-Jamendo)",
    "crnn_msd": "CRNN (Million Song Dataset)",
    "crnn_jamendo": "CRNN (MTG-Jamendo)",
    "mood_cnn": "the CNN baseline of MTG-Jamendo mood/theme",
    "mn04": "EfficientAT mn04 (AudioSet)",
    "yamnet": "YAMNet (AudioSet)",
    "emotion": "support vector machines on the embeddings of MusiCNN and FCN for valence, arousal and quadrants, which "
    "learnt the training and validation clips of Panda 4Q and EMOPIA (these clips are labelled out of fold), and "
    "linear heads on MusiCNN, which learnt the ratings of EmoMusic and DEAM",
}


COMMAND = "Command: `python -m m2e.training.encoder.train configuration/encoder.yaml --pool POOL --out OUT`"
EARLIER = "Earlier: "
CONTINUED = "Continued from an encoder of this project that was trained likewise."  # where it has no card


def earlier(start: Path) -> list[str]:
    """How the encoder that training continued was trained itself."""
    lines = Facts.load(start).training if (start / FILE).is_file() else []
    return [line if line.startswith(EARLIER) else EARLIER + line for line in lines if line != COMMAND]


def facts(recipe: EncoderRecipe, pool: Pool, rows: np.ndarray) -> Facts:
    """The facts of an encoder that was trained on the clips `rows` of a pool."""
    teachers = "; ".join(TEACHERS.get(name, name) for name in recipe.teachers)
    lengths = ", ".join(f"{seconds:g}" for seconds in sorted(set(recipe.crops)))
    return Facts(
        name="m2e-encoder",
        license="cc-by-nc-sa-4.0",
        summary="Distilled from several published networks, and from heads on them that predict emotion.",
        training=[
            f"Teachers: {teachers}. Targets: their embeddings, standardised, through one linear map each that is "
            "discarded, and their tag probabilities.",
            f"Audio without labels, {pool.seconds[rows].sum() / 3600:.1f} hours: {_sources(pool, rows)}.",
            f"{recipe.steps} steps of {recipe.batch_seconds:g} s of audio, crops of {lengths} s, seed {recipe.seed}. "
            "Changed at random: level, equaliser, bandwidth, pitch and tempo, masks, mixtures.",
            *(earlier(Path(recipe.start)) or [CONTINUED] if recipe.start else []),
            COMMAND,
        ],
        limits="It learnt from mostly Western music, much of it from games. It cannot know more of emotion than its "
        "teachers. Not for decisions about people.",
        license_notes=["CC BY-NC-SA 4.0, because data of the teachers and a part of the audio are non-commercial."],
    )


def _sources(pool: Pool, rows: np.ndarray) -> str:
    parts = []
    for source in sorted({pool.clips[row].source for row in rows}):
        members = [row for row in rows if pool.clips[row].source == source]
        licence = pool.clips[members[0]].licence
        parts.append(f"{source} {pool.seconds[members].sum() / 3600:.1f} h ({licence})")
    return "; ".join(parts)


def write(
    folder: Path, encoder: M2EEncoderModel, recipe: EncoderRecipe, pool: Pool, rows: np.ndarray, fidelity: dict
) -> None:
    """Writes the encoder with its card into a folder, in half precision if that loses nothing."""
    encoder.save_pretrained(folder)
    halve_file(folder / SAFE_WEIGHTS_NAME, encoder)
    write_text(folder / FIDELITY, json.dumps(fidelity, indent=1) + "\n")
    facts(recipe, pool, rows).save(folder)
    write_text(folder / "README.md", card(folder))
