"""Harmony as symbols: chord labels, chord files, and the chord tokens that the network reads.

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

from .errors_m2e import DataError

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
    """Pitch class 0..11 (C = 0) of a name with any number of flats or sharps; raises DataError otherwise."""
    if not re.fullmatch(r"[A-G](?:b*|#*)", name):
        raise DataError(f"{name!r} is not a pitch name: write A to G followed by flats (b) or sharps (#).")
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
    """The chord that `label` means, reduced to the 14 qualities; raises DataError where it is not Harte notation.

    The nearest quality is the one whose pitch classes differ least from those of the label up to the seventh; tensions
    (degrees above 7) decide where several are as near, then the shorthand as written, then major. The bass is dropped.
    """
    if label in ("N", "X"):
        return Chord(None, None, label)
    match = _LABEL.fullmatch(label)
    if match is None:
        raise DataError(f"{label!r} is not a chord label: write it like C:maj, Bb:min7, F#:sus4(b7)/5, N or X.")
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

    Labels keep their extensions and bass; a bare root gets its `:maj`. Raises DataError naming the line.
    """
    segments = []
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        try:
            start, end, label = fields
            segment = ChordSegment(float(start), float(end), _with_quality(label))
        except DataError as error:
            raise DataError(f"Line {number}: {error}") from None
        except ValueError:
            raise DataError(f"Line {number} is not 'start end label' with times in seconds: {line!r}.") from None
        if not 0 <= segment.start <= segment.end < float("inf"):
            raise DataError(f"Line {number} needs times with 0 <= start <= end: {line!r}.")
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


def transpose(segments: Iterable[ChordSegment], semitones: int) -> list[ChordSegment]:
    """The segments moved up by `semitones`, roots respelled with sharps, the rest of every label as it was."""

    def moved(label: str) -> str:
        label = _with_quality(label)
        if label in ("N", "X"):
            return label
        match = _LABEL.fullmatch(label)
        return ROOTS[(pitch_class(match["root"]) + semitones) % 12] + match["rest"]

    return [replace(segment, label=moved(segment.label)) for segment in segments]


def chord_tokens(
    segments: Sequence[ChordSegment], vocabulary: str = "m2e", max_chords: int | None = None
) -> ChordTokens:
    """The tokens of the first `max_chords` segments, which should be normalised (see key_m2e), not padded.

    Vocabulary "m2e" takes all segments by default; "paper" gives the ids of the published checkpoints and takes 100.
    """
    if vocabulary not in ("m2e", "paper"):
        raise ValueError(f"Unknown chord vocabulary {vocabulary!r}: choose 'm2e' or 'paper'.")
    if max_chords is None and vocabulary == "paper":
        max_chords = PAPER_MAX_CHORDS
    segments = segments[:max_chords]
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
