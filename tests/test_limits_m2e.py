"""Limits of length and time: they hold even while a decoder hangs."""

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from sounds import RATE, encoded, tone

from m2e.errors import AudioError
from modeling_m2e import audio_sndfile_m2e
from modeling_m2e.audio_m2e import stream
from modeling_m2e.limits_m2e import Limits, OutOfTime, in_time

posix = pytest.mark.skipif(os.name != "posix", reason="the stub of ffmpeg is a shell script")


def seconds_of(source, limits: Limits, block: float = 1.0) -> float:
    return sum(len(blocks[RATE]) for blocks in stream(source, [RATE], block, limits=limits)) / RATE


def stub_ffmpeg(folder: Path, monkeypatch, script: str = "") -> Path:
    """Puts a program that hangs, and starts another one that does, in the place of ffmpeg; the file of their ids."""
    folder.mkdir()
    program, ids = folder / "ffmpeg", folder / "ids"
    program.write_text(f"#!/bin/sh\n{script}\nsleep 600 & echo $! $$ > {ids}\nwait\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return ids


def ids_in(file: Path) -> list[int]:
    wait_until(lambda: file.exists() and file.read_text().endswith("\n"))
    return [int(word) for word in file.read_text().split()]


def gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    try:  # dead, and nobody waits for it
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return os.path.isdir("/proc/self")


def wait_until(condition, seconds: float = 300.0) -> None:
    end = time.monotonic() + seconds  # of a loaded machine
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_track_within_the_limits_is_read_whole():
    track = encoded(tone(3.0))
    assert seconds_of(track, Limits(3.0, 300.0)) == seconds_of(track, Limits()) == 3.0
    assert not [thread for thread in threading.enumerate() if thread.name == "m2e-decoder"]


@pytest.mark.parametrize("timeout", [300.0, float("inf")])
def test_a_longer_track_is_refused(timeout):
    with pytest.raises(AudioError, match=r"^<bytes>: is longer than 2 seconds; give a part of it\.$"):
        seconds_of(encoded(tone(3.0)), Limits(2.0, timeout))
    with pytest.raises(AudioError, match="longer than 2 minutes"):
        seconds_of((np.repeat(tone(1.0), 130), RATE), Limits(120.0, timeout))


def test_errors_of_the_reader_come_through():
    with pytest.raises(AudioError, match="can decode|known format"):
        seconds_of(b"no audio" * 99, Limits(timeout=300.0))


def test_time_spent_on_blocks_counts():
    blocks = stream(encoded(tone(3.0)), [RATE], 1.0, limits=Limits(timeout=0.2))
    next(blocks)
    time.sleep(0.3)
    with pytest.raises(AudioError, match=r"takes longer than 0\.2 seconds; give a shorter track"):
        list(blocks)


def test_a_hang_in_libsndfile_ends_in_time(monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(audio_sndfile_m2e._SequentialFile, "read", lambda *_, **__: release.wait())
    with pytest.raises(AudioError, match=r"<bytes>: takes longer than 0\.1 seconds"):
        seconds_of(encoded(tone(3.0)), Limits(timeout=0.1))
    release.set()


@posix
@pytest.mark.parametrize("when", ["at its start", "in the middle"])
def test_a_hang_in_ffmpeg_ends_in_time_and_with_it_all_that_it_started(tmp_path, monkeypatch, when):
    header = r"printf '.snd\000\000\000\030\377\377\377\377\000\000\000\006\000\000\037\100\000\000\000\001'"
    ids = stub_ffmpeg(tmp_path / "bin", monkeypatch, header if when == "in the middle" else "")
    video = b"\0\0\0\x18ftypisom" + b"\0" * 999
    timeout = 0.2
    with pytest.raises(AudioError, match="takes longer than"):
        while not ids.exists():  # on a loaded machine the time may be up before it has started
            timeout *= 4
            try:
                seconds_of(video, Limits(timeout=timeout))
            except AudioError:
                if ids.exists():
                    raise
    for process in ids_in(ids):
        wait_until(lambda process=process: gone(process))


@posix
def test_a_reader_that_is_closed_early_ends_ffmpeg(tmp_path, monkeypatch):
    ids = stub_ffmpeg(
        tmp_path / "bin",
        monkeypatch,
        r"printf '.snd\000\000\000\030\377\377\377\377\000\000\000\006\000\000\037\100\000\000\000\001'; "
        "head -c 64000 /dev/zero",
    )
    blocks = stream(b"\0\0\0\x18ftypisom" + b"\0" * 999, [RATE], 1.0)
    assert len(next(blocks)[RATE]) == RATE
    blocks.close()
    if ids.exists():  # else it was killed before
        for process in ids_in(ids):
            wait_until(lambda process=process: gone(process))


@posix
def test_ffmpeg_that_was_killed_gives_no_shortened_track(tmp_path, monkeypatch):
    header = r"printf '.snd\000\000\000\030\377\377\377\377\000\000\000\006\000\000\037\100\000\000\000\001'"
    stub_ffmpeg(tmp_path / "bin", monkeypatch, f"{header}; head -c 64000 /dev/zero; kill -9 $$")
    with pytest.raises(AudioError, match="ffmpeg was killed, perhaps because memory ran out"):
        seconds_of(b"\0\0\0\x18ftypisom" + b"\0" * 999, Limits())


def test_items_are_made_by_a_thread_that_ends_with_the_iteration():
    closed = threading.Event()

    def count():
        try:
            number = 0
            while True:
                yield number
                number += 1
        finally:
            closed.set()

    items = in_time(count(), time.monotonic() + 300)
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    items.close()
    assert closed.wait(60)
    with pytest.raises(OutOfTime):
        for _ in in_time(count(), time.monotonic() + 0.05):
            pass
    with pytest.raises(ZeroDivisionError):
        list(in_time((1 // n for n in (1, 0)), time.monotonic() + 300))
