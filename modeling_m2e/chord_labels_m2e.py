"""Chord labels, chord files, and the chord tokens of the network.

Pure functions on short lists of timed chords, without audio, files or tensors. A chord label follows Harte et al.
(ISMIR 2005): `C:maj`, `Bb:min7/b3`, `F#:sus4(b7)`, `N` for "no chord", `X` for "no match"; a bare root means major, and
a bass is a degree above the root. The recogniser has classes for 12 roots x 14 qualities; any other chord is reduced to
the nearest of them. Any spelling of a pitch is read; pitches are written with sharps. "Paper" is Kang & Herremans
(2025, arXiv 2502.03979), "published" its code and checkpoints.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from .errors_m2e import DataError

ROOTS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_MAJOR_SCALE = (0, 2, 4, 5, 7, 9, 11)  # degrees 1 to 7, semitones above the root
_NATURALS = dict(zip("CDEFGAB", _MAJOR_SCALE, strict=True))

# Harte's shorthands and later ones in common use, as degrees above the root. The first 14, in this order, are the
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

NO_CHORD_LABEL = VOCABULARY[-1]

PAD_TOKEN = 0  # of roots and qualities, in both vocabularies of token ids
PAPER_MAX_CHORDS = 100

_DEGREE = r"(?:b*|#*)(?:1[0-3]|[1-9])"
_LABEL = re.compile(
    r"(?P<root>[A-G](?:b*|#*))"
    rf"(?P<rest>(?::(?=[^/])(?P<shorthand>{'|'.join(_SHORTHANDS)})?(?:\((?P<degrees>\*?{_DEGREE}(?:,\*?{_DEGREE})*)\))?)?"
    rf"(?:/{_DEGREE})?)"
)


@dataclass(frozen=True)
class ChordSegment:
    """One chord from `start` to `end` in seconds; `label` is in Harte notation, `N` or `X`.

    confidence: mean probability of its frames, where the recogniser knows it; no part of what makes segments equal.
    """

    start: float
    end: float
    label: str
    confidence: float | None = field(default=None, compare=False)

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.end - self.start

    @property
    def chord(self) -> "Chord":
        """The class of the label; raises DataError where it is not Harte notation."""
        return parse_chord(self.label)


@dataclass(frozen=True)
class Chord:
    """A chord class of the recogniser: its id, the index in VOCABULARY."""

    index: int

    @property
    def kind(self) -> str:
        """One of "chord", "N" and "X"; the last two have neither root nor quality."""
        return "chord" if self.index < len(ROOTS) * len(QUALITIES) else VOCABULARY[self.index]

    @property
    def root(self) -> int:
        """Pitch class 0..11 (C = 0); ValueError for N and X."""
        return self._parts[0]

    @property
    def quality(self) -> str:
        """One of QUALITIES; ValueError for N and X."""
        return QUALITIES[self._parts[1]]

    @property
    def label(self) -> str:
        """Harte notation with sharps and the quality written out: `C:maj`, `N`."""
        return f"{ROOTS[self.root]}:{self.quality}" if self.kind == "chord" else self.kind

    @property
    def pitch_classes(self) -> list[int]:
        """The pitch classes that sound: none for `N`, all twelve for `X` (which says that something else sounds)."""
        if self.kind == "chord":
            return sorted((self.root + interval) % 12 for interval in _INTERVALS[self.quality])
        return [] if self.kind == "N" else list(range(12))

    def transposed(self, semitones: int) -> "Chord":
        """The chord moved up by `semitones`; N and X stay."""
        if self.kind != "chord":
            return self
        root, quality = self._parts
        return Chord((root + semitones) % len(ROOTS) * len(QUALITIES) + quality)

    @property
    def _parts(self) -> tuple[int, int]:
        if self.kind != "chord":
            raise ValueError(f"{self.kind} has neither root nor quality.")
        return divmod(self.index, len(QUALITIES))


@dataclass(frozen=True)
class ChordTokens:
    """The network's input for a sequence of L chords: ids int64 (L,) and seconds float32 (L,)."""

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
    """The chord class of `label`; raises DataError where it is not Harte notation.

    Its quality is the one of 14 whose pitch classes differ least from those of the label up to the seventh. Tensions
    (degrees above 7) decide between equally near ones, then the shorthand as written, then major. The bass is dropped.
    """
    if label in ("N", "X"):
        return Chord(VOCABULARY.index(label))
    match = _LABEL.fullmatch(label)
    if match is None:
        raise DataError(f"{label!r} is not a chord label: write it like C:maj, Bb:min7, F#:sus4(b7)/5, N or X.")
    root = pitch_class(match["root"])
    shorthand = match["shorthand"] or ("" if match["degrees"] else "maj")
    if shorthand in QUALITIES and not match["degrees"]:
        return _chord(root, shorthand)
    written = match["degrees"].split(",") if match["degrees"] else []
    added = ["1", *_SHORTHANDS.get(shorthand, "").split(), *(d for d in written if d[0] != "*")]
    omitted = _intervals((d[1:] for d in written if d[0] == "*"), highest=13)
    core, full = (_intervals(added, highest) - omitted for highest in (7, 13))

    def distance(quality: str) -> tuple[int, int, bool, bool]:
        reference = _INTERVALS[quality]
        return len(core ^ reference), len(full ^ reference), quality != shorthand, quality != "maj"

    return _chord(root, min(QUALITIES, key=distance))


