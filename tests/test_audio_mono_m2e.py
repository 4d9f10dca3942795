"""Mixing down to mono, and samples that are not on the scale of audio."""

import tracemalloc

import numpy as np
import pytest
from sounds import RATE, assert_one_sentence, encoded, needs_ffmpeg, noise, read, tone

from m2e.errors import AudioError
from modeling_m2e.audio_blocks_m2e import AudioReport
from modeling_m2e.audio_m2e import load
from modeling_m2e.audio_mono_m2e import MonoMixer


def surround(**channels: np.ndarray) -> np.ndarray:
    order = ["FL", "FR", "FC", "LFE", "BL", "BR"]
    length = len(next(iter(channels.values())))
    return np.stack([channels.get(name, np.zeros(length, np.float32)) for name in order], axis=1)


# --- channels ---


def test_stereo_in_surround_is_as_loud_as_stereo():
    left, right = noise(2.0), noise(2.0, seed=1)
    waveform, _, report = read((surround(FL=left, FR=right), RATE))
    np.testing.assert_allclose(waveform, (left + right) / 2, atol=1e-6)
    assert not report.warnings


def test_standard_coefficients():
    parts = {name: noise(1.0, seed=seed) for seed, name in enumerate(("FL", "FR", "FC", "LFE", "BL", "BR"))}
    waveform, _, _ = read((surround(**parts), RATE))
    sides = parts["FL"] + parts["FR"] + (parts["BL"] + parts["BR"]) * 0.5**0.5
    np.testing.assert_allclose(waveform, sides / 2 + parts["FC"] * 0.5**0.5, atol=1e-6)


def test_one_channel_with_sound_counts_alone():
    for channels in (2, 3, 6, 8):
        for index in range(channels):
            block = np.zeros((2 * RATE, channels), np.float32)
            block[:, index] = tone(2.0)
            waveform, _, report = read((block, RATE))
            np.testing.assert_allclose(waveform, tone(2.0), atol=1e-6)
            assert report.warnings == [f"Only one of {channels} channels has sound; the others were ignored."]


def test_unknown_layouts_are_averaged_over_channels_with_sound():
    block = np.zeros((2 * RATE, 12), np.float32)
    block[:, 3], block[:, 7] = noise(2.0), noise(2.0, seed=1)
    np.testing.assert_allclose(read((block, RATE))[0], (block[:, 3] + block[:, 7]) / 2, atol=1e-6)


@pytest.mark.parametrize("factor", [1.0, 0.995, 0.9])
def test_channels_that_cancel_each_other(factor):
    waveform, _, report = read((np.stack([tone(2.0), -factor * tone(2.0)], 1), RATE))
    np.testing.assert_allclose(waveform, tone(2.0), atol=1e-6)
    assert report.warnings == ["The channels cancel each other out in mono; only the strongest was used."]


def test_wide_stereo_is_not_cancelled():
    middle, side = noise(2.0) / 4, noise(2.0, seed=1) / 4
    waveform, _, report = read((np.stack([middle + 2 * side, middle - 2 * side], 1), RATE))
    np.testing.assert_allclose(waveform, middle, atol=1e-5)
    assert not report.warnings


@needs_ffmpeg
@pytest.mark.parametrize("codec", ["flac", "libvorbis", "libopus", "aac", "ac3"])
def test_the_bass_channel_is_left_out_in_every_format(codec, tmp_path):
    """The mono signal has the front tones, not the tone of the bass channel, wherever the format keeps it."""
    import subprocess

    rate = 48_000
    parts = {
        "FL": tone(3.0, rate, 500.0),
        "FR": tone(3.0, rate, 700.0),
        "FC": tone(3.0, rate, 900.0),
        "LFE": tone(3.0, rate, 60.0),
    }
    source = tmp_path / "surround.wav"
    source.write_bytes(encoded(surround(**parts) / 2, rate, "WAVEX"))
    target = tmp_path / {"flac": "a.flac", "aac": "a.m4a", "ac3": "a.ac3"}.get(codec, "a.ogg")
    command = [
        "ffmpeg",
        "-nostdin",
        "-loglevel",
        "error",
        "-channel_layout",
        "5.1",
        "-i",
        str(source),
        "-c:a",
        codec,
        str(target),
    ]
    if subprocess.run(command).returncode:
        pytest.skip(f"this ffmpeg has no encoder {codec}")
    waveform, _, _ = read(target)
    spectrum = np.abs(np.fft.rfft(waveform[rate : 2 * rate]))
    strength = {frequency: spectrum[frequency - 3 : frequency + 4].max() for frequency in (60, 500, 700, 900)}
    assert strength[900] / strength[500] == pytest.approx(2**0.5, rel=0.1)
    assert strength[700] / strength[500] == pytest.approx(1.0, rel=0.1)
    assert strength[60] < 0.1 * strength[500]


