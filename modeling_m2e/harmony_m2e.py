"""Harmony as symbols: chord labels, the key of a piece, and the chord tokens that the network reads.

Pure functions on short lists of timed chords; nothing here knows audio, files or tensors. A chord label follows Harte
et al. (ISMIR 2005): `C:maj`, `Bb:min7/b3`, `F#:sus4(b7)`, `N` for "no chord", `X` for "no match"; a bare root means
major, and a bass is a degree above the root. The recogniser knows 12 roots x 14 qualities, and any other chord is read
as the nearest of those. Any spelling of a pitch is read; pitches are written with sharps. "Paper" is Kang & Herremans
(2025, arXiv 2502.03979), "published" its code and checkpoints.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

ROOTS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_MAJOR_SCALE = (0, 2, 4, 5, 7, 9, 11)  # degrees 1 to 7, semitones above the root
_NATURALS = dict(zip("CDEFGAB", _MAJOR_SCALE, strict=True))

# Harte's shorthands and the later ones in common use, as degrees above the root. The first 14, in this order, are the
# qualities of the recogniser (BTC, Park et al., ISMIR 2019, large vocabulary).
_SHORTHANDS = {
    "min": "b3 5",
    "maj": "3 5",
    "dim": "b3 b5",
    "aug": "3 #5",
    "min6": "b3 5 6",
    "maj6": "3 5 6",
    "min7": "b3 5 b7",
    "minmaj7": "b3 5 7",
    "maj7": "3 5 7",
    "7": "3 5 b7",
    "dim7": "b3 b5 bb7",
    "hdim7": "b3 b5 b7",
    "sus2": "2 5",
    "sus4": "4 5",
    "1": "",
    "5": "5",
    "aug7": "3 #5 b7",
}
QUALITIES = tuple(_SHORTHANDS)[:14]
# Ninths, elevenths and thirteenths count as their seventh chord.
_SHORTHANDS |= {f"{kind}{n}": _SHORTHANDS[f"{kind}7"] for kind in ("", "maj", "min") for n in (9, 11, 13)}
# The 170 classes of the recogniser in the order of its output; a bare root is its major triad.
VOCABULARY = (*(root if q == "maj" else f"{root}:{q}" for root in ROOTS for q in QUALITIES), "X", "N")

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
MODES = ("major", "minor")
_NORMAL_TONIC = {"major": 0, "minor": 9}  # C major, A minor (paper)
_TIE = 1e-9  # correlations closer than this differ by rounding only

# Token ids "m2e": padding, N and X are three things; roots and qualities follow.
PAD_TOKEN, NO_CHORD_TOKEN, NO_MATCH_TOKEN, _FIRST_TOKEN = 0, 1, 2, 3
N_ROOT_TOKENS = _FIRST_TOKEN + len(ROOTS)
N_QUALITY_TOKENS = _FIRST_TOKEN + len(QUALITIES)
# Token ids "paper": those of the published checkpoints, which have no minmaj7 and one id for padding, N and X.
_PAPER_QUALITIES = ("maj", "dim", "sus4", "min7", "min", "sus2", "aug", "dim7", "maj6", "hdim7", "7", "min6", "maj7")
_PAPER_QUALITY_IDS = {quality: i for i, quality in enumerate(_PAPER_QUALITIES, start=1)}
_PAPER_QUALITY_IDS["minmaj7"] = _PAPER_QUALITY_IDS["min"]
PAPER_MAX_CHORDS = 100

_DEGREE = r"(?:b*|#*)(?:1[0-3]|[1-9])"
_LABEL = re.compile(
    r"(?P<root>[A-G](?:b*|#*))"
    rf"(?P<rest>(?::(?=[^/])(?P<shorthand>{'|'.join(_SHORTHANDS)})?(?:\((?P<degrees>\*?{_DEGREE}(?:,\*?{_DEGREE})*)\))?)?"
    rf"(?:/{_DEGREE})?)"
)


class ChordLabelError(ValueError):
    """A chord label, pitch name or line of a chord file that does not follow the notation."""


@dataclass(frozen=True)
class ChordSegment:
    """One chord from `start` to `end` in seconds; `label` is in Harte notation, `N` or `X`."""

    start: float
    end: float
    label: str

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.end - self.start


@dataclass(frozen=True)
class Key:
    """A key: `tonic`, `mode` "major" or "minor", `confidence` from 0 to 1 (see `estimate_key`)."""

    tonic: str
    mode: str
    confidence: float = 1.0

    def __post_init__(self):
        if self.mode not in MODES:
            raise ValueError(f"Unknown mode {self.mode!r}: a key is 'major' or 'minor'.")

    def __str__(self) -> str:
        return f"{self.tonic} {self.mode}"


@dataclass(frozen=True)
class Chord:
    """What a label means to the recogniser: `root` 0..11 (C = 0), one of QUALITIES; both None for kind "N" and "X"."""

    root: int | None
    quality: str | None
    kind: str = "chord"

    @property
    def label(self) -> str:
        """Harte notation with sharps and the quality written out: `C:maj`, `N`."""
        return f"{ROOTS[self.root]}:{self.quality}" if self.kind == "chord" else self.kind

    @property
    def index(self) -> int:
        """Class in VOCABULARY."""
        if self.kind == "chord":
            return self.root * len(QUALITIES) + QUALITIES.index(self.quality)
        return VOCABULARY.index(self.kind)

    @property
    def pitch_classes(self) -> list[int]:
        """The pitch classes that sound: none for `N`, all twelve for `X` (which says that something else sounds)."""
        if self.kind == "chord":
            return sorted((self.root + interval) % 12 for interval in _INTERVALS[self.quality])
        return [] if self.kind == "N" else list(range(12))


@dataclass(frozen=True)
class ChordTokens:
    """A chord sequence of L chords as the network reads it: ids int64 (L,) and seconds float32 (L,)."""

    roots: np.ndarray
    qualities: np.ndarray
    durations: np.ndarray


def pitch_class(name: str) -> int:
    """Pitch class 0..11 (C = 0) of a name with any number of flats or sharps; raises ChordLabelError otherwise."""
    if not re.fullmatch(r"[A-G](?:b*|#*)", name):
        raise ChordLabelError(f"{name!r} is not a pitch name: write A to G followed by flats (b) or sharps (#).")
    return (_NATURALS[name[0]] + name.count("#") - name.count("b")) % 12


def _intervals(degrees: Iterable[str], highest: int) -> frozenset[int]:
    """Semitones above the root (mod 12) of those degrees whose number is at most `highest`."""
    numbers = {degree: int(degree.lstrip("b#")) for degree in degrees}
    return frozenset(
        (_MAJOR_SCALE[(number - 1) % 7] + degree.count("#") - degree.count("b")) % 12
        for degree, number in numbers.items()
        if number <= highest
    )


_INTERVALS = {quality: _intervals(("1", *_SHORTHANDS[quality].split()), highest=7) for quality in QUALITIES}


@lru_cache(maxsize=4096)
def parse_chord(label: str) -> Chord:
    """The chord that `label` means, reduced to the 14 qualities; raises ChordLabelError where it is not Harte notation.

    The nearest quality is the one whose pitch classes differ least from those of the label up to the seventh; tensions
    (degrees above 7) decide where several are as near, then the shorthand as written, then major. The bass is dropped.
    """
    if label in ("N", "X"):
        return Chord(None, None, label)
    match = _LABEL.fullmatch(label)
    if match is None:
        raise ChordLabelError(f"{label!r} is not a chord label: write it like C:maj, Bb:min7, F#:sus4(b7)/5, N or X.")
    root = pitch_class(match["root"])
    shorthand = match["shorthand"] or ("" if match["degrees"] else "maj")
    if shorthand in QUALITIES and not match["degrees"]:
        return Chord(root, shorthand)
    written = match["degrees"].split(",") if match["degrees"] else []
    added = ["1", *_SHORTHANDS.get(shorthand, "").split(), *(d for d in written if d[0] != "*")]
    omitted = _intervals((d[1:] for d in written if d[0] == "*"), highest=13)
    core, full = (_intervals(added, highest) - omitted for highest in (7, 13))

    def distance(quality: str) -> tuple:
        reference = _INTERVALS[quality]
        return len(core ^ reference), len(full ^ reference), quality != shorthand, quality != "maj"

    return Chord(root, min(QUALITIES, key=distance))


def read_lab(text: str) -> list[ChordSegment]:
    """The segments of a chord file: one `start end label` per line (seconds), `#` starts a comment line.

    Labels keep their extensions and bass; a bare root gets its `:maj`. Raises ChordLabelError naming the line.
    """
    segments = []
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        try:
            start, end, label = fields
            segment = ChordSegment(float(start), float(end), _with_quality(label))
        except ChordLabelError as error:
            raise ChordLabelError(f"Line {number}: {error}") from None
        except ValueError:
            raise ChordLabelError(f"Line {number} is not 'start end label' with times in seconds: {line!r}.") from None
        if not 0 <= segment.start <= segment.end < float("inf"):
            raise ChordLabelError(f"Line {number} needs times with 0 <= start <= end: {line!r}.")
        segments.append(segment)
    return segments


def write_lab(segments: Iterable[ChordSegment], style: str = "harte") -> str:
    """The chord file of `segments`, times with three decimals; style "paper" writes a major triad as its bare root."""
    if style not in ("harte", "paper"):
        raise ValueError(f"Unknown chord file style {style!r}: choose 'harte' or 'paper'.")
    labels = ((s, s.label.removesuffix(":maj") if style == "paper" else s.label) for s in segments)
    return "".join(f"{s.start:.3f} {s.end:.3f} {label}\n" for s, label in labels)


def _with_quality(label: str) -> str:
    """The label with `:maj` written out where only a root (and a bass) stands."""
    if parse_chord(label).kind != "chord" or ":" in label:
        return label
    root, slash, bass = label.partition("/")
    return f"{root}:maj{slash}{bass}"


def pitch_class_histogram(segments: Iterable[ChordSegment]) -> np.ndarray:
    """Seconds that each pitch class sounds, float64 (12,), C first. `N` sounds none, `X` all twelve."""
    histogram = np.zeros(12)
    for segment in segments:
        histogram[parse_chord(segment.label).pitch_classes] += segment.duration
    return histogram


def key_correlations(histogram: np.ndarray, profile: str = "aarden-essen") -> np.ndarray:
    """Pearson correlation of a pitch-class histogram (12,) with the profile of every key, float64 (2, 12): mode, tonic.

    All zero for a flat histogram. Method: Krumhansl & Schmuckler (Krumhansl 1990, chapter 4).
    """
    if profile not in KEY_PROFILES:
        raise ValueError(f"Unknown key profile {profile!r}: choose one of {', '.join(KEY_PROFILES)}.")
    centred = histogram - histogram.mean()
    norm = np.linalg.norm(centred)
    if norm <= _TIE * np.linalg.norm(histogram):
        return np.zeros((2, 12))
    weights = np.array([[np.roll(mode, tonic) for tonic in range(12)] for mode in KEY_PROFILES[profile]])
    weights -= weights.mean(axis=-1, keepdims=True)
    return weights @ centred / (np.linalg.norm(weights, axis=-1) * norm)


def _music21_correlations(segments: Sequence[ChordSegment], profile: str) -> np.ndarray:
    """As `key_correlations`, computed by music21 from the chords."""
    try:
        from music21 import chord, stream
    except ImportError as error:
        raise ImportError("Key backend 'music21' needs music21: pip install music21, or use 'histogram'.") from error
    score = stream.Stream()
    for segment in segments:
        pitches = parse_chord(segment.label).pitch_classes
        if pitches and segment.duration > 0:  # nothing sounds otherwise
            score.append(chord.Chord(pitches, quarterLength=segment.duration))
    best = score.analyze(profile)
    correlations = np.zeros((2, 12))
    for key in (best, *best.alternateInterpretations):
        correlations[MODES.index(key.mode), key.tonic.pitchClass] = key.correlationCoefficient
    return correlations


def estimate_key(
    segments: Sequence[ChordSegment], backend: str = "histogram", profile: str = "aarden-essen"
) -> Key | None:
    """The key of a chord sequence, or None where nothing decides it.

    The key is the one whose profile correlates best with the seconds of each pitch class. None: no chord sounds, all
    pitch classes sound equally long, or several keys correlate equally (a lone diminished seventh chord).
    Its confidence is exp(r / T) / sum(exp(r_k / T)) over the correlations r_k of all 24 keys, with the temperature T of
    the profile: with annotated chords, about the share of pop songs for which such a key is right; near 1/2 if a second
    key fits as well.
    Backend "histogram" is self-contained; "music21" lets music21 correlate, as the paper does.
    """
    if backend not in ("histogram", "music21"):
        raise ValueError(f"Unknown key backend {backend!r}: choose 'histogram' or 'music21'.")
    correlations = key_correlations(pitch_class_histogram(segments), profile)
    if backend == "music21" and correlations.any():
        correlations = _music21_correlations(segments, profile)
    best = correlations.max()
    winners = np.argwhere(correlations > best - _TIE)
    if len(winners) > 1:
        return None
    mode, tonic = winners[0]
    confidence = 1 / np.exp((correlations - best) / _TEMPERATURES[profile]).sum()
    return Key(ROOTS[tonic], MODES[mode], float(confidence))


def transpose(segments: Iterable[ChordSegment], semitones: int) -> list[ChordSegment]:
    """The segments moved up by `semitones`, roots respelled with sharps, the rest of every label as it was."""

    def moved(label: str) -> str:
        label = _with_quality(label)
        if label in ("N", "X"):
            return label
        match = _LABEL.fullmatch(label)
        return ROOTS[(pitch_class(match["root"]) + semitones) % 12] + match["rest"]

    return [replace(segment, label=moved(segment.label)) for segment in segments]


def normalise(segments: Iterable[ChordSegment], key: Key | None) -> list[ChordSegment]:
    """The segments moved to C major or A minor (as in the paper); not moved where the key is None."""
    return transpose(segments, 0 if key is None else _NORMAL_TONIC[key.mode] - pitch_class(key.tonic))


def chord_tokens(
    segments: Sequence[ChordSegment], key: Key | None, vocabulary: str = "m2e", max_chords: int | None = None
) -> ChordTokens:
    """The tokens of the first `max_chords` segments after normalisation by `key`, not padded.

    Vocabulary "m2e" takes all segments by default; "paper" gives the ids of the published checkpoints and takes 100.
    """
    if vocabulary not in ("m2e", "paper"):
        raise ValueError(f"Unknown chord vocabulary {vocabulary!r}: choose 'm2e' or 'paper'.")
    if max_chords is None and vocabulary == "paper":
        max_chords = PAPER_MAX_CHORDS
    segments = normalise(segments[:max_chords], key)
    token = _paper_token if vocabulary == "paper" else _token
    ids = np.array([token(parse_chord(s.label)) for s in segments], dtype=np.int64).reshape(-1, 2)
    return ChordTokens(ids[:, 0], ids[:, 1], np.array([s.duration for s in segments], dtype=np.float32))


def _token(chord: Chord) -> tuple[int, int]:
    if chord.kind == "chord":
        return _FIRST_TOKEN + chord.root, _FIRST_TOKEN + QUALITIES.index(chord.quality)
    token = NO_CHORD_TOKEN if chord.kind == "N" else NO_MATCH_TOKEN
    return token, token


def _paper_token(chord: Chord) -> tuple[int, int]:
    return (1 + chord.root, _PAPER_QUALITY_IDS[chord.quality]) if chord.kind == "chord" else (0, 0)


def mode_index(key: Key | None) -> int:
    """The mode feature: 0 major, 1 minor, and 0 where the key is None."""
    return 0 if key is None else MODES.index(key.mode)