def _chord(root: int, quality: str) -> Chord:
    return Chord(root * len(QUALITIES) + QUALITIES.index(quality))


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
    """The segments moved up by `semitones`; roots are respelled with sharps, the rest of each label stays."""
    return [replace(segment, label=_transposed(segment.label, semitones)) for segment in segments]


@lru_cache(maxsize=4096)
def _transposed(label: str, semitones: int) -> str:
    chord = parse_chord(label)
    if chord.kind != "chord":
        return label
    rest = _with_quality(label).lstrip("ABCDEFG").lstrip("b#")
    return ROOTS[chord.transposed(semitones).root] + rest


def _token_ids(chords: Sequence[Chord]) -> np.ndarray:
    """(170, 2) token ids "m2e" of root and quality: 1 is N, 2 is X, roots and qualities begin at 3."""
    special = {"N": (1, 1), "X": (2, 2)}
    return np.array(
        [special.get(chord.kind) or (3 + chord.root, 3 + QUALITIES.index(chord.quality)) for chord in chords], np.int64
    )


def _paper_token_ids(chords: Sequence[Chord]) -> np.ndarray:
    """(170, 2) token ids "paper", of the published checkpoints: N and X as padding, and no minmaj7."""
    qualities = ("maj", "dim", "sus4", "min7", "min", "sus2", "aug", "dim7", "maj6", "hdim7", "7", "min6", "maj7")
    ids = {quality: number for number, quality in enumerate(qualities, start=1)}
    ids["minmaj7"] = ids["min"]
    return np.array(
        [(1 + chord.root, ids[chord.quality]) if chord.kind == "chord" else (PAD_TOKEN, PAD_TOKEN) for chord in chords],
        np.int64,
    )


_CHORDS = [Chord(index) for index in range(len(VOCABULARY))]
_TOKEN_IDS = {"m2e": _token_ids(_CHORDS), "paper": _paper_token_ids(_CHORDS)}


def without_edges(segments: Sequence[ChordSegment]) -> Sequence[ChordSegment]:
    """The segments from the first chord to the last: what is no chord before and after them is no harmony."""
    sounding = [index for index, segment in enumerate(segments) if segment.label != NO_CHORD_LABEL]
    return segments[sounding[0] : sounding[-1] + 1] if sounding else segments[:0]


def chord_tokens(
    segments: Sequence[ChordSegment], vocabulary: str = "m2e", max_chords: int | None = None
) -> ChordTokens:
    """The tokens of the first `max_chords` segments, without padding; the segments should be normalised (see key_m2e).

    Vocabulary "m2e" takes all segments by default; "paper" gives the ids of the published checkpoints and takes 100.
    """
    if vocabulary not in _TOKEN_IDS:
        raise ValueError(f"Unknown chord vocabulary {vocabulary!r}: choose 'm2e' or 'paper'.")
    if max_chords is None and vocabulary == "paper":
        max_chords = PAPER_MAX_CHORDS
    segments = segments[:max_chords]
    ids = _TOKEN_IDS[vocabulary][[segment.chord.index for segment in segments]].reshape(-1, 2)
    return ChordTokens(ids[:, 0], ids[:, 1], np.array([s.duration for s in segments], dtype=np.float32))
