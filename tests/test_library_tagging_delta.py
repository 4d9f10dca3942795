"""A file's earlier state from its new one."""

import random

import pytest

from m2e.library.tagging.delta import apply_delta, make_delta


@pytest.mark.parametrize("size", [0, 1, 7, 8, 100_000])
def test_any_state_from_any_other(size):
    noise = random.Random(0).randbytes(size)
    for wanted, known in ((noise, b""), (b"", noise), (noise, noise[::-1]), (noise, noise), (noise, b"\0" * size)):
        assert apply_delta(make_delta(wanted, known), known) == wanted


def test_moved_audio_and_renumbered_pages_take_little_space():
    noise = random.Random(0)
    audio, picture = noise.randbytes(2_000_000), noise.randbytes(300_000)
    assert len(make_delta(b"ID3" + picture + audio, b"ID3 new tag" * 50 + picture + audio)) < 1000
    pages = [audio[at : at + 4500] for at in range(0, len(audio), 4500)]
    old, new = (b"".join(b"OggS" + noise.randbytes(8) + page for page in pages) for _ in range(2))
    assert len(make_delta(old, new)) < 20 * len(pages) + 1000


def test_a_delta_of_another_state_is_refused_or_wrong_but_never_a_crash():
    delta = make_delta(b"a" * 1000 + b"b", b"a" * 1000)
    for broken in (delta[:-3], b"", b"no delta"):
        with pytest.raises(ValueError):
            apply_delta(broken, b"a" * 1000)
