"""From the logits of frames to chord classes and the times at which chords change.

Pure functions on arrays. The published decoding takes the best class of each frame (`BestFrames`). The smooth one finds
the best path (`SmoothFrames`) with what the keys around a frame suggest (`tonal_context`). Silent frames are no chord
(`force_no_chord`), a chord lasts while it decays (`extend_into_decay`), and changes move to the nearest onset
(`move_to_onsets`). A class id is an index into VOCABULARY; a level is the natural logarithm of a frame's loudest bin.
"""

from collections.abc import Iterable

import numpy as np
import torch
from torch.nn import functional as F

from .chord_labels_m2e import NO_CHORD_LABEL, QUALITIES, ROOTS, VOCABULARY
from .rows_m2e import Rows

NO_CHORD = VOCABULARY.index(NO_CHORD_LABEL)

CHANGE_PENALTY = 4.0  # log-probability that a chord change has to gain; best on validation songs and clips
KEY_WEIGHT = 0.3  # of the tonal context, in log-probabilities; best on validation songs and clips

SILENCE = np.log(1e-5)  # no bin of a frame of digital silence is louder
DECAYED = 5.0  # in natural logarithms below the loud frames: 43 dB; 3 to 8 do alike on validation songs

CONTEXT_FRAMES = 162  # on either side, 15 s: pieces modulate
EVIDENCE_WEIGHT = 0.02  # of each frame's evidence for a key: neighbouring frames are not independent
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

ONSET_HOP = 245  # samples at 22,050 Hz
ONSET_SECONDS = 1 / 90  # of a hop
ONSET_WINDOW = 2 * ONSET_HOP
ONSET_FRAMES = 1024  # transformed at once: bounds the memory
MAX_MOVE = 0.15  # seconds that a border is moved at most
SPREAD = 0.06  # seconds, standard deviation of a border's error


# --- frames to classes ---


class BestFrames:
    """The published decoding: the best class of each frame on its own."""

    def __init__(self) -> None:
        self._ids: list[np.ndarray] = []

    def push(self, logits: np.ndarray) -> None:
        """Takes the logits (frames, classes) of the next frames."""
        self._ids.append(logits.argmax(axis=1))

    def finish(self) -> np.ndarray:
        """(frames,) class ids of all frames so far."""
        return np.concatenate(self._ids) if self._ids else np.empty(0, np.int64)

    def probabilities(self, ids: np.ndarray) -> None:
        """None: the published decoding keeps no probabilities."""


class SmoothFrames:
    """Viterbi decoding with one penalty for a chord change, the same for all pairs of chords.

    A short-lived alternative replaces the chord around it only if its log-probabilities gain twice `change_penalty` in
    sum. Where the classes are the 170 chords, a second pass adds the tonal context of the first. Log-probabilities are
    stored in half precision, 13 MB an hour.
    """

    def __init__(self, change_penalty: float = CHANGE_PENALTY, key_weight: float = KEY_WEIGHT):
        self._penalty, self._key_weight = change_penalty, key_weight
        self._log_probabilities = Rows(np.float16)

    def push(self, logits: np.ndarray) -> None:
        """Takes the logits (frames, classes) of the next frames."""
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        self._log_probabilities.append(np.maximum(log_probabilities, -1e4))

    def finish(self) -> np.ndarray:
        """(frames,) class ids of the best path through all frames so far."""
        if not len(self._log_probabilities):
            return np.empty(0, np.int64)
        blocks = list(self._log_probabilities.blocks())
        ids = _best_path((block.astype(np.float32) for block in blocks), self._penalty)
        if not self._key_weight or blocks[0].shape[1] != len(VOCABULARY):
            return ids
        ends = np.cumsum([len(block) for block in blocks]).tolist()
        in_key = (
            block + self._key_weight * tonal_context(ids, end - len(block), end)
            for block, end in zip(blocks, ends, strict=True)
        )
        return _best_path(in_key, self._penalty)

    def probabilities(self, ids: np.ndarray) -> np.ndarray:
        """(frames,) float32 probability of the class of each frame, by the network alone."""
        parts, start = [np.empty(0, np.float32)], 0
        for part in self._log_probabilities.blocks():
            own = ids[start : start + len(part)]
            parts.append(np.exp(part[np.arange(len(own)), own].astype(np.float32)))
            start += len(part)
        return np.concatenate(parts)


DECODINGS: dict[str, type[BestFrames] | type[SmoothFrames]] = {"paper": BestFrames, "smooth": SmoothFrames}


