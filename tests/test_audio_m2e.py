"""Decoding, checking, resampling and cutting of audio."""

import http.server
import io
import math
import os
import re
import shutil
import subprocess
import threading
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import soxr
import torch

from m2e.errors import AudioError
from modeling_m2e import audio_files_m2e
from modeling_m2e.audio_m2e import describe, load, stream

RATE = 8_000
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the program ffmpeg is absent")


@pytest.fixture
def no_ffmpeg(monkeypatch):
    monkeypatch.setenv("PATH", "")


def tone(seconds: float, rate: int = RATE, frequency: float = 440.0, channels: int = 1) -> np.ndarray:
    wave = 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate).astype(np.float32)
    return wave if channels == 1 else np.repeat(wave[:, None], channels, axis=1)


def noise(seconds: float, rate: int = RATE, channels: int = 1, seed: int = 0) -> np.ndarray:
    shape = round(seconds * rate) if channels == 1 else (round(seconds * rate), channels)
    return (0.2 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32).clip(-1, 1)


def encoded(samples: np.ndarray, rate: int = RATE, format: str = "WAV", subtype: str | None = None, **options) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=format, subtype=subtype, **options)
    return buffer.getvalue()


def joined(source, rates, seconds=30.0) -> dict[int, np.ndarray]:
    blocks = list(stream(source, rates, seconds))
    return {rate: np.concatenate([block[rate] for block in blocks]) for rate in rates}


def assert_one_sentence(error: pytest.ExceptionInfo, name: str) -> None:
    message = str(error.value)
    assert message.startswith(f"{name}: ") and message.endswith(".") and "\n" not in message
    assert not re.search(r"[a-z]\. [A-Z]", message), message


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
    np.testing.assert_allclose(load(data)[0], channels.mean(axis=1), atol=1e-6)
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


# --- errors ---


def text(path):
    path.write_text("This is not music.\n" * 100)


def html(path):
    path.write_text("<!doctype html><title>404</title>" * 100)


@pytest.mark.parametrize("ffmpeg", [pytest.param(True, marks=needs_ffmpeg), False])
@pytest.mark.parametrize(
    ("make", "name"), [(text, "song.mp3"), (text, "song.raw"), (html, "song.m4a"), (text, "-i.mp3")]
)
def test_files_that_are_no_audio(tmp_path, monkeypatch, request, make, name, ffmpeg):
    if not ffmpeg:
        request.getfixturevalue("no_ffmpeg")
    monkeypatch.chdir(tmp_path)
    make(tmp_path / name)
    with pytest.raises(AudioError) as error:
        load(name)
    assert_one_sentence(error, name)
    assert os.listdir(tmp_path) == [name]


def test_empty_missing_and_folder(tmp_path):
    (tmp_path / "empty.mp3").touch()
    cases = {"empty.mp3": (AudioError, "0 bytes"), "gone.wav": (AudioError, "no such file")}
    cases[""] = (AudioError, "folder")
    for name, (kind, words) in cases.items():
        path = tmp_path / name
        with pytest.raises(kind, match=words) as error:
            next(stream(path, [RATE]))
        assert_one_sentence(error, str(path))


def test_empty_sources():
    for source in (b"", io.BytesIO(), np.zeros((0,)), np.zeros((2, 0)), encoded(np.zeros(0))):
        with pytest.raises(AudioError):
            load((source, RATE) if isinstance(source, np.ndarray) else source)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (np.ones(RATE), "needs its sampling rate"),
        (torch.ones(RATE), "needs its sampling rate"),
        ({"array": np.ones(RATE)}, "needs its sampling rate"),
        ((np.ones(RATE), 0), "no sampling rate"),
        ((np.ones(RATE), math.nan), "no sampling rate"),
        ((np.ones(RATE), "8000"), "no sampling rate"),
        ((RATE, np.ones(RATE)), "is no audio"),
        ((np.ones((2, 2, RATE)), RATE), "is no audio"),
        ((np.ones(RATE, complex), RATE), "is no audio"),
        ((np.ones(RATE, int), RATE), "is no audio"),
        ({"bytes": None, "path": None}, "NoneType is no audio source"),
        (None, "NoneType is no audio source"),
        (42, "int is no audio source"),
        (io.StringIO("text"), "mode 'rb'"),
        ("ftp://example.org/a.mp3", "only http and https"),
        ("file:///etc/passwd", "only http and https"),
        ("a\0b.wav", "cannot be opened"),
    ],
)
def test_wrong_sources(source, words):
    with pytest.raises(AudioError, match=words) as error:
        load(source)
    assert_one_sentence(error, describe(source))


def test_decoder_failure_is_an_audio_error():
    broken = SimpleNamespace(get_all_samples=lambda: [][0])
    with pytest.raises(AudioError, match="cannot be decoded"):
        load(broken)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_invalid_samples(value):
    for channel in range(2):
        wave = tone(40.0, channels=2).copy()
        wave[35 * RATE, channel] = value
        with pytest.raises(AudioError) as error:
            load(encoded(wave, subtype="FLOAT"))
        assert_one_sentence(error, "<bytes>")
    with pytest.raises(AudioError):
        load((np.full(RATE, 1e300), RATE))  # beyond float32


