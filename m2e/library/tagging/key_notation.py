"""How DJ software writes a musical key. Pure."""

from typing import Literal

from m2e.library.keys import camelot, key_number, short_key

Notation = Literal["standard", "camelot", "open-key"]


def written_key(tonic: str, mode: str, notation: Notation = "standard") -> str:
    """`Am`; `8A` (Camelot); `1m` (Open Key). Raises LookupError for a tonic that is no pitch."""
    number = key_number(tonic, mode)
    if notation == "standard":
        return short_key(number)
    place, minor = camelot(number)
    if notation == "camelot":
        return f"{place}{'A' if minor else 'B'}"
    return f"{(place + 4) % 12 + 1}{'m' if minor else 'd'}"  # Open Key begins with C major