# --- scale ---


@pytest.mark.parametrize("bits", [16, 24, 32])
def test_integers_cast_to_float(bits):
    wave = tone(2.0)
    for source in (
        (wave.astype(np.float64) * 2 ** (bits - 1), RATE),
        encoded(wave * np.float32(2 ** (bits - 1)), subtype="FLOAT"),
    ):
        waveform, _, report = read(source)
        np.testing.assert_allclose(waveform, wave, atol=1e-3)
        assert report.warnings == [
            f"The samples are on the scale of {bits}-bit integers; they were divided by 2^{bits - 1}."
        ]


@pytest.mark.parametrize("bits", [16, 24])
def test_shorter_integers_in_32_bits(bits):
    samples = (tone(2.0) * (2 ** (bits - 1) - 1)).astype(np.int32)
    waveform, _, report = read((samples, RATE))
    np.testing.assert_allclose(waveform, tone(2.0), atol=1e-3)
    assert report.warnings == [f"The 32-bit integers hold {bits}-bit samples; they were divided by 2^{bits - 1}."]


def test_absurd_scales_are_refused_for_their_reason():
    for source in ((tone(2.0) * 1e30, RATE), encoded(tone(2.0) * np.float32(1e30), subtype="FLOAT")):
        with pytest.raises(AudioError, match=r"samples up to 5e\+29, which is no scale of audio") as error:
            load(source)
        assert_one_sentence(error, "<array>" if isinstance(source, tuple) else "<bytes>")


def test_a_single_bad_sample_is_clipped():
    wave = tone(2.0)
    wave[100] = 1e6
    waveform, _, report = read((wave, RATE))
    assert waveform[100] == 1.0 and report.warnings == ["Single samples far beyond full scale were clipped."]
    np.testing.assert_allclose(np.delete(waveform, 100), np.delete(wave, 100), atol=1e-6)


def test_peaks_a_little_over_full_scale_are_sound():
    wave = 4 * noise(2.0)
    waveform, _, report = read((wave, RATE))
    np.testing.assert_allclose(waveform, wave, atol=1e-6)
    assert not any("scale of" in warning for warning in report.warnings)


def test_offset_is_subtracted():
    waveform, _, report = read((0.5 * noise(40.0) + 0.3, RATE))
    assert abs(waveform.mean()) < 0.01 and np.abs(np.diff(waveform)).max() < 1.5
    assert report.warnings == ["The samples have a DC offset of 0.30, which was subtracted."]
    with pytest.raises(AudioError, match="silent"):
        load((np.full(2 * RATE, 0.5), RATE))


def test_quiet_and_clipped_tracks_are_named():
    assert read((tone(2.0) / 100, RATE))[2].warnings == ["The track is nearly silent: its peak is -46 dBFS."]
    (warning,) = read(((10 * tone(2.0)).clip(-1, 1), RATE))[2].warnings
    assert warning.startswith("The track is clipped: 8")
    assert read((noise(2.0), RATE))[2].warnings == []


def test_clipping_counts_on_both_sides_and_in_any_channel():
    block = np.stack([noise(2.0), noise(2.0, seed=1)], 1) / 2
    block[::60, 0], block[30::60, 1] = 1.0, -1.0
    assert read((block, RATE))[2].warnings == ["The track is clipped: 3% of it is at full scale."]


# --- memory ---


def test_a_block_is_mixed_in_less_than_three_times_its_memory():
    block = np.stack([noise(60.0), noise(60.0, seed=1)], 1)
    mixer = MonoMixer("track", RATE, AudioReport())
    tracemalloc.start()
    try:
        mixer.mix(block)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2.75 * block.nbytes  # in addition to the block itself
