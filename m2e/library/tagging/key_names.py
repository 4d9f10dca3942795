"""How DJ software writes a musical key. Pure."""

from typing import Literal

Notation = Literal["standard", "camelot", "open-key"]

_NATURALS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_ACCIDENTALS = {"#": 1, "b": -1}
# The spelling with the fewest accidentals, as on the Camelot wheel; G flat major is written F#.
_MAJOR = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
_MINOR = ("Cm", "C#m", "Dm", "Ebm", "Em", "Fm", "F#m", "Gm", "G#m", "Am", "Bbm", "Bm")


def pitch_class(tonic: str) -> int:
    """0 for C to 11 for B. Raises ValueError for anything that is no pitch, such as `H`."""
    if tonic[:1] not in _NATURALS or set(tonic[1:]) - set(_ACCIDENTALS):
        raise ValueError(f"{tonic!r} is no pitch")
    return (_NATURALS[tonic[0]] + sum(_ACCIDENTALS[sign] for sign in tonic[1:])) % 12


def key_name(tonic: str, mode: str, notation: Notation = "standard") -> str:
    """`Am`; `8A` (Camelot); `1m` (Open Key).

    Both wheels count fifths: C major is 8B and 1d, A minor 8A and 1m. Raises ValueError for an unknown tonic.
    """
    pitch, minor = pitch_class(tonic), mode == "minor"
    if notation == "standard":
        return (_MINOR if minor else _MAJOR)[pitch]
    fifths = (pitch + 3 if minor else pitch) * 7 % 12  # of the relative major, above C
    if notation == "camelot":
        return f"{(fifths + 7) % 12 + 1}{'A' if minor else 'B'}"
    return f"{fifths + 1}{'m' if minor else 'd'}"
