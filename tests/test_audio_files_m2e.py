"""Files that cannot be read, ffmpeg and URLs."""

import http.server
import io
import math
import os
import re
import shutil
import subprocess
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sounds import RATE, assert_one_sentence, encoded, joined, needs_ffmpeg, noise, read, tone

from m2e.errors import AudioError
from modeling_m2e import download_m2e
from modeling_m2e.audio_m2e import describe, load, stream

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


@pytest.mark.parametrize("format", ["WAV", "FLAC", "MP3", "AIFF", "W64", "RF64"])
def test_truncated(tmp_path, format, no_ffmpeg):
    data = encoded(noise(20.0, 16_000), 16_000, format)
    path = tmp_path / f"cut.{format.lower()}"
    path.write_bytes(data[: int(len(data) * 0.3)])
    with pytest.raises(AudioError, match=r"of 20\.\d s") as error:
        load(path)
    assert_one_sentence(error, str(path))
    path.write_bytes(data[: int(len(data) * 0.9)])
    waveform, rate, report = read(path)
    assert len(waveform) == pytest.approx(18 * rate, abs=rate)
    assert len(report.warnings) == 1 and re.search(r"of 20\.\d s can be read", report.warnings[0])
    path.write_bytes(data[: int(len(data) * 0.999)] if format != "FLAC" else data)
    assert len(load(path)[0]) > 19.9 * 16_000  # no fuss over a few samples


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
        load(data[: len(data) * 4 // 10])
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
    monkeypatch.setattr(download_m2e, "MAX_BYTES", 1 << 10)
    with pytest.raises(AudioError, match="larger than") as error:
        load(server + page)
    assert_one_sentence(error, server + page)


def test_unreachable_url():
    with pytest.raises(AudioError, match="cannot be downloaded"):
        load("http://127.0.0.1:1/a.mp3")
    with pytest.raises(AudioError):
        load("http://")
