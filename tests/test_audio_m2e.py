"""Sources of audio, resampling and streaming."""

import io
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import soxr
import torch
from sounds import RATE, encoded, joined, noise, tone

from modeling_m2e.audio_m2e import describe, load, stream

# --- sources ---


class Decoder:
    """What torchcodec gives."""

    def __init__(self, samples: np.ndarray, rate: int):
        self.samples, self.rate = samples, rate

    def get_all_samples(self):
        return SimpleNamespace(data=torch.from_numpy(self.samples), sample_rate=self.rate)


class Mapping:
    """What datasets gave before."""

    def __init__(self, samples: np.ndarray, rate: int):
        self.content = {"array": samples, "sampling_rate": rate}

    def __getitem__(self, key):
        return self.content[key]


class Pipe(io.RawIOBase):
    """A file that cannot seek, as stdin."""

    def __init__(self, data: bytes):
        self.data = io.BytesIO(data)

    def read(self, count=-1):
        return self.data.read(count)

    def seekable(self):
        return False


def test_every_kind_of_source_gives_the_same_waveform(tmp_path):
    stereo = np.stack([tone(1.0), tone(1.0, frequency=660.0)], axis=1)
    expected = stereo.mean(axis=1)
    path = tmp_path / "tone.wav"
    soundfile.write(path, stereo, RATE, subtype="FLOAT")
    data = path.read_bytes()
    with open(path, "rb") as file:
        sources = {
            "string": str(path),
            "path": path,
            "bytes": data,
            "bytearray": bytearray(data),
            "file": file,
            "buffer": io.BytesIO(data),
            "pipe": Pipe(data),
            "array": (expected, RATE),
            "frames first": (stereo, RATE),
            "channels first": (stereo.T, RATE),
            "float rate": (stereo, float(RATE)),
            "double": (torch.from_numpy(stereo).double(), np.int64(RATE)),
            "dict array": {"array": stereo.T, "sampling_rate": RATE},
            "dict raw": {"raw": expected, "sampling_rate": RATE},
            "dict list": {"array": expected.tolist(), "sampling_rate": RATE, "path": None},
            "dict tensor": {"array": torch.from_numpy(stereo).requires_grad_(), "sampling_rate": RATE},
            "dict bytes": {"bytes": data, "path": "elsewhere.wav"},
            "dict path": {"bytes": None, "path": str(path)},
            "dict only path": {"path": path},
            "decoder": Decoder(stereo.T.copy(), RATE),
            "mapping": Mapping(stereo, RATE),
        }
        for name, source in sources.items():
            waveform, rate = load(source)
            assert rate == RATE and waveform.dtype == np.float32, name
            np.testing.assert_allclose(waveform, expected, atol=1e-6, err_msg=name)
        assert not file.closed


def test_a_buffer_is_read_from_its_beginning():
    buffer = io.BytesIO()
    soundfile.write(buffer, tone(1.0), RATE, format="WAV")
    assert len(load(buffer)[0]) == RATE


@pytest.mark.parametrize("dtype", ["int16", "int32", "int8", "uint8"])
def test_integer_arrays_are_scaled(dtype):
    half = np.iinfo(dtype).max / 2 + np.iinfo(dtype).min / 2
    samples = (tone(1.0) * np.iinfo("int8" if dtype == "uint8" else dtype).max + half).round().astype(dtype)
    np.testing.assert_allclose(load((samples, RATE))[0], tone(1.0), atol=0.02 if "8" in dtype else 1e-3)


def test_bfloat16_tensor():
    samples = torch.from_numpy(tone(1.0)).bfloat16()
    np.testing.assert_allclose(load({"array": samples, "sampling_rate": RATE})[0], tone(1.0), atol=4e-3)


def test_describe(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"x")
    with open(path, "rb") as file:
        assert describe(file) == describe(path) == describe({"path": path, "bytes": b"x"}) == str(path)
    assert describe("https://example.org/a.mp3") == "https://example.org/a.mp3"
    assert describe(b"x") == describe({"bytes": b"x", "path": None}) == "<bytes>"
    assert describe((tone(1), RATE)) == describe({"array": tone(1), "sampling_rate": RATE}) == "<array>"
    assert describe(io.BytesIO()) == "<file>"
    assert describe(Decoder(tone(1), RATE)) == "<audio decoder>"


@pytest.mark.parametrize(
    ("format", "subtype", "rate", "tolerance"),
    [
        ("WAV", "PCM_24", 44_100, 1e-4),
        ("FLAC", "PCM_16", 44_100, 1e-4),
        ("AIFF", "PCM_16", 22_050, 1e-4),
        ("OGG", "VORBIS", 44_100, 0.05),
        ("OGG", "OPUS", 48_000, 0.05),
        ("MP3", "MPEG_LAYER_III", 44_100, 0.05),
        ("MP3", "MPEG_LAYER_III", 16_000, 0.05),
    ],
)
def test_formats_of_libsndfile(format, subtype, rate, tolerance, no_ffmpeg):
    wave = tone(3.0, rate)
    waveform, found = load(encoded(np.stack([wave, wave], 1), rate, format, subtype))
    assert found == rate and len(waveform) == len(wave)
    np.testing.assert_allclose(waveform[rate:-rate], wave[rate:-rate], atol=tolerance)


