"""Accuracy of the key estimated from chords: profiles of the literature, the fitted one, keys of songs that modulate.

    python benchmarks/key.py POP909_FOLDER [--renders FOLDER] [--fit]

Chords are POP909's own labels, as they are and with the errors of a recogniser (15 % of the chords), whole songs and
excerpts of 30 s; with --renders also those that the embedded recogniser detects in NNN*.wav of test songs. Scores have
MIREX weighting. One key is asked for where a song has one; --fit prints the constants of key_m2e instead.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import librosa
import mir_eval
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.optimize import minimize

from m2e.checkpoints.load import embedded_model
from m2e.datasets.chords.pop909 import Song, read_songs
from modeling_m2e import key_m2e
from modeling_m2e.chord_labels_m2e import ROOTS, Chord, ChordSegment, parse_chord, pitch_class
from modeling_m2e.chords_m2e import SAMPLING_RATE, ChordRecognizer
from modeling_m2e.key_m2e import FITTED, KEY_PROFILES, MODES, KeySegment, estimate_key, key_segments

RESULTS = Path(__file__).resolve().parent / "results" / "key.json"
ERROR_SHARE = 0.15  # of chords that a recogniser gets wrong
EXCERPT_SECONDS = 30.0
EXCERPTS = 3  # of each song
PENALTY = 3e-6  # on squared weights
SHORT_SECONDS = (2.0, 4.0, 8.0, 16.0)  # of clips whose confidence is checked, too
MATERIALS = ("songs", "songs, errors", "30 s", "30 s, errors")


@dataclass(frozen=True)
class Labelled:
    """Chords and their annotated keys in time, named as mir_eval does."""

    id: str
    chords: list[ChordSegment]
    keys: list[KeySegment]

    @property
    def minor(self) -> bool:
        return self.keys[0].key.endswith("minor")


def labelled(song: Song) -> Labelled:
    """The chords without basses, and the keys with their times (the clock of the recording, near that of the MIDI)."""
    chords = [ChordSegment(start, end, parse_chord(label).label) for start, end, label in song.chords]
    keys = []
    for line in (song.midi_path.parent / "key_audio.txt").read_text().splitlines():
        if fields := line.split():
            tonic, mode = fields[2].split(":")
            name = f"{ROOTS[pitch_class(tonic)]} {'major' if mode == 'maj' else 'minor'}"
            keys.append(KeySegment(float(fields[0]), float(fields[1]), name, 1.0))
    return Labelled(song.id, chords, keys)


def with_errors(chords: Sequence[ChordSegment], rng: np.random.Generator) -> list[ChordSegment]:
    """The chords as a recogniser with errors detects them."""
    detected = []
    for segment in chords:
        chord = parse_chord(segment.label)
        if chord.kind == "chord" and rng.random() < ERROR_SHARE:
            segment = replace(segment, label=_wrong(chord, detected[-1].label if detected else "N", rng))
        detected.append(segment)
    return detected


def _wrong(chord: Chord, before: str, rng: np.random.Generator) -> str:
    """The chord before goes on, nothing, a chord a third off that shares two notes, the other mode, or the fifth."""
    minor = 3 in [(p - chord.root) % 12 for p in chord.pitch_classes]
    thirds = [(3, "maj"), (8, "maj")] if minor else [(9, "min"), (4, "min")]
    kind = rng.choice(5, p=[0.25, 0.1, 0.4, 0.15, 0.1])
    if kind < 2:
        return (before, "N")[kind]
    third = thirds[int(rng.random() < 0.4)]
    interval, quality = (third, (0, "maj" if minor else "min"), (7, chord.quality))[kind - 2]
    return f"{ROOTS[(chord.root + interval) % 12]}:{quality}"


def excerpt(chords: Sequence[ChordSegment], seconds: float, rng: np.random.Generator) -> list[ChordSegment]:
    """A random contiguous part."""
    begin = rng.uniform(chords[0].start, max(chords[0].start + 1e-6, chords[-1].end - seconds))
    cut = [replace(s, start=max(s.start, begin), end=min(s.end, begin + seconds)) for s in chords]
    return [s for s in cut if s.end > s.start]


def materials(songs: Sequence[Labelled], rng: np.random.Generator) -> dict[str, list[Labelled]]:
    """All that one key is asked for."""
    parts = [replace(s, chords=excerpt(s.chords, EXCERPT_SECONDS, rng)) for s in songs for _ in range(EXCERPTS)]
    found = dict(zip(MATERIALS[::2], (list(songs), parts), strict=True))
    return found | {
        f"{name}, errors": [replace(s, chords=with_errors(s.chords, rng)) for s in rows] for name, rows in found.items()
    }


def one_key_scores(tracks: Sequence[Labelled], estimate: Callable) -> dict[str, float]:
    """Mean MIREX score of all tracks, of those in major and in minor."""
    keys = [estimate(track.chords) for track in tracks]
    scores = np.array([_score(track.keys[0].key, key) for track, key in zip(tracks, keys, strict=True)])
    minor = np.array([track.minor for track in tracks])
    rows = {"all": scores, "major": scores[~minor], "minor": scores[minor]}
    return {name: round(float(row.mean()), 3) for name, row in rows.items()}


def _score(truth: str, key) -> float:
    return 0.0 if key is None else mir_eval.key.weighted_score(truth, str(key))


def score_over_time(truth: Sequence[KeySegment], found: Sequence[KeySegment]) -> float:
    """MIREX score, weighted by the seconds that two keys overlap, over the annotated time."""
    total = 0.0
    for a in truth:
        for b in found:
            if (overlap := min(a.end, b.end) - max(a.start, b.start)) > 0:
                total += overlap * mir_eval.key.weighted_score(a.key, b.key)
    return total / sum(a.end - a.start for a in truth)


def one_segment(chords: Sequence[ChordSegment]) -> list[KeySegment]:
    key = estimate_key(chords)
    return [] if key is None else [KeySegment(chords[0].start, chords[-1].end, str(key), key.confidence)]


def modulations(tracks: Sequence[Labelled]) -> dict[str, float]:
    """Key segments against the one key; how many segments are found."""
    rows = {"one key": one_segment, "key segments": key_segments}
    found = {name: [estimate(track.chords) for track in tracks] for name, estimate in rows.items()}
    result = {
        name: round(float(np.mean([score_over_time(t.keys, f) for t, f in zip(tracks, all_, strict=True)])), 3)
        for name, all_ in found.items()
    }
    counts = [len(segments) for segments in found["key segments"]]
    return (
        result
        | {"tracks": len(tracks), "segments": round(float(np.mean(counts)), 2)}
        | {"with one segment": round(float(np.mean([count == 1 for count in counts])), 3)}
    )


def reliability(tracks: Sequence[Labelled]) -> dict:
    """Confidence against the share of right keys, in bins; their mean distance (ECE)."""
    keys = [estimate_key(track.chords) for track in tracks]
    right = np.array([str(key) == track.keys[0].key for key, track in zip(keys, tracks, strict=True)])
    confidence = np.array([0.0 if key is None else key.confidence for key in keys])
    bins = np.clip((confidence * 5).astype(int), 0, 4)
    rows = {
        f"{b / 5:.1f}-{b / 5 + 0.2:.1f}": [
            int(inside.sum()),
            *np.round([confidence[inside].mean(), right[inside].mean()], 3),
        ]
        for b in range(5)
        if (inside := bins == b).any()
    }
    error = sum(count * abs(mean - share) for count, mean, share in rows.values()) / len(keys)
    return {"ece": round(float(error), 3), "bins": {name: [float(x) for x in row] for name, row in rows.items()}}


# The fit


def fit(songs: Sequence[Labelled], rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Weights (2, 12) and offset of minor: logistic regression over the 24 keys, both modes counting alike.

    Every song once whole, twice with errors, and in four excerpts of 10 to 60 s without and four with errors. Its
    transpositions would add nothing: a key is judged from its tonic.
    """
    histograms, truth, shares = [], [], []
    for song in songs:
        parts = [excerpt(song.chords, float(rng.uniform(10, 60)), rng) for _ in range(8)]
        versions = [song.chords, *(with_errors(song.chords, rng) for _ in range(2))]
        versions += parts[:4] + [with_errors(part, rng) for part in parts[4:]]
        histograms += [key_m2e.pitch_class_seconds(chords).sum(axis=0) for chords in versions]
        tonic, mode = song.keys[0].key.split()
        truth += [MODES.index(mode) * 12 + ROOTS.index(tonic)] * len(versions)
        shares += [1.0, 0.5, 0.5] + [0.25] * 8
    x, y, share = key_m2e.key_features(np.array(histograms)), np.array(truth), np.array(shares)
    for of_mode in (y < 12, y >= 12):
        share[of_mode] /= 2 * share[of_mode].sum()
    wanted = np.eye(24)[y].reshape(-1, 2, 12)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        weights, offset = parameters[:-1].reshape(2, 12), np.array([[0.0], [parameters[-1]]])
        log_p = key_m2e.log_softmax(weights @ x + offset)
        gradient = (np.exp(log_p) - wanted) * share[:, None, None]
        value = -(log_p * wanted * share[:, None, None]).sum() + PENALTY * (weights**2).sum()
        by_weight = np.einsum("nmt,nit->mi", gradient, x) + 2 * PENALTY * weights
        return value, np.append(by_weight.ravel(), gradient[:, 1].sum())

    best = minimize(loss, np.zeros(25), jac=True, method="L-BFGS-B", options={"maxiter": 1000}).x
    return best[:-1].reshape(2, 12).round(2), round(float(best[-1]), 2)


