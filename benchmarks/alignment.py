"""Whether chord labels and rendered audio run on one clock: by how much would labels have to move to fit best?

    python benchmarks/alignment.py POP909_FOLDER --font TimGM6mb.sf2

For every lag, the share of the chroma that lies on the tones of the labelled chord, averaged over the song. With labels
on the clock of the audio the best lag is near 0: notes sound on after a chord has ended, so a little later is natural.
"""

import argparse
import json
from pathlib import Path

import librosa
import numpy as np
import pretty_midi

from m2e.datasets.chords.pop909 import Song, read_songs
from m2e.datasets.midi_audio import RATE, render
from modeling_m2e.chord_labels_m2e import parse_chord

RESULTS = Path(__file__).resolve().parent / "results" / "alignment.json"
LAGS = np.arange(-1.0, 1.001, 0.05)  # seconds
HOP = 512  # samples


def chord_tones(song: Song, times: np.ndarray) -> np.ndarray:
    """(12, times) 1 for the tones of the chord labelled at each time."""
    tones = np.zeros((12, len(times)))
    for start, end, label in song.chords:
        for pitch_class in parse_chord(label).pitch_classes:
            tones[pitch_class, (times >= start) & (times < end)] = 1
    return tones


def best_lag(song: Song, font: str) -> tuple[float, float, float]:
    """The lag in seconds that fits best, the share of chroma on chord tones there, and that without a lag."""
    waveform = render(pretty_midi.PrettyMIDI(str(song.midi_path)), font)
    chroma = librosa.feature.chroma_cqt(y=waveform, sr=RATE, hop_length=HOP, norm=1)
    times = librosa.times_like(chroma, sr=RATE, hop_length=HOP)
    fits = []
    for lag in LAGS:
        tones = chord_tones(song, times - lag)
        there = tones.any(axis=0)
        fits.append(float((chroma * tones).sum(axis=0)[there].mean()))
    best = int(np.argmax(fits))
    return round(float(LAGS[best]), 2), round(fits[best], 3), round(fits[len(LAGS) // 2], 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pop909")
    parser.add_argument("--font", required=True)
    parser.add_argument("--songs", type=int, default=20, help="spread over the training split")
    args = parser.parse_args()
    songs = [song for song in read_songs(args.pop909) if song.split == "train"]
    result = {}
    for song in songs[:: max(1, len(songs) // args.songs)][: args.songs]:
        result[song.id] = dict(
            zip(("best_lag_s", "share", "share_without_lag"), best_lag(song, args.font), strict=True)
        )
        print(song.id, result[song.id], flush=True)
    lags = [row["best_lag_s"] for row in result.values()]
    print(f"best lag: median {np.median(lags):.2f} s, from {min(lags):.2f} to {max(lags):.2f} s")
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
