"""Selected moods: which share of tracks has none, and how many of the selected are right; and sounds that are no music.

    python benchmarks/moods.py --panda4q 4Q --emotify EMOTIFY [--model m2e-small] [--sounds 20]

The tracks are 4Q's and Emotify's test splits and the examples. Selection by lift is what records have. Beside it stands
selection by the model's thresholds from the same scores. A selected mood of 4Q is right if an AllMusic word of the
clip means it; moods that no clip of the split has are left out. Made sounds are those of
`datasets_scripts.encoder.not_music` by another seed than in training; they need espeak-ng.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from m2e import load
from m2e.checkpoints.load import EMBEDDED
from m2e.datasets.encoder.not_music import KINDS, SAMPLING_RATE, sounds
from m2e.datasets.registry import read_dataset
from m2e.evaluation.data import labels_of
from m2e.inputs import AUDIO_SUFFIXES
from m2e.storage import write_text
from modeling_m2e.configuration_m2e import JAMENDO_MOODS
from modeling_m2e.descriptors_m2e import is_music
from modeling_m2e.record_m2e import MusicEmotion
from modeling_m2e.words_m2e import select_by_threshold

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "moods.json"
SECONDS = (5.0, 20.0)  # of made sounds
SEED = 1000


def by_threshold(record: MusicEmotion, thresholds: dict[str, float]) -> list[str]:
    """The moods of a record whose scores are above their thresholds."""
    labels, scores = zip(*((mood.label, mood.score) for mood in record.moods), strict=True)
    chosen = select_by_threshold(np.array(scores), np.array([thresholds[label] for label in labels]))
    return [labels[index] for index in chosen]


def shares(selected: Sequence[Sequence[str]], truth: Sequence[Iterable[str]] | None = None) -> dict[str, float]:
    """Share of tracks without a mood, moods of a track, and, of the selected that any track has, the share that is
    right."""
    found = {
        "without": float(np.mean([not each for each in selected])),
        "moods": float(np.mean([len(each) for each in selected])),
    }
    if truth is not None:
        known = {mood for moods in truth for mood in moods}
        pairs = zip(selected, map(set, truth), strict=True)
        right = [mood in moods for each, moods in pairs for mood in each if mood in known]
        found["precision"] = float(np.mean(right)) if right else float("nan")
    return found


def held_out(reader: str, folder: Path) -> tuple[list[str], list[list[str]]]:
    """(files, moods) of the test tracks."""
    dataset = read_dataset(reader, folder)
    labels = np.nan_to_num(labels_of(dataset, JAMENDO_MOODS)[0].moods)
    rows = [row for row, split in enumerate(dataset["split"][:]) if split == "test"]
    moods = [[JAMENDO_MOODS[tag] for tag in np.flatnonzero(labels[row])] for row in rows]
    return [dataset[row]["audio"] for row in rows], moods


def measured(pipe: Any, audio: Iterable[Any], truth: Sequence[Iterable[str]] | None = None) -> dict[str, Any]:
    """The shares of tracks by lift and by threshold; warned: the share that is called no music."""
    records = [pipe(each) for each in audio]
    config = pipe.model.config
    values = config.mood_thresholds or [0.5] * config.num_labels
    thresholds = {config.id2label[index]: value for index, value in enumerate(values)}
    return {
        "tracks": len(records),
        "warned": float(np.mean([not is_music(record.music) for record in records])),
        "lift": shares([record.selected_moods for record in records], truth),
        "threshold": shares([by_threshold(record, thresholds) for record in records], truth),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--panda4q", type=Path, required=True, help="4Q folder")
    parser.add_argument("--emotify", type=Path, required=True, help="Emotify folder")
    parser.add_argument("--model", default=EMBEDDED)
    parser.add_argument("--sounds", type=int, default=20, help="made sounds of each kind and length")
    args = parser.parse_args()
    pipe = load(args.model)
    examples = sorted(path for path in (ROOT / "examples").iterdir() if path.suffix in AUDIO_SUFFIXES)
    result: dict[str, Any] = {"model": args.model, "sets": {}}
    sets = result["sets"]
    sets["4Q, test"] = measured(pipe, *held_out("4q", args.panda4q))
    sets["Emotify, test"] = measured(pipe, held_out("emotify", args.emotify)[0])
    sets["examples"] = measured(pipe, map(str, examples))
    for kind in KINDS:
        made = (each for seconds in SECONDS for each in sounds(kind, args.sounds, seconds, SEED))
        sets[f"not music: {kind}"] = measured(pipe, ((each, SAMPLING_RATE) for each in made))
    write_text(RESULTS, json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