def fit_confidence(songs: Sequence[Labelled], rng: np.random.Generator) -> np.ndarray:
    """Weights (5,) of the log-odds that a key is right: logistic regression on every song, whole and in seven excerpts
    of 2 to 60 s (log-uniform), three in five of these with errors."""
    rows, right = [], []
    for song in songs:
        for part in range(8):
            chords = song.chords
            if part:
                chords = excerpt(chords, float(np.exp(rng.uniform(np.log(2), np.log(60)))), rng)
            if rng.random() < 0.6:
                chords = with_errors(chords, rng)
            if (key := estimate_key(chords)) is not None:
                scores = key_m2e._scores(key_m2e.pitch_class_seconds(chords).sum(axis=0))
                probability = float(np.exp(key_m2e.log_softmax(scores).max()))
                rows.append(key_m2e.confidence_features(probability, chords))
                right.append(str(key) == song.keys[0].key)
    x, y = np.array(rows), np.array(right, dtype=float)

    def loss(weights: np.ndarray) -> float:
        return float(np.logaddexp(0, x @ weights).mean() - (y * (x @ weights)).mean())

    return minimize(loss, np.zeros(x.shape[1]), method="BFGS").x.round(2)


def print_fit(songs: dict[str, list[Labelled]]) -> None:
    """The fitted constants, and the scores over time of windows and penalties on songs with one and several keys."""
    weights, offset = fit([s for s in songs["train"] if len(s.keys) == 1], np.random.default_rng(0))
    print("WEIGHTS =", weights.tolist(), "\nMINOR_OFFSET =", offset)
    key_m2e.WEIGHTS, key_m2e.MINOR_OFFSET = weights, offset
    confidence = fit_confidence([s for s in songs["train"] if len(s.keys) == 1], np.random.default_rng(2))
    print("CONFIDENCE =", confidence.tolist())
    rng = np.random.default_rng(1)
    known = [replace(s, chords=with_errors(s.chords, rng)) for s in songs["train"] + songs["validation"]]
    several = [song for song in known if len(song.keys) > 1]
    one = [song for song in known if len(song.keys) == 1][::4]
    for key_m2e._WINDOW_SECONDS in (16.0, 24.0, 32.0):
        for key_m2e._MODULATION_PENALTY in (2.0, 4.0, 6.0, 8.0):
            scores = [modulations(tracks) for tracks in (several, one)]
            print(f"window {key_m2e._WINDOW_SECONDS:g} s, penalty {key_m2e._MODULATION_PENALTY:g}:", *scores)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pop909")
    parser.add_argument("--renders", help="folder with NNN*.wav of test songs, as composed")
    parser.add_argument("--fit", action="store_true")
    args = parser.parse_args()

    songs: dict[str, list[Labelled]] = {"train": [], "validation": [], "test": []}
    for song in read_songs(args.pop909):
        songs[song.split].append(labelled(song))
    if args.fit:
        return print_fit(songs)

    one_key = {split: [song for song in rows if len(song.keys) == 1] for split, rows in songs.items()}
    test = materials(one_key["test"], np.random.default_rng(0))
    several = [song for song in songs["test"] if len(song.keys) > 1]
    over_time = {"labels": (several, one_key["test"])}
    if args.renders:
        detected = recognised(songs["test"], Path(args.renders))
        test["recognised"] = [song for song in detected if len(song.keys) == 1]
        test["recognised, 30 s"] = materials(test["recognised"], np.random.default_rng(0))["30 s"]
        over_time["recognised"] = ([song for song in detected if len(song.keys) > 1], test["recognised"])
    scores = {}
    for profile in (*KEY_PROFILES, FITTED):
        rows = {name: one_key_scores(tracks, partial(estimate_key, profile=profile)) for name, tracks in test.items()}
        scores[profile] = rows
    checked = {
        name: reliability(rows) for name, rows in materials(one_key["validation"], np.random.default_rng(0)).items()
    }
    rng = np.random.default_rng(0)
    for seconds in SHORT_SECONDS:
        clips = [
            replace(s, chords=excerpt(s.chords, seconds, rng)) for s in one_key["validation"] for _ in range(EXCERPTS)
        ]
        checked[f"{seconds:g} s"] = reliability(clips)
    chords = [song.chords for song in one_key["test"]]
    result = {
        "tracks": {name: len(tracks) for name, tracks in test.items()},
        "scores": scores,
        "validation reliability": checked,
        "several keys": {name: modulations(rows) for name, (rows, _) in over_time.items() if rows},
        "one key": {name: modulations(rows) for name, (_, rows) in over_time.items() if rows},
        "chords": round(float(np.mean([len(c) for c in chords]))),
        "milliseconds": {
            function.__name__: _milliseconds(function, chords) for function in (estimate_key, key_segments)
        },
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    show(result)


def show(result: dict) -> None:
    """Prints the table."""
    table = Table("all major minor", *(f"{name} ({n})" for name, n in result["tracks"].items()))
    for profile, rows in result["scores"].items():
        table.add_row(profile, *(" ".join(f"{score:.3f}" for score in row.values()) for row in rows.values()))
    console = Console(width=150)
    console.print(table)
    for name in ("validation reliability", "several keys", "one key"):
        console.print(f"{name}:")
        for material, row in result[name].items():
            console.print(f"  {material}: {row}")
    console.print(f"milliseconds for {result['chords']} chords: {result['milliseconds']}")


def recognised(songs: Sequence[Labelled], folder: Path) -> list[Labelled]:
    """The songs that have a render, with the chords that the embedded recogniser detects in it."""
    recognizer = ChordRecognizer.from_pretrained(embedded_model())
    detected = []
    for song in songs:
        for path in sorted(folder.glob(f"{song.id}*.wav")):
            detected.append(replace(song, chords=recognizer(librosa.load(path, sr=SAMPLING_RATE)[0])))
    return detected


def _milliseconds(function: Callable, songs: Sequence[list[ChordSegment]]) -> float:
    began = time.process_time()
    for chords in songs:
        function(chords)
    return round((time.process_time() - began) * 1000 / len(songs), 2)


if __name__ == "__main__":
    main()
