"""What benchmarks/eight_bits.py counts as a difference of two records."""

from pathlib import Path

import pytest
from scripts import module_at
from space_records import record

from modeling_m2e import ChordSegment
from modeling_m2e.record_m2e import Mood

pytest.importorskip("onnxruntime", reason='onnxruntime is in the extra "onnx"')

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def script():
    return module_at(ROOT / "benchmarks" / "eight_bits.py")


def test_a_record_differs_from_another_by_its_largest_parts(script):
    chords = [ChordSegment(0, 2, "N"), ChordSegment(2, 35.5, "C#:min"), ChordSegment(35.5, 71, "A:min")]
    moods = [Mood("mood1", 0.65), Mood("mood0", 0.9)]
    other = record(valence=5.5, arousal=3.25, chords=chords, moods=moods)
    valence, arousal, mood, time = script.differences(record(), other)
    assert (valence, arousal, mood) == pytest.approx((0.5, 0.25, 0.2))
    assert time == pytest.approx(0.5, abs=0.001)
    assert script.differences(record(), record()) == [0, 0, 0, 0]
