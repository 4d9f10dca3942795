"""Musical keys as numbers 0-23, as names of any spelling, and as neighbours on the circle of fifths."""

import re

# The tonics of keys in the spelling with the fewest accidentals, from C upwards: of major keys, then of minor ones.
TONICS = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B") + (
    "C", "C#", "D", "Eb", "E", "F", "F#", "G", "G#", "A", "Bb", "B"
)  # fmt: skip
_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_NAME = re.compile(r"([A-G])([#b♯♭]?)[\s:]*(m|min|minor|moll|maj|major|dur)?", re.IGNORECASE)
_CAMELOT = re.compile(r"(1[0-2]|[1-9])([AB])", re.IGNORECASE)


def key_number(tonic: str, mode: str) -> int:
    """0-11 for major keys, 12-23 for minor ones, from C upwards in semitones."""
    pitch = _LETTERS[tonic[0].upper()] + {"": 0, "#": 1, "♯": 1, "b": -1, "♭": -1}[tonic[1:].lower()]
    return pitch % 12 + 12 * (mode == "minor")


def parse_key(text: str) -> int | None:
    """The number of a key such as Am, A minor, a:min, F#, Bb major or 8A (Camelot); None if it is none."""
    text = text.strip()
    if camelot := _CAMELOT.fullmatch(text):
        number, minor = int(camelot[1]), camelot[2].upper() == "A"
        major = (number - 8) * 7 % 12
        return (major - 3) % 12 + 12 if minor else major
    if not (name := _NAME.fullmatch(text)):
        return None
    mode = (name[3] or "").lower() if name[3] != "M" else ""
    return key_number(name[1] + name[2], "minor" if mode in ("m", "min", "minor", "moll") else "major")


def key_name(number: int) -> str:
    """'A minor', 'F# major'."""
    return f"{TONICS[number]} {'minor' if number >= 12 else 'major'}"


def short_key(number: int) -> str:
    """'Am', 'F#'."""
    return TONICS[number] + ("m" if number >= 12 else "")


def camelot(number: int) -> tuple[int, bool]:
    """(place 1-12 on the circle of fifths as DJs count it, whether the key is minor): C major and A minor have 8."""
    minor = number >= 12
    return ((number + 3 * minor) % 12 * 7 + 7) % 12 + 1, minor


def neighbours(number: int) -> list[int]:
    """The keys that mix well with a key: itself, a fifth up and down, and the relative key."""
    return [other for other in range(24) if key_distance(number, other) <= 1]


def key_distance(one: int, other: int) -> int:
    """0 for equal keys, 1 for neighbours, up to 7: steps on the circle of fifths, and one for another mode."""
    (a, minor), (b, also) = camelot(one), camelot(other)
    steps = abs(a - b)
    return min(steps, 12 - steps) + (minor != also)
