"""One state of a file from another: what is needed to undo a change of its tags, in little space. Pure.

Zstandard takes the new state as its dictionary, so that only what differs takes space: a few kilobytes, and some bytes
for every page of an Ogg file.
"""

import sys

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAX_BYTES = 1 << 30  # of a file: both states must lie in the largest window of Zstandard, 2 GiB
_MAX_WINDOW = 31  # bits


def make_delta(wanted: bytes, known: bytes) -> bytes:
    """What `apply_delta` needs to make `wanted` from `known`. Both have at most MAX_BYTES."""
    window = min(max((len(wanted) + len(known)).bit_length(), 10), _MAX_WINDOW)
    options: dict[int, int] = {
        zstd.CompressionParameter.compression_level: 1,
        zstd.CompressionParameter.window_log: window,
        zstd.CompressionParameter.enable_long_distance_matching: 1,
    }
    return zstd.compress(wanted, options=options, zstd_dict=_prefix(known))


def apply_delta(delta: bytes, known: bytes) -> bytes:
    """The state that `make_delta` was given. Raises ValueError for a delta that is damaged or of another state."""
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _MAX_WINDOW}
    try:
        return zstd.decompress(delta, zstd_dict=_prefix(known), options=options)
    except zstd.ZstdError as error:
        raise ValueError(f"the delta cannot be applied ({error})") from error


def _prefix(known: bytes) -> "tuple[zstd.ZstdDict, int]":
    return zstd.ZstdDict(known.ljust(8, b"\0"), is_raw=True).as_prefix  # a dictionary has 8 bytes at least