def _best_path(blocks: Iterable[np.ndarray], penalty: float) -> np.ndarray:
    """(frames,) class ids of the most probable path through log-probabilities (n, classes) in blocks, at least one
    frame in all; each change costs `penalty`."""
    frames = (frame for block in blocks for frame in block)
    best, stayed, scores = [], [], next(frames)
    for frame in frames:
        best.append(int(scores.argmax()))
        changed = scores[best[-1]] - penalty
        stayed.append(np.packbits(scores >= changed).tobytes())  # a bit per class
        scores = np.maximum(scores, changed) + frame
        scores -= scores.max()  # only differences count; keeps an endless stream in range
    ids = [int(scores.argmax())]
    for bits, other in zip(reversed(stayed), reversed(best), strict=True):
        ids.append(ids[-1] if bits[ids[-1] // 8] >> (7 - ids[-1] % 8) & 1 else other)
    return np.array(ids[::-1])


# --- silence and decay ---


def force_no_chord(logits: np.ndarray, levels: np.ndarray, no_chord: int = NO_CHORD) -> None:
    """Makes class `no_chord` certain in the `logits` (frames, classes) of silent frames, in place; levels (frames,)."""
    silent = levels < SILENCE
    logits[silent] = -20.0
    logits[silent, no_chord] = 0.0


def extend_into_decay(ids: np.ndarray, levels: np.ndarray, likeliest: np.ndarray) -> np.ndarray:
    """`ids` (frames,) of the 170 chords, where a chord before N lasts until it has decayed.

    A recogniser predicts N for soft frames, but annotators do not. levels: (frames,). likeliest: (frames,) the most
    probable class other than X and N; its root is that of the chord as long as the chord sounds.
    """
    extended = ids.copy()
    audible = levels > np.percentile(levels, 95) - DECAYED if len(levels) else levels
    for frame in np.flatnonzero(ids[1:] == NO_CHORD) + 1:
        before = extended[frame - 1]
        if audible[frame] and likeliest[frame] // len(QUALITIES) == before // len(QUALITIES):
            extended[frame] = before
    return extended


# --- the key around a frame ---


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
    first, last = max(0, start - CONTEXT_FRAMES), min(len(ids), end + CONTEXT_FRAMES)
    total = np.cumsum(np.pad(IN_KEYS[:, ids[first:last]], ((0, 0), (1, 0))), axis=1, dtype=np.float64)
    frames = np.arange(start, end)
    begin = np.maximum(frames - CONTEXT_FRAMES, 0) - first
    stop = np.minimum(frames + CONTEXT_FRAMES + 1, last) - first
    evidence = EVIDENCE_WEIGHT * (total[:, stop] - total[:, begin])
    keys = np.exp(evidence - evidence.max(axis=0))
    return np.log((keys / keys.sum(axis=0)).T.astype(np.float32) @ _RATIOS)


# --- onsets ---


def onset_strength(waveform: np.ndarray) -> np.ndarray:
    """(samples // 245,) float32 of a mono waveform (samples,) at 22,050 Hz: how much the logarithmic magnitudes,
    log(1 + |STFT|), of all frequencies together rise. Value i is the rise around (i - 0.5) * 245 samples."""
    if len(waveform) < ONSET_WINDOW:
        return np.zeros(len(waveform) // ONSET_HOP, np.float32)
    window, half = torch.hann_window(ONSET_WINDOW), ONSET_WINDOW // 2
    padded = F.pad(torch.from_numpy(waveform)[None], (half, half), mode="reflect")[0]
    frames = 1 + len(waveform) // ONSET_HOP
    rises = [torch.zeros(1)]
    for first in range(0, frames - 1, ONSET_FRAMES):
        last = min(first + ONSET_FRAMES, frames - 1)  # the last frame of a piece is also the first of the next
        piece = padded[first * ONSET_HOP : last * ONSET_HOP + ONSET_WINDOW]
        spectrum = torch.stft(piece, ONSET_WINDOW, ONSET_HOP, window=window, center=False, return_complex=True)
        rises.append(spectrum.abs().log1p().diff(dim=1).clamp(min=0).sum(0))
    return torch.cat(rises).numpy()[: len(waveform) // ONSET_HOP]


def move_to_onsets(borders: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """`borders` (n,) in ascending seconds, each moved to the strongest onset nearby; they keep their order.

    A frame lasts 93 ms, so onsets are more exact. An onset counts less the farther it is from the border.
    strength: as `onset_strength` gives it.
    """
    moved = np.array(borders, dtype=np.float64)
    for index, border in enumerate(borders):
        before = moved[index - 1] if index else 0.0
        after = borders[index + 1] if index + 1 < len(borders) else np.inf
        first = int(max(border - MAX_MOVE, before) / ONSET_SECONDS) + 2  # value i stands between frames i - 1 and i
        nearby = strength[first : max(first, int(min(border + MAX_MOVE, after) / ONSET_SECONDS))]
        if nearby.any():
            times = (first + np.arange(len(nearby)) - 0.5) * ONSET_SECONDS
            likely = np.exp(-0.5 * ((times - border) / SPREAD) ** 2)
            moved[index] = times[((nearby + nearby.mean()) * likely).argmax()]
    return moved
