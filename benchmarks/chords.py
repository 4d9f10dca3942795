"""How well and how fast the chord recogniser does on rendered POP909 songs that it was not trained on.

    python benchmarks/chords.py POP909_FOLDER --font FluidR3_GM.sf2 [--chords FOLDER] [--songs 20]

The real path: audio, CQT, network, decoding. Scores are mir_eval's, weighted by duration and averaged over songs.
Key: MIREX weighting against the songs' annotated key; songs that modulate are left out.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import mir_eval
import numpy as np

from datasets_scripts.pop909 import arrange, excerpt, read_songs, render
from m2e.hub import embedded_model
from modeling_m2e.chords_m2e import SAMPLING_RATE, ChordRecognizer
from modeling_m2e.harmony_m2e import ChordSegment, estimate_key, parse_chord, transpose

RESULTS = Path(__file__).resolve().parent / "results" / "chords.json"
METRICS = ("root", "thirds", "triads", "sevenths", "tetrads", "majmin", "mirex")


def mir_arrays(segments: list[ChordSegment], begin: float, end: float) -> tuple[np.ndarray, list[str]]:
    """What mir_eval takes: intervals without gaps, on a grid of milliseconds, none of them empty."""
    borders = np.round(np.clip([*(s.start for s in segments), segments[-1].end], begin, end), 3)
    kept = [index for index, length in enumerate(np.diff(borders)) if length > 0]
    intervals = np.column_stack([borders[:-1], borders[1:]])[kept]
    return intervals, [segments[index].label for index in kept]


def chord_scores(truth: list[ChordSegment], guess: list[ChordSegment]) -> dict[str, float]:
    """Every WCSR of mir_eval and its segmentation score."""
    common = max(truth[0].start, guess[0].start), min(truth[-1].end, guess[-1].end)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mir_eval.chord.evaluate(*mir_arrays(truth, *common), *mir_arrays(guess, *common))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pop909")
    parser.add_argument("--font", required=True, help="a sound font that was not used for training")
    parser.add_argument("--chords", default=embedded_model(), help="folder with a chords/ folder")
    parser.add_argument("--songs", type=int, default=20)
    parser.add_argument("--split", default="test", choices=["validation", "test"])
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--decodings", nargs="+", default=["paper", "smooth"])
    args = parser.parse_args()

    songs = [song for song in read_songs(args.pop909) if song.split == args.split][: args.songs]
    recognizers = {name: ChordRecognizer.from_pretrained(args.chords, decoding=name) for name in args.decodings}
    rows = {name: [] for name in recognizers}
    keys, seconds, audio = {name: [] for name in recognizers}, 0.0, 0.0
    for song in songs:
        rng = np.random.default_rng([int(song.id), 99])
        arrangement = excerpt(arrange(song, rng), args.seconds, rng)
        waveform = render(arrangement.midi, args.font)
        plain = [ChordSegment(start, end, parse_chord(label).label) for start, end, label in arrangement.chords]
        truth = transpose(plain, arrangement.semitones)
        for name, recognizer in recognizers.items():
            began = time.perf_counter()
            guess = recognizer(waveform)
            key = estimate_key(guess)
            if name == args.decodings[-1]:
                seconds, audio = seconds + time.perf_counter() - began, audio + len(waveform) / SAMPLING_RATE
            rows[name].append(chord_scores(truth, guess))
            if len(song.keys) == 1:
                tonic, _, mode = song.keys[0].partition(":")
                moved = transpose([ChordSegment(0, 1, f"{tonic}:maj")], arrangement.semitones)[0].label.split(":")[0]
                reference = f"{moved} {'minor' if mode == 'min' else 'major'}"
                keys[name].append(0.0 if key is None else mir_eval.key.weighted_score(reference, str(key)))
    result = {
        "songs": len(songs),
        "seconds": round(audio),
        "font": Path(args.font).name,
        "times_real_time": round(audio / seconds),
        "scores": {
            name: {metric: round(float(np.mean([row[metric] for row in scores])), 4) for metric in (*METRICS, "seg")}
            | {"key": round(float(np.mean(keys[name])), 4)}
            for name, scores in rows.items()
        },
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
