"""Does a model carry over to music unlike what it learned from? Composed tracks, piano, and what listeners felt.

    python benchmarks/transfer.py [--emopia EMOPIA] [--emotify EMOTIFY] [--model m2e-small]

Composed tracks differ in what listeners agree on (Gabrielsson & Lindström 2010): tempo, mode, loudness, register,
articulation, dissonance, drums; key, chords, melody, instruments and sound font are random. No model learns from them;
m2e-small does from tracks of another composer (datasets_scripts.compositions).
EMOPIA is its test split, rendered piano. Scores: macro F1 of the quadrants; how often a track of the higher side is
ranked above one of the lower (ROC-AUC), of arousal (Q1, Q2 over Q3, Q4) and of valence (Q1, Q4 over Q2, Q3). Of
Emotify's tracks listeners said what they felt: rank correlation with proxies of arousal and valence, over all tracks,
and as the mean of those within its four genres. Only a model that did not learn from Emotify can be scored so.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pretty_midi
from scipy.stats import spearmanr
from sklearn.metrics import f1_score, roc_auc_score

from m2e import load
from m2e.checkpoints.load import EMBEDDED
from m2e.datasets import emopia, emotify
from m2e.datasets.chords.pop909 import HAT, KICK, SNARE
from m2e.datasets.midi_audio import RATE, render
from m2e.storage import write_text

RESULTS = Path(__file__).resolve().parent / "results" / "transfer.json"
SOUND_FONTS = [Path("/usr/share/sounds/sf2", f"{name}.sf2") for name in ("FluidR3_GM", "TimGM6mb")]
SECONDS = 30.0
MAJOR, MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)  # semitones of the steps of the scale
LOOPS = {MAJOR: [(0, 4, 5, 3), (0, 5, 3, 4), (0, 3, 4, 0), (0, 2, 3, 4)]}  # steps that chords stand on
LOOPS[MINOR] = [(0, 5, 2, 6), (0, 3, 4, 0), (0, 5, 3, 4), (0, 6, 5, 4)]


@dataclass(frozen=True)
class Style:
    """tempo: beats per minute, from and to.  velocity: likewise.  octave: of the melody.  melody, chords, bass: General
    MIDI programs.  driving: eighths, drums and short notes.  clashes: share of chords with a minor second."""

    tempo: tuple[int, int]
    scale: tuple[int, ...]
    velocity: tuple[int, int]
    octave: int
    melody: tuple[int, ...]
    chords: tuple[int, ...]
    bass: tuple[int, ...]
    driving: bool = False
    clashes: float = 0.0


STYLES = {
    "Q1": Style((125, 165), MAJOR, (85, 110), 5, (0, 1, 27, 80), (0, 16, 24), (33, 34), driving=True),
    "Q2": Style((140, 185), MINOR, (100, 125), 4, (29, 30, 81), (29, 30, 62), (34, 38), driving=True, clashes=0.5),
    "Q3": Style((50, 72), MINOR, (35, 60), 4, (0, 40, 42, 71, 73), (0, 24, 48), (32, 42)),
    "Q4": Style((58, 82), MAJOR, (40, 65), 5, (0, 11, 24, 73), (0, 24, 48, 89), (32, 33)),
}


def compose(style: Style, rng: np.random.Generator, tempo: float | None = None) -> pretty_midi.PrettyMIDI:
    """Half a minute of melody, chords, bass and, where driving, drums.  tempo: None = one of the style."""
    beat, tonic = 60 / (rng.uniform(*style.tempo) if tempo is None else tempo), int(rng.integers(12))
    loop = LOOPS[style.scale][rng.integers(4)]
    melody, chords, bass = (
        pretty_midi.Instrument(int(rng.choice(p))) for p in (style.melody, style.chords, style.bass)
    )
    drums = pretty_midi.Instrument(0, is_drum=True)

    def play(track: pretty_midi.Instrument, pitch: int, start: float, length: float) -> None:
        track.notes.append(pretty_midi.Note(int(rng.integers(*style.velocity)), pitch, start, start + length))

    def pitch(step: int, octave: int) -> int:
        return 12 * octave + tonic + style.scale[step % 7] + 12 * (step // 7)

    for bar in range(int(np.ceil(SECONDS / (4 * beat)))):
        start, root = 4 * beat * bar, loop[bar % 4]
        for step in (0, 2, 4):
            play(chords, pitch(root + step, style.octave - 1), start, 3.8 * beat)
        if rng.random() < style.clashes:
            play(chords, pitch(root, style.octave - 1) + 1, start, 2 * beat)
        for track, count, steps in (
            (bass, 8 if style.driving else 2, (0,)),
            (melody, 8 if style.driving else int(rng.choice([2, 4])), (0, 1, 2, 3, 4, 6)),
        ):
            for place in range(count):
                if track is bass or rng.random() < 0.85:
                    octave = 3 if track is bass else style.octave
                    length = 4 * beat / count
                    sounding = 0.7 * length if style.driving else length
                    play(track, pitch(root + int(rng.choice(steps)), octave), start + place * length, sounding)
        for eighth in range(8 if style.driving else 0):
            play(drums, HAT, start + eighth * beat / 2, 0.1)
            play(drums, (KICK, SNARE)[eighth // 2 % 2], start + eighth // 2 * beat, 0.1)
    midi = pretty_midi.PrettyMIDI()
    midi.instruments = [melody, chords, bass, drums]
    return midi


def composed(per_quadrant: int, seed: int) -> Iterator[tuple[str, tuple[np.ndarray, int]]]:
    """(quadrant, (waveform, rate)) of tracks."""
    rng = np.random.default_rng(seed)
    for quadrant, style in STYLES.items():
        for number in range(per_quadrant):
            waveform = render(compose(style, rng), SOUND_FONTS[number % len(SOUND_FONTS)])[: int(SECONDS * RATE)]
            yield quadrant, (waveform / np.abs(waveform).max() * (0.8 if style.driving else 0.5), RATE)


def piano(folder: Path) -> Iterator[tuple[str, str]]:
    """(quadrant, file) of EMOPIA's test split, 20 clips of each quadrant where there are so many."""
    for track in emopia.read(folder, per_quadrant=20).to_list():
        if track["split"] == "test":
            yield track["quadrant"], track["audio"]


