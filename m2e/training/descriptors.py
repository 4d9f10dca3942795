"""Adds to a model what a linear map can read from its embeddings: whether a track is music, and its attributes.

    python -m m2e.training.descriptors MODEL POOL [--sources NAME ...]

POOL is the encoder's, with the labels that `datasets_scripts/encoder/attributes.py` wrote. "music" is learnt from its
clips against made sounds (`datasets_scripts.encoder.not_music`); an attribute from a teacher, on the scale of its
log-odds. Ridge regression; what is printed and kept in MODEL/descriptors.json was predicted for clips that the map did
not learn from, in folds by artist or recording. An attribute whose correlation with the teacher is below 0.6 is left
out. The same command again replaces what it added.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from transformers.utils import SAFE_WEIGHTS_NAME

from m2e.datasets.encoder.labels import load_labels
from m2e.datasets.encoder.not_music import KINDS, sounds
from m2e.datasets.encoder.pool import SAMPLING_RATE, Clip, clip_samples, read_index
from m2e.publish.card import card
from m2e.publish.facts import Facts
from m2e.storage import write_text
from modeling_m2e import M2EForMusicEmotion, M2EProcessor
from modeling_m2e.descriptors_m2e import ATTRIBUTES, MUSIC
from modeling_m2e.output_m2e import sigmoid
from modeling_m2e.weights_m2e import halve_file

FILE = "descriptors.json"
ABOUT = "Music or not, and attributes: linear maps from the embedding, learnt from "
TEACHER = "vibenet"
TEACHER_LABELS = (
    "acousticness", "danceability", "energy", "instrumentalness", "liveness", "speechiness", "valence",
)  # fmt: skip  # in the order of its labels
SMALLEST_CORRELATION = 0.6
FOLDS = 5
LENGTHS = (3.0, 10.0, 30.0)  # seconds, of sounds and of music that "music" learns from


@dataclass(frozen=True)
class LinearMap:
    """log-odds = embedding @ weight + bias. fidelity: of predictions for clips that it did not learn from."""

    weight: np.ndarray
    bias: float
    fidelity: float


def fit_attribute(embeddings: np.ndarray, log_odds: np.ndarray, groups: np.ndarray) -> LinearMap:
    """The map to a teacher's log-odds (n,); fidelity is the correlation of the attribute with the teacher's."""
    mean, deviation = embeddings.mean(0), np.maximum(embeddings.std(0), 1e-6)
    x = (embeddings - mean) / deviation
    strengths = 10.0 ** np.arange(0, 6)
    apart = np.empty(len(x))
    for learnt, held_out in GroupKFold(FOLDS).split(x, groups=groups):
        apart[held_out] = RidgeCV(strengths).fit(x[learnt], log_odds[learnt]).predict(x[held_out])
    found = RidgeCV(strengths).fit(x, log_odds)
    weight = found.coef_ / deviation
    fidelity = np.corrcoef(sigmoid(apart), sigmoid(log_odds))[0, 1]
    return LinearMap(weight, float(found.intercept_ - mean @ weight), float(fidelity))


def fit_music(music: np.ndarray, others: np.ndarray, groups: np.ndarray) -> LinearMap:
    """The map to the log-odds of music (n, width) against other sounds (m, width); fidelity is the ROC-AUC.

    groups: (n + m,) what must stay together in a fold.
    """
    x, y = np.concatenate([music, others]), np.repeat([1, 0], [len(music), len(others)])
    mean, deviation = x.mean(0), np.maximum(x.std(0), 1e-6)
    x = (x - mean) / deviation

    def fit(rows: np.ndarray) -> LogisticRegression:
        return LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000).fit(x[rows], y[rows])

    apart = np.empty(len(x))
    for learnt, held_out in GroupKFold(FOLDS).split(x, groups=groups):
        apart[held_out] = fit(learnt).decision_function(x[held_out])
    found = fit(np.arange(len(x)))
    weight = found.coef_[0] / deviation
    return LinearMap(weight, float(found.intercept_[0] - mean @ weight), float(roc_auc_score(y, apart)))


def embed(processor: M2EProcessor, waveform: np.ndarray) -> np.ndarray:
    """(width,) the mean embedding of a waveform of the pool's rate, as a prediction has it."""
    return processor.analyze((waveform, SAMPLING_RATE), harmony=False).mean_embedding()


