"""How DJ software writes a musical key. Pure."""

from typing import Literal

from m2e.library.keys import camelot, key_number

Notation = Literal["standard", "camelot", "open-key"]

# The spelling with the fewest accidentals, from C upwards; G flat major is written F#.
_MAJOR = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
_MINOR = ("Cm", "C#m", "Dm", "Ebm", "Em", "Fm", "F#m", "Gm", "G#m", "Am", "Bbm", "Bm")


def written_key(tonic: str, mode: str, notation: Notation = "standard") -> str:
    """`Am`; `8A` (Camelot); `1m` (Open Key). Raises LookupError for a tonic that is no pitch."""
    number = key_number(tonic, mode)
    if notation == "standard":
        return (_MAJOR + _MINOR)[number]
    place, minor = camelot(number)
    if notation == "camelot":
        return f"{place}{'A' if minor else 'B'}"
    return f"{(place + 4) % 12 + 1}{'m' if minor else 'd'}"  # Open Key begins with C major
