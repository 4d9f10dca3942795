"""Damaged and truncated files that ffmpeg decodes."""

import subprocess

import pytest
from sounds import encoded, needs_ffmpeg, read
from test_audio_sndfile_m2e import RATE, damaged, right_seconds, steps

from m2e.errors import AudioError
from modeling_m2e.audio_m2e import load

pytestmark = needs_ffmpeg
CODECS = {
    "m4a": "aac",
    "mkv": "aac",
    "wv": "wavpack",
    "tta": "tta",
    "avi": "ac3",
    "caf": "alac",
    "asf": "wmav2",
    "aac": "aac",
}


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """make(ending): twenty seconds in a file of that kind."""
    folder = tmp_path_factory.mktemp("made")
    source = folder / "source.wav"
    source.write_bytes(encoded(steps(20), RATE))

    def make(ending: str) -> bytes:
        target = folder / f"made.{ending}"
        if not target.exists():
            codec = ["-c:a", CODECS[ending], "-movflags", "+faststart"] if ending == "m4a" else ["-c:a", CODECS[ending]]
            subprocess.run(
                ["ffmpeg", "-nostdin", "-loglevel", "error", "-i", str(source), *codec, str(target)], check=True
            )
        return target.read_bytes()

    return make


@pytest.mark.parametrize("ending", sorted(CODECS))
def test_a_whole_file_gives_no_warning(make, ending, tmp_path):
    path = tmp_path / f"a.{ending}"
    path.write_bytes(make(ending))
    waveform, rate, report = read(path)
    assert len(waveform) / rate == pytest.approx(20.0, abs=0.2)
    assert report.warnings == [] and report.seconds_used == pytest.approx(20.0, abs=0.2)
    assert right_seconds(load(path, RATE)[0], 20) == list(range(20))


@pytest.mark.parametrize("ending", ["m4a", "mkv"])
def test_a_hole_is_silence_and_the_rest_stays_in_place(make, ending, tmp_path):
    path = tmp_path / f"a.{ending}"
    path.write_bytes(damaged(make(ending), "zeros"))
    waveform, rate, report = read(path)
    assert len(waveform) / rate == pytest.approx(20.0, abs=0.3)
    right = right_seconds(waveform, 20)
    assert len(right) >= 12 and {0, 5, 17, 18, 19} <= set(right)  # Matroska loses whole clusters
    assert report.warnings and report.seconds_used < 19


@pytest.mark.parametrize("ending", ["wv", "tta"])
def test_a_wrong_checksum_is_damage(make, ending, tmp_path):
    path = tmp_path / f"a.{ending}"
    path.write_bytes(damaged(make(ending), "zeros"))
    assert "damaged" in read(path)[2].warnings[0]


@pytest.mark.parametrize("ending", ["asf", "avi", "m4a", "tta", "wv"])
def test_truncated_files_give_a_warning_or_an_error(make, ending, tmp_path):
    path, data = tmp_path / f"a.{ending}", make(ending)
    path.write_bytes(data[: int(len(data) * 0.7)])
    waveform, rate, report = read(path)
    assert 11.5 < len(waveform) / rate < 17
    (warning,) = report.warnings
    assert warning.startswith("The file is ") and " s can be read" in warning
    if ending == "asf":  # ffmpeg gives no length for it
        return
    path.write_bytes(data[: int(len(data) * 0.3)])
    with pytest.raises(AudioError, match="truncated or damaged|cannot decode|can decode"):
        load(path)