def scores(pipe, tracks: Iterator[tuple]) -> dict[str, float]:
    """Of all tracks, and how many these are."""
    predicted = [(quadrant, pipe(audio)) for quadrant, audio in tracks]
    truth = np.array([quadrant for quadrant, _ in predicted])
    return {
        "tracks": len(predicted),
        "quadrant_f1": f1_score(truth, [record.quadrant for _, record in predicted], average="macro"),
        "arousal_auc": roc_auc_score(np.isin(truth, ("Q1", "Q2")), [record.arousal for _, record in predicted]),
        "valence_auc": roc_auc_score(np.isin(truth, ("Q1", "Q4")), [record.valence for _, record in predicted]),
    }


def felt(pipe, folder: Path) -> dict[str, float]:
    """Rank correlations with the proxies of Emotify's tracks, and how many these are."""
    tracks = emotify.read(folder).to_list()
    genres = np.array([(int(track["id"]) - 1) // 100 for track in tracks])  # each has a hundred numbers
    records = [pipe(track["audio"]) for track in tracks]
    result: dict[str, float] = {"tracks": len(tracks)}
    for name in ("arousal", "valence"):
        truth = np.array([track[name] for track in tracks])
        predicted = np.array([getattr(record, name) for record in records])
        result[f"{name}_spearman"] = float(spearmanr(truth, predicted)[0])
        within = [spearmanr(truth[genres == genre], predicted[genres == genre])[0] for genre in np.unique(genres)]
        result[f"{name}_spearman_within_genres"] = float(np.mean(within))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--emopia", type=Path, help="EMOPIA folder; rendered where it is not")
    parser.add_argument("--emotify", type=Path, help="Emotify folder")
    parser.add_argument("--model", default=EMBEDDED)
    parser.add_argument("--per-quadrant", type=int, default=15, help="composed tracks")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    pipe = load(args.model)
    result = {"model": args.model, "composed": scores(pipe, composed(args.per_quadrant, args.seed))}
    if args.emopia:
        result["EMOPIA"] = scores(pipe, piano(args.emopia))
    if args.emotify:
        result["Emotify"] = felt(pipe, args.emotify)
    write_text(args.out, json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