@pytest.mark.parametrize("rate", [8_000, 192_000])
def test_eight_channels_and_extreme_rates(rate):
    channels = np.stack([tone(1.0, rate, 100.0 * (index + 1)) for index in range(8)], axis=1)
    data = encoded(channels, rate, "WAV", "FLOAT")
    weights = [0.5, 0.5, 0.5**0.5, 0.0] + [0.5**1.5] * 4  # ITU-R BS.775, without the bass channel
    np.testing.assert_allclose(load(data)[0], channels @ weights, atol=1e-6)
    signals = joined(data, [16_000, 22_050, 24_000], 0.3)
    assert [len(signals[to]) for to in signals] == [16_000, 22_050, 24_000]


# --- streaming ---


@pytest.mark.parametrize("block_seconds", [0.01, 0.7, 30.0])
def test_blocks_join_to_the_one_shot_resampling(block_seconds):
    wave = noise(5.3217, 44_100)
    rates = [16_000, 22_050, 24_000, 44_100]
    signals = joined((wave, 44_100), rates, block_seconds)
    for rate in rates:
        expected = soxr.resample(wave, 44_100, rate, "HQ")
        assert signals[rate].dtype == np.float32
        np.testing.assert_allclose(signals[rate], expected, atol=1e-6)


def test_load_resamples_and_limits():
    wave = noise(5.0, 44_100)
    waveform, rate = load((wave, 44_100), 16_000)
    assert rate == 16_000
    np.testing.assert_allclose(waveform, soxr.resample(wave, 44_100, 16_000, "HQ"), atol=1e-6)
    assert load((wave, 44_100), max_seconds=2.0)[0].tolist() == wave[: 2 * 44_100].tolist()
    assert len(load((wave, 44_100), 16_000, 1.5)[0]) == 24_000
    assert len(load((wave, 44_100), max_seconds=60.0)[0]) == len(wave)


class CountingFile(io.BytesIO):
    bytes_read = 0

    def read(self, count=-1):
        data = super().read(count)
        self.bytes_read += len(data)
        return data

    def readinto(self, buffer):
        count = super().readinto(buffer)
        self.bytes_read += count
        return count


def test_blocks_are_decoded_lazily():
    file = CountingFile(encoded(noise(300.0)))
    blocks = stream(file, [16_000], 10.0)
    first = next(blocks)[16_000]
    assert 0 < len(first) <= 10 * 16_000
    assert file.bytes_read < 1.2 * 10 * RATE * 2  # ten of three hundred seconds, 16 bits each
    blocks.close()


def test_memory_stays_flat(tmp_path):
    path = tmp_path / "long.wav"
    with soundfile.SoundFile(path, "w", RATE, 2) as file:
        for seed in range(10):
            file.write(noise(30.0, channels=2, seed=seed))
    tracemalloc.start()
    samples = sum(len(block[16_000]) for block in stream(path, [16_000], 5.0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert samples == 300 * 16_000
    assert peak < 4e6  # the whole takes 19 MB at 16 kHz alone


def test_length_of_flac_written_to_a_pipe_is_unknown_and_no_obstacle(no_ffmpeg):
    data = bytearray(encoded(noise(3.0), format="FLAC"))
    data[21] &= 0xF0  # the 36 bits of STREAMINFO's sample count
    data[22:26] = bytes(4)
    assert len(load(bytes(data))[0]) == 3 * RATE


def test_wav_written_to_a_pipe_has_a_placeholder_for_its_length():
    data = bytearray(encoded(noise(2.0)))
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    assert len(load(bytes(data))[0]) == 2 * RATE


def headless_mp3(samples: np.ndarray, rate: int) -> bytes:
    """A variable-bit-rate MP3 without its first frame, which holds nothing but the length."""
    data = encoded(samples, rate, "MP3", bitrate_mode="VARIABLE", compression_level=0.5)
    start = data.index(b"\xff\xfb")
    kilobits = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)[data[start + 2] >> 4]
    size = 144_000 * kilobits // rate + (data[start + 2] >> 1 & 1)
    assert b"Xing" in data[start : start + size] and data[start + size : start + size + 2] == b"\xff\xfb"
    return data[start + size :]


@pytest.mark.parametrize("quiet_first", [True, False])
def test_mp3_without_a_length_is_read_to_its_end(quiet_first, no_ffmpeg):
    # The bit rate of the first frame is far from the mean: the guess from it is far from the length, on either side.
    parts = [0.001 * tone(4.0, 44_100), noise(8.0, 44_100)]
    wave = np.concatenate(parts if quiet_first else parts[::-1])
    data = headless_mp3(wave, 44_100)
    with soundfile.SoundFile(io.BytesIO(data)) as guess:
        assert abs(guess.frames / len(wave) - 1) > 0.1
    waveform, rate = load(data)
    assert 0 <= len(waveform) - len(wave) < 5_000  # the encoder's delay and padding, no longer declared
    assert len(load(data + b"TAG" + bytes(125))[0]) == len(waveform)  # ID3v1
    loud = np.flatnonzero(np.abs(waveform) > 0.05)[[0, -1]] / rate
    np.testing.assert_allclose(loud, [4.0, 12.0] if quiet_first else [0.0, 8.0], atol=0.1)