def describe(
    processor: M2EProcessor, pool: Path, clips: Sequence[Clip], sounds_of_each: int, seed: int = 0
) -> tuple[dict[str, LinearMap], dict[str, Any]]:
    """The maps by name, and the report that goes into the model's folder."""
    labels = load_labels(pool, clips, TEACHER)
    rows = np.flatnonzero(labels.present)
    clips = [clips[row] for row in rows.tolist()]
    groups = np.array([f"{clip.source}/{clip.group}" for clip in clips])
    audio = [clip_samples(pool, clip).astype(np.float32) / 32767 for clip in clips]
    embeddings = np.stack([embed(processor, each) for each in audio])
    maps: dict[str, LinearMap] = {}
    left_out: dict[str, LinearMap] = {}
    for column, name in enumerate(TEACHER_LABELS):
        if name in ATTRIBUTES:
            found = fit_attribute(embeddings, labels.embeddings[rows, 0, column].astype(np.float64), groups)
            (maps if found.fidelity >= SMALLEST_CORRELATION else left_out)[name] = found
    rng = np.random.default_rng(seed)
    parts = [embeddings]
    for seconds in LENGTHS[:-1]:
        parts.append(np.stack([embed(processor, _part(each, seconds, rng)) for each in audio]))
    others, other_groups = [], []
    for kind in KINDS:
        for seconds in LENGTHS:
            others += [embed(processor, each) for each in sounds(kind, sounds_of_each, seconds, seed)]
            other_groups += [f"{kind}/{number % FOLDS}" for number in range(sounds_of_each)]
    music = np.concatenate(parts)
    maps[MUSIC] = fit_music(music, np.stack(others), np.concatenate([*[groups] * len(parts), other_groups]))
    report = {
        "clips": len(clips),
        "made_sounds": len(others),
        "teacher": TEACHER,
        "correlation": {name: round(found.fidelity, 3) for name, found in maps.items() if name != MUSIC},
        "left_out": {name: round(found.fidelity, 3) for name, found in left_out.items()},
        "music_roc_auc": round(maps[MUSIC].fidelity, 4),
    }
    return maps, report


def _part(waveform: np.ndarray, seconds: float, rng: np.random.Generator) -> np.ndarray:
    samples = min(round(seconds * SAMPLING_RATE), len(waveform))
    start = rng.integers(len(waveform) - samples + 1)
    return waveform[start : start + samples]


def with_descriptors(model: M2EForMusicEmotion, maps: dict[str, LinearMap]) -> M2EForMusicEmotion:
    """A model of the same weights with these maps."""
    config = type(model.config).from_dict(model.config.to_dict() | {"descriptors": list(maps)})
    described = M2EForMusicEmotion(config)
    described.load_state_dict(
        {name: value for name, value in model.state_dict().items() if not name.startswith("descriptor_head.")}
        | {
            "descriptor_head.weight": torch.tensor(np.stack([each.weight for each in maps.values()])).float().half(),
            "descriptor_head.bias": torch.tensor([each.bias for each in maps.values()]).float().half(),
        }
    )
    return described.eval()


def tell_on_card(folder: Path, report: dict[str, Any]) -> None:
    """Adds a line on the maps to the facts and the card of a model, in place of an earlier one."""
    values = ", ".join(f"{name} {value:.2f}" for name, value in report["correlation"].items())
    line = (
        f"{ABOUT}{report['clips']} clips by {report['teacher']} (GPL-3, used apart), and {report['made_sounds']} made "
        f"sounds that are not music. Correlation with the teacher on clips that the maps did not learn: {values}; "
        f"ROC-AUC of music against other sounds: {report['music_roc_auc']:.3f}."
    )
    facts = Facts.load(folder)
    kept = [each for each in facts.training if not each.startswith(ABOUT)]
    replace(facts, training=[*kept, line]).save(folder)
    write_text(folder / "README.md", card(folder))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of the model, which is changed")
    parser.add_argument("pool", type=Path)
    parser.add_argument("--sources", nargs="+", default=[], help="of the pool; all by default")
    parser.add_argument("--sounds", type=int, default=60, help="made sounds of each kind and length")
    args = parser.parse_args()
    processor = M2EProcessor.from_pretrained(args.model)
    maps, report = describe(processor, args.pool, read_index(args.pool, args.sources), args.sounds)
    model = with_descriptors(M2EForMusicEmotion.from_pretrained(args.model), maps)
    model.save_pretrained(args.model)
    halve_file(args.model / SAFE_WEIGHTS_NAME, model)
    write_text(args.model / FILE, json.dumps(report, indent=1) + "\n")
    tell_on_card(args.model, report)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