def test_too_short():
    assert len(load((tone(0.5), RATE))[0]) == RATE // 2
    for samples in (1, 100, RATE // 2 - 1):
        with pytest.raises(AudioError) as error:
            load((tone(0.5)[1 : samples + 1], RATE))
        assert_one_sentence(error, "<array>")


def test_silence_is_known_at_the_end():
    quiet = np.full(RATE * 65, 0.9e-4, np.float32)
    blocks = stream((quiet, RATE), [16_000])
    assert len(next(blocks)) == 1
    with pytest.raises(AudioError) as error:
        list(blocks)
    assert_one_sentence(error, "<array>")
    quiet[-1] = 1.1e-4
    assert len(load((quiet, RATE))[0]) == len(quiet)
    with pytest.raises(AudioError):  # nothing is left in mono
        load((np.stack([tone(2.0), -tone(2.0)]), RATE))


@pytest.mark.parametrize("share", [0.3, 0.9])
@pytest.mark.parametrize("format", ["WAV", "FLAC", "MP3", "AIFF", "W64", "RF64"])
def test_truncated(tmp_path, format, share, no_ffmpeg):
    data = encoded(noise(20.0, 16_000), 16_000, format)
    path = tmp_path / f"cut.{format.lower()}"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(AudioError, match=r"of 20\.\d s") as error:
        load(path)
    assert_one_sentence(error, str(path))
    path.write_bytes(data[: int(len(data) * 0.999)] if format != "FLAC" else data)
    assert len(load(path)[0]) > 19.9 * 16_000  # no fuss over a few samples


def test_truncated_ogg_declares_no_length(no_ffmpeg):
    data = encoded(noise(20.0, 16_000), 16_000, "OGG")
    assert 10 < len(load(data[: len(data) * 6 // 10])[0]) / 16_000 < 14


# --- ffmpeg ---


@needs_ffmpeg
def test_m4a_through_ffmpeg(fixtures, tmp_path, monkeypatch):
    path = fixtures / "tone.m4a"
    signals = joined(path, [16_000, 24_000], 0.5)
    assert len(signals[16_000]) == pytest.approx(6 * 16_000, abs=2048)
    spectrum = np.abs(np.fft.rfft(signals[24_000][24_000:48_000]))
    assert spectrum.argmax() == 440
    np.testing.assert_array_equal(load(path.read_bytes())[0], signals[16_000])
    np.testing.assert_array_equal(load(io.BytesIO(path.read_bytes()))[0], signals[16_000])
    monkeypatch.chdir(tmp_path)
    for name in ("-version", "http:a%03d.m4a", "ü ' \" $x.mp3"):
        shutil.copy(path, name)
        np.testing.assert_array_equal(load(name)[0], signals[16_000])


@needs_ffmpeg
def test_truncated_m4a(fixtures):
    data = (fixtures / "tone.m4a").read_bytes()
    with pytest.raises(AudioError) as error:
        load(data[: len(data) * 6 // 10])
    assert_one_sentence(error, "<bytes>")


@needs_ffmpeg
@pytest.mark.parametrize(
    "playlist",
    ["#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n{}\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile '{}'\n"],
)
def test_a_playlist_opens_no_other_file(fixtures, tmp_path, playlist):
    secret = tmp_path / "secret.aac"
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-i", str(fixtures / "tone.m4a"), "-c", "copy", str(secret)]
    subprocess.run(command, check=True)
    assert len(load(secret)[0])
    path = tmp_path / "song.m4a"
    path.write_text(playlist.format("secret.aac"))
    with pytest.raises(AudioError) as error:
        load(path)
    assert_one_sentence(error, str(path))


@needs_ffmpeg
def test_a_consumer_that_stops_leaves_no_process(fixtures, monkeypatch):
    started = []
    monkeypatch.setattr(
        subprocess, "Popen", lambda *a, run=subprocess.Popen, **k: started.append(run(*a, **k)) or started[-1]
    )
    blocks = stream(fixtures / "tone.m4a", [8_000], 0.1)
    next(blocks)
    blocks.close()
    assert len(started) == 1 and started[0].poll() is not None


def test_missing_decoder_says_what_to_install(fixtures, no_ffmpeg):
    path = fixtures / "tone.m4a"
    with pytest.raises(AudioError, match="ffmpeg; install it") as error:
        load(path)
    assert_one_sentence(error, str(path))


# --- URLs ---


@pytest.fixture(scope="module")
def server():
    wav = encoded(tone(1.0), format="FLAC")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", "/%C3%BC.flac")
                self.end_headers()
                return
            if self.path == "/trap":
                self.send_response(302)
                self.send_header("Location", "ftp://127.0.0.1/a.wav")
                self.end_headers()
                return
            if self.path not in ("/%C3%BC.flac", "/short", "/endless"):
                self.send_error(404)
                return
            self.send_response(200)
            if self.path != "/endless":
                self.send_header("Content-Length", str(len(wav) + 1000 * (self.path == "/short")))
            self.end_headers()
            self.wfile.write(wav)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.mark.parametrize("page", ["/ü.flac", "/%C3%BC.flac", "/moved", "/endless"])
def test_url(server, page):
    np.testing.assert_allclose(load(server + page)[0], tone(1.0), atol=1e-4)


@pytest.mark.parametrize(
    ("page", "kind", "words"),
    [
        ("/gone", AudioError, "Not Found"),
        ("/short", AudioError, "broke off"),
        ("/trap", AudioError, "unknown url type: ftp"),
    ],
)
def test_url_errors(server, page, kind, words):
    with pytest.raises(kind, match=words) as error:
        load(server + page)
    assert_one_sentence(error, server + page)


@pytest.mark.parametrize("page", ["/ü.flac", "/endless"])
def test_url_beyond_the_limit(server, page, monkeypatch):
    monkeypatch.setattr(audio_files_m2e, "MAX_DOWNLOAD_BYTES", 1 << 10)
    with pytest.raises(AudioError, match="larger than") as error:
        load(server + page)
    assert_one_sentence(error, server + page)


def test_unreachable_url():
    with pytest.raises(AudioError, match="cannot be downloaded"):
        load("http://127.0.0.1:1/a.mp3")
    with pytest.raises(AudioError):
        load("http://")
