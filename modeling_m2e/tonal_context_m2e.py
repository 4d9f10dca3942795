"""What the music around a chord says of it: roots and thirds that belong to the key are likelier than others."""

import numpy as np

from .chord_labels_m2e import QUALITIES, ROOTS, VOCABULARY

AROUND = 162  # frames on either side, 15 s: pieces modulate
TRUST = 0.02  # in the frames around, which are no independent witnesses of the key
THIRDS = np.array([0, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 2, 2])  # of each quality: minor, major, neither
# Logarithms of how much likelier a chord is in a key than anywhere: major and minor keys; roots from the tonic upwards;
# thirds. Of POP909's training songs, by datasets_scripts/chords/key_table.py.
TABLE = np.array(
    [
        [
            [-2.22, 1.61, 1.09],
            [-2.2, -2.67, -2.38],
            [0.83, -1.26, 0.12],
            [-2.28, -2.58, -2.38],
            [0.93, -1.48, 0.14],
            [-1.15, 1.09, 0.6],
            [-1.69, -2.9, -2.17],
            [-1.96, 1.41, 0.91],
            [-2.18, -2.18, -2.15],
            [1.36, -1.5, 0.56],
            [-2.21, -1.64, -1.83],
            [-1.97, -2.82, -2.29],
        ],
        [
            [2.02, -0.57, 1.28],
            [-2.28, -2.19, -2.2],
            [-1.47, -2.68, -1.95],
            [-2.3, 0.81, 0.28],
            [-2.17, -2.88, -2.45],
            [1.06, -0.77, 0.37],
            [-2.28, -2.75, -2.46],
            [0.95, 0.13, 0.55],
            [-2.05, 0.97, 0.41],
            [-1.69, -2.91, -2.17],
            [-2.24, 1.09, 0.57],
            [-2.17, -2.84, -2.44],
        ],
    ],
    np.float32,
)


def _chords_in_keys() -> np.ndarray:
    """(24, 170): `TABLE` for all keys, C major to B major and C minor to B minor, and all chords; 0 for X and N."""
    chords = np.arange(len(ROOTS) * len(QUALITIES))
    root, third = chords // len(QUALITIES), THIRDS[chords % len(QUALITIES)]
    keys = [TABLE[mode, (root - tonic) % len(ROOTS), third] for mode in (0, 1) for tonic in range(len(ROOTS))]
    return np.pad(np.stack(keys), ((0, 0), (0, len(VOCABULARY) - len(chords))))


IN_KEYS = _chords_in_keys()
_RATIOS = np.exp(IN_KEYS)


def tonal_context(ids: np.ndarray, start: int, end: int) -> np.ndarray:
    """(end - start, 170) log-ratios for frames `start` to `end`: how much likelier each chord is in the keys that the
    chords `ids` (frames,) around a frame suggest than without any key."""
    first, last = max(0, start - AROUND), min(len(ids), end + AROUND)
    total = np.cumsum(np.pad(IN_KEYS[:, ids[first:last]], ((0, 0), (1, 0))), axis=1, dtype=np.float64)
    frames = np.arange(start, end)
    begin, stop = np.maximum(frames - AROUND, 0) - first, np.minimum(frames + AROUND + 1, last) - first
    evidence = TRUST * (total[:, stop] - total[:, begin])
    keys = np.exp(evidence - evidence.max(axis=0))
    return np.log((keys / keys.sum(axis=0)).T.astype(np.float32) @ _RATIOS)
