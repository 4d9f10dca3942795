"""The key of a track with its probability, its keys over time, and the network's inputs made from the key.

Pure functions on short lists of timed chords. The score of a key depends on how long each pitch class sounds, counted
from the tonic. It is either a sum with 24 weights fitted to pop songs or, as in the literature, the correlation with a
key profile. "Paper" is Kang & Herremans (2025, arXiv 2502.03979).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .chord_labels_m2e import ROOTS, VOCABULARY, ChordSegment, parse_chord, pitch_class, transpose
from .errors_m2e import ModelError

MODES = ("major", "minor")
_NORMAL_TONIC = {"major": 0, "minor": 9}  # C major, A minor (paper)

# Key profiles (major, minor), tonic first: the weights of these methods in music21.analysis.discrete of music21 10
# (Cuthbert & Ariza, ISMIR 2010). Its default, and so the paper's, is Aarden-Essen.
_AARDEN_ESSEN = (
    (17.7661, 0.145624, 14.9265, 0.160186, 19.8049, 11.3587, 0.291248, 22.062, 0.145624, 8.15494, 0.232998, 4.95122),
    (18.2648, 0.737619, 14.0499, 16.8599, 0.702494, 14.4362, 0.702494, 18.6161, 4.56621, 1.93186, 7.37619, 1.75623),
)
_KRUMHANSL = (
    (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    (6.33, 2.68, 3.52, 5.38, 2.6, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
)
_TEMPERLEY = (
    (0.748, 0.06, 0.488, 0.082, 0.67, 0.46, 0.096, 0.715, 0.104, 0.366, 0.057, 0.4),
    (0.712, 0.084, 0.474, 0.618, 0.049, 0.46, 0.105, 0.747, 0.404, 0.067, 0.133, 0.33),
)
_BELLMAN_BUDGE = (
    (16.8, 0.86, 12.95, 1.41, 13.49, 11.93, 1.25, 20.28, 1.8, 8.04, 0.62, 10.57),
    (18.16, 0.69, 12.99, 13.34, 1.07, 11.15, 1.38, 21.07, 7.49, 1.53, 0.92, 10.21),
)
_SIMPLE = (
    (2, 0, 1, 0, 1, 1, 0, 2, 0, 1, 0, 1),
    (2, 0, 1, 1, 0, 1, 0, 2, 1, 0, 0.5, 0.5),
)
KEY_PROFILES = {
    "aarden-essen": _AARDEN_ESSEN,
    "krumhansl": _KRUMHANSL,
    "temperley": _TEMPERLEY,
    "bellman-budge": _BELLMAN_BUDGE,
    "simple": _SIMPLE,
}
# Softmax temperatures that turn correlations into the probability of the key: least log-loss over the 708 POP909 songs
# with one annotated key, from their annotated chords (accuracy .89, .78, .80, .79, .85 in this order).
_TEMPERATURES = dict(zip(KEY_PROFILES, (0.037, 0.056, 0.071, 0.078, 0.059), strict=True))

# The fitted profile: logistic regression over the 24 keys on POP909's training songs, whole and in excerpts, with their
# annotated chords and with errors in them, both modes with equal weight (`python benchmarks/key.py POP909 --fit`).
FITTED, PAPER = "pop909", "aarden-essen"
WEIGHTS = np.array(  # major, minor; tonic first
    [
        [26.52, -15.17, 6.38, -19.36, 9.11, 8.54, -16.65, 25.81, -11.91, 2.86, -22.74, 7.18],
        [30.93, -22.97, 14.82, 17.62, -13.19, 7.79, -21.49, 19.65, -4.56, -20.36, -1.1, -7.69],
    ]
)
MINOR_OFFSET = -0.32
PRIOR_SECONDS = 120.0  # of pitch classes, 40 s of triads: lowers the confidence of short clips
# Log-odds that a key is right, by `confidence_features`: logistic regression on the training songs, whole and in
# excerpts of 2 to 60 s, with and without errors (same command). Confidence and share of right keys then differ by .03
# on the validation songs; the softmax alone by .10.
CONFIDENCE = np.array([-1.21, 0.22, 0.11, 0.47, 0.22])
MAX_CONFIDENCE_SECONDS = 300.0  # a song
LONE_CHORD_CONFIDENCE = 0.4  # at most: a chord belongs to several keys; in pop songs its best key is right in .46

# Modulations; the first two chosen on POP909's training and validation songs (by the same command)
_WINDOW_SECONDS = 24.0  # around a chord: determines its local key
_MODULATION_PENALTY = 6.0  # log-probability of one window that another key has to gain
MIN_KEY_SECONDS = 8.0

_TIE = 1e-7  # scores closer than this differ by rounding only
# (170, 12): the pitch classes that sound in each chord class; none for N and X.
_SOUNDING = np.zeros((len(VOCABULARY), 12))
for _index, _chord in enumerate(map(parse_chord, VOCABULARY)):
    if _chord.kind == "chord":
        _SOUNDING[_index, _chord.pitch_classes] = 1


def key_profile(chord_vocabulary: str) -> str:
    """The profile for a model that was trained with the chord tokens `chord_vocabulary`: the paper's for its tokens,
    the fitted one for all others."""
    return PAPER if chord_vocabulary == "paper" else FITTED


@dataclass(frozen=True)
class Key:
    """A key: `tonic`, `mode` "major" or "minor", `confidence` from 0 to 1 (see `estimate_key`)."""

    tonic: str
    mode: str
    confidence: float = 1.0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"Unknown mode {self.mode!r}: a key is 'major' or 'minor'.")

    def __str__(self) -> str:
        return f"{self.tonic} {self.mode}"


@dataclass(frozen=True)
class KeySegment:
    """A `key` such as "C# minor" from `start` to `end` in seconds, and its `confidence` as in `Key`."""

    start: float
    end: float
    key: str
    confidence: float


def estimate_key(segments: Sequence[ChordSegment], backend: str = "histogram", profile: str = FITTED) -> Key | None:
    """The key of a chord sequence and the probability that it is right, or None where nothing decides it.

    profile: "pop909" scores a key by the weighted sum of the square roots of the shares of its pitch classes; the
    confidence is fitted to the softmax over all 24 keys, the seconds of chords and how many differ: short clips give
    low confidence, a lone chord 0.4 at most. Those of KEY_PROFILES score it by
    their correlation with the seconds of each pitch class; the confidence is the softmax with a temperature fitted for
    whole pop songs. "aarden-essen" is the paper's.
    backend: "histogram" needs nothing else; "music21" correlates with music21, as the paper does (extra "paper").
    None: no chord sounds, all pitch classes sound alike, or several keys score alike (a lone diminished seventh chord).
    Raises: ModelError where music21 is missing.
    """
    if backend not in ("histogram", "music21"):
        raise ValueError(f"Unknown key backend {backend!r}: choose 'histogram' or 'music21'.")
    known = KEY_PROFILES if backend == "music21" else (FITTED, *KEY_PROFILES)
    if profile not in known:
        raise ValueError(f"Unknown key profile {profile!r}: backend {backend!r} has {', '.join(known)}.")
    if profile == FITTED:
        scores = _scores(pitch_class_seconds(segments).sum(axis=0))
    else:
        scores = key_correlations(pitch_class_histogram(segments), profile)
        if backend == "music21" and scores.any():
            scores = _music21_correlations(segments, profile)
        scores = scores / _TEMPERATURES[profile]
    winners = np.argwhere(scores > scores.max() - _TIE)
    if len(winners) > 1:
        return None
    mode, tonic = winners[0]
    probability = float(np.exp(log_softmax(scores).max()))
    return Key(ROOTS[tonic], MODES[mode], confidence(probability, segments) if profile == FITTED else probability)


def confidence(probability: float, segments: Sequence[ChordSegment]) -> float:
    """The probability that a key is right, of its probability in the softmax of the fitted profile."""
    features = confidence_features(probability, segments)
    fitted = float(1 / (1 + np.exp(-CONFIDENCE @ features)))
    return min(fitted, LONE_CHORD_CONFIDENCE) if features[3] == 0 else fitted


def confidence_features(probability: float, segments: Sequence[ChordSegment]) -> np.ndarray:
    """(5,) inputs of the confidence: 1, log-odds of the probability, log seconds of chords, log number of different
    chords, and the product of the first two logarithms. At least one chord must sound."""
    sounding = [segment for segment in segments if segment.chord.kind == "chord"]
    seconds = min(sum(segment.duration for segment in sounding), MAX_CONFIDENCE_SECONDS)
    inside = min(max(probability, 1e-6), 1 - 1e-6)
    different = len({segment.chord.index for segment in sounding})
    odds, time = np.log(inside / (1 - inside)), np.log(max(seconds, 0.1))
    return np.array([1.0, odds, time, np.log(different), odds * time])


def key_segments(segments: Sequence[ChordSegment], whole: Key | None = None) -> list[KeySegment]:
    """The keys of a chord sequence over time, without gaps, each at least 8 s long.

    They are the most probable path through the local keys of windows around the chords; each modulation costs a
    penalty. If the path has one key, the result is `whole`, by default the `estimate_key` of all chords, and empty
    where that is None. Two halves in different keys may tie as a whole and still have a key each.
    """
    seconds = pitch_class_seconds(segments)
    if not seconds.any():
        return []
    whole = whole or estimate_key(segments)
    times = np.array([*(s.start for s in segments), segments[-1].end])
    gains = _local_log_probabilities(segments, seconds) * (np.diff(times) / _WINDOW_SECONDS)[:, None]
    path = _best_path(gains, times)
    if len(path) == 1:
        return [KeySegment(segments[0].start, segments[-1].end, str(whole), whole.confidence)] if whole else []
    found = []
    for first, last, index in path:
        probability = float(np.exp(log_softmax(_scores(seconds[first:last].sum(axis=0)))).ravel()[index])
        mode, tonic = divmod(index, 12)
        name = f"{ROOTS[tonic]} {MODES[mode]}"
        found.append(
            KeySegment(float(times[first]), float(times[last]), name, confidence(probability, segments[first:last]))
        )
    return found


def pitch_class_seconds(segments: Sequence[ChordSegment]) -> np.ndarray:
    """(L, 12) seconds that each pitch class sounds in each chord; 0 for `N` and `X`."""
    classes = [segment.chord.index for segment in segments]
    return _SOUNDING[classes] * np.array([segment.duration for segment in segments]).reshape(-1, 1)


def key_features(seconds: np.ndarray) -> np.ndarray:
    """(..., 12, 12) inputs of the fitted profile, by interval above the tonic and tonic, of (..., 12) seconds."""
    roots = np.sqrt(seconds / (seconds.sum(axis=-1, keepdims=True) + PRIOR_SECONDS))
    return np.stack([np.roll(roots, -tonic, axis=-1) for tonic in range(12)], axis=-1)


def _scores(seconds: np.ndarray) -> np.ndarray:
    """(..., 2, 12) scores of all keys (mode, tonic) by the fitted profile, of (..., 12) seconds of pitch classes."""
    return WEIGHTS @ key_features(seconds) + np.array([[0.0], [MINOR_OFFSET]])


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """(..., 2, 12) scores -> log-probabilities over the 24 keys."""
    shifted = scores - scores.max(axis=(-2, -1), keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=(-2, -1), keepdims=True))


def _local_log_probabilities(segments: Sequence[ChordSegment], seconds: np.ndarray) -> np.ndarray:
    """(L, 24) log-probabilities of the keys in a window around the middle of each chord."""
    borders = np.array([[segment.start, segment.end] for segment in segments])
    sums = np.repeat(np.concatenate([np.zeros((1, 12)), np.cumsum(seconds, axis=0)]), 2, axis=0)[1:-1]

    def until(times: np.ndarray) -> np.ndarray:
        return np.stack([np.interp(times, borders.ravel(), column) for column in sums.T], axis=1)

    middles = borders.mean(axis=1)
    inside = until(middles + _WINDOW_SECONDS / 2) - until(middles - _WINDOW_SECONDS / 2)
    return log_softmax(_scores(inside)).reshape(-1, 24)


def _best_path(gains: np.ndarray, times: np.ndarray) -> list[tuple[int, int, int]]:
    """(first chord, last chord + 1, key) of the stretches of the best path through gains (L, 24); times (L + 1,).

    Viterbi over whole stretches, none shorter than MIN_KEY_SECONDS unless the track is.
    """
    keys = np.arange(gains.shape[1])
    sums = np.concatenate([np.zeros((1, len(keys))), np.cumsum(gains, axis=0)])
    begun = np.zeros(len(keys))  # best score of all before a stretch, less the sum up to its start, for each key
    start = np.zeros(len(keys), dtype=int)
    best, arrivals, candidate = [0.0], [(0, 0)], 1
    for end in range(1, len(sums)):
        while times[end] - times[candidate] >= MIN_KEY_SECONDS:
            offer = best[candidate] - _MODULATION_PENALTY - sums[candidate]
            better = offer > begun
            begun, start = np.where(better, offer, begun), np.where(better, candidate, start)
            candidate += 1
        scores = sums[end] + begun
        key = int(scores.argmax())
        long_enough = times[end] - times[0] >= MIN_KEY_SECONDS
        best.append(scores[key] if long_enough else -np.inf)
        arrivals.append((int(start[key]), key))
    path, end = [], len(gains)
    while end:
        first, key = arrivals[end]
        path.append((first, end, key))
        end = first
    return path[::-1]


def pitch_class_histogram(segments: Iterable[ChordSegment]) -> np.ndarray:
    """float64 (12,): seconds that each pitch class sounds, C first; none for `N`, all twelve for `X`."""
    histogram = np.zeros(12)
    for segment in segments:
        histogram[segment.chord.pitch_classes] += segment.duration
    return histogram


def key_correlations(histogram: np.ndarray, profile: str = PAPER) -> np.ndarray:
    """Pearson correlation of a pitch-class histogram (12,) with the profile of every key, float64 (2, 12): mode, tonic.

    All zero for a flat histogram. Method: Krumhansl & Schmuckler (Krumhansl 1990, chapter 4).
    """
    centred = histogram - histogram.mean()
    norm = np.linalg.norm(centred)
    if norm <= 1e-9 * np.linalg.norm(histogram):
        return np.zeros((2, 12))
    weights = np.array([[np.roll(mode, tonic) for tonic in range(12)] for mode in KEY_PROFILES[profile]])
    weights -= weights.mean(axis=-1, keepdims=True)
    return weights @ centred / (np.linalg.norm(weights, axis=-1) * norm)


def _music21_correlations(segments: Sequence[ChordSegment], profile: str) -> np.ndarray:
    """As `key_correlations`, computed by music21 from the chords."""
    try:
        from music21 import chord, stream
    except ImportError as error:
        raise ModelError("""Key backend 'music21' needs music21: run pip install "m2e[paper]".""") from error
    score: Any = stream.Stream()
    for segment in segments:
        pitches = segment.chord.pitch_classes
        if pitches and segment.duration > 0:
            score.append(chord.Chord(pitches, quarterLength=segment.duration))
    best = score.analyze(profile)
    correlations = np.zeros((2, 12))
    for key in (best, *best.alternateInterpretations):
        correlations[MODES.index(key.mode), key.tonic.pitchClass] = key.correlationCoefficient
    return correlations


def normalise(segments: Iterable[ChordSegment], key: Key | None) -> list[ChordSegment]:
    """The segments transposed to C major or A minor as in the paper; as they are where the key is None."""
    return transpose(segments, 0 if key is None else _NORMAL_TONIC[key.mode] - pitch_class(key.tonic))


def mode_index(key: Key | None) -> int:
    """The mode feature: 0 major, 1 minor, and 0 where the key is None."""
    return 0 if key is None else MODES.index(key.mode)
