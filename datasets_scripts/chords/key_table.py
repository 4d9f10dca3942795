"""How much more likely a chord is in a key than anywhere: the table of modeling_m2e.chord_decoding_m2e.

    python -m datasets_scripts.chords.key_table POP909_FOLDER

Counted in seconds over the annotated chords of POP909's training songs that stay in one key.
"""

import argparse
from collections.abc import Iterable

import numpy as np

from m2e.datasets.chords.pop909 import Song, read_songs
from modeling_m2e.chord_decoding_m2e import THIRDS
from modeling_m2e.chord_labels_m2e import QUALITIES, parse_chord

RARE = 0.0005  # of a mode's time, given to every root and quality: what was never met is not impossible


def tonal_context(songs: Iterable[Song]) -> np.ndarray:
    """(2, 12, 3) natural logarithms of ratios: major and minor keys; roots in semitones above the tonic; minor third,
    major third, none of both (there: of all chords on the root)."""
    time = np.zeros((2, 12, len(QUALITIES)))
    for song in songs:
        if len(song.keys) > 1:
            continue
        tonic, _, mode = song.keys[0].partition(":")
        for start, end, label in song.chords:
            chord = parse_chord(label)
            if chord.kind == "chord":
                quality = chord.index % len(QUALITIES)
                time[int(mode == "min"), (chord.root - parse_chord(tonic).root) % 12, quality] += end - start
    time += RARE * time.sum(axis=(1, 2), keepdims=True)
    groups = [THIRDS == 0, THIRDS == 1, np.ones_like(THIRDS, bool)]
    grouped = np.stack([time[:, :, group].sum(axis=2) for group in groups], axis=2)
    shares = grouped / time.sum(axis=(1, 2))[:, None, None]
    anywhere = grouped.sum(axis=(0, 1)) / time.sum() / 12
    return np.log(shares / anywhere)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pop909", help="unpacked POP909 folder")
    songs = [song for song in read_songs(parser.parse_args().pop909) if song.split == "train"]
    print(tonal_context(songs).round(2).tolist())


if __name__ == "__main__":
    main()
