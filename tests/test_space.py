"""The demo: its tracks and the functions of its page, without a browser."""

import configparser
import http.server
import json
import os
import pickle
import re
import sys
import threading
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from space_records import record, track

from m2e.errors import AudioError, ModelError
from modeling_m2e import download_m2e

pytest.importorskip("gradio", reason='gradio is in the extra "demo"')
from m2e.space import app, tracks  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent


# --- tracks ---


def test_the_outline_follows_the_loudness(tmp_path):
    rate = 44100
    loudness = np.repeat([0.1, 0.8, 0.4, 0.2], rate)
    soundfile.write(tmp_path / "a.wav", loudness * np.sin(np.arange(4 * rate) / 20), rate)
    peaks = tracks.outline(tmp_path / "a.wav", bins=8)
    np.testing.assert_allclose(peaks, np.repeat([0.125, 1.0, 0.5, 0.25], 2), atol=0.1)  # the resampler rings
    assert len(tracks.outline(tmp_path / "a.wav")) == tracks.OUTLINE_BINS


def test_a_record_calls_its_file_by_name(tmp_path, monkeypatch):
    song, empty = str(tmp_path / "song.wav"), str(tmp_path / "empty.wav")
    soundfile.write(song, np.sin(np.arange(8000) / 5), 8000)
    Path(empty).touch()

    def pipe(file):
        if os.path.getsize(file) == 0:
            raise AudioError(f"{file}: is empty (0 bytes).")
        return record(path=file)

    monkeypatch.setattr(tracks, "pipeline", lambda *settings: pipe)
    assert tracks.record_of(pipe, song).path == "song.wav"
    assert tracks.analyze("m", song, "recording 1").record.path == "recording 1"
    failed = tracks.record_of(pipe, empty)
    assert (failed.path, failed.error) == ("empty.wav", "empty.wav: is empty (0 bytes).")
    with pytest.raises(AudioError, match="^empty.wav: is empty"):
        tracks.analyze("m", empty)


def test_a_model_is_loaded_once_however_it_is_asked_for(monkeypatch):
    loads = []
    monkeypatch.setattr(tracks, "load", lambda *model, **settings: loads.append((model, settings)) or object())
    tracks._loaded.cache_clear()
    try:
        first = tracks.pipeline("m")
        same = (
            tracks.pipeline("m", None, True),
            tracks.pipeline("m", window=0, harmony=True),
            tracks.pipeline(model="m"),
        )
        assert all(pipe is first for pipe in same)
        list(app.add([], [], 0, "m", 0, True))  # as the page calls it
        settings = {"window": None, "harmony": True, "key_segments": True, "max_duration": tracks.MAX_SECONDS}
        settings |= {"timeout": tracks.MAX_ANALYSIS_SECONDS, "device": "auto"}
        assert loads == [(("m",), settings)]
        assert tracks.pipeline("m", 5.0) is not first and len(loads) == 2
    finally:
        tracks._loaded.cache_clear()


@pytest.fixture
def web(tmp_path):
    """Address of a server on loopback that has the file song.wav."""
    (tmp_path / "song.wav").write_bytes(b"music")
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_links_are_fetched_but_not_from_the_own_network(web, tmp_path, monkeypatch):
    for link in (f"{web}/song.wav", "http://localhost:1/x.mp3", "http://169.254.169.254/x.mp3"):
        with pytest.raises(tracks.UsageError, match=f"^{re.escape(link)}: cannot be downloaded .*[)]\\.$"):
            tracks.download(link, str(tmp_path))
    for link in ("song.mp3", "file:///etc/passwd", "ftp://example.org/x.mp3", ""):
        with pytest.raises(tracks.UsageError, match="is not a link"):
            tracks.download(link, str(tmp_path))
    monkeypatch.setattr(download_m2e, "is_public", lambda address: True)  # as if it were public
    file = tracks.download(f"{web}/song.wav", str(tmp_path))
    assert Path(file).read_bytes() == b"music" and Path(file).name == "song.wav"
    with pytest.raises(tracks.UsageError, match="Not found|File not found"):
        tracks.download(f"{web}/none.wav", str(tmp_path))


# --- the page's functions ---


@pytest.fixture
def pipe(monkeypatch):
    """Replaces the models; gives the settings with which they were asked for."""
    asked = []

    def pipe(file):
        if "bad" in file:
            raise AudioError(f"{file}: is bad.")
        return record(path=file)

    def pipeline(*settings):
        asked.append(settings)
        if settings[0] == "none":
            raise ModelError("none is no model.")
        return pipe

    monkeypatch.setattr(app, "pipeline", pipeline)
    monkeypatch.setattr(tracks, "pipeline", pipeline)
    monkeypatch.setattr(tracks, "outline", lambda file: [1.0])
    return asked


def test_tracks_are_added_one_by_one_and_the_bad_ones_reported(pipe):
    steps = list(app.add(["x/a.wav", "x/bad.wav", "x/b.wav"], [], 0, "m2e-small", 0, True))
    assert [len(step[1]) for step in steps] == [0, 0, 1, 1, 2]
    assert "Analysing bad.wav" in steps[2][0]
    status, after, shown, *_ = steps[-1]
    assert [one.record.path for one in after] == ["a.wav", "b.wav"] and shown == 1
    assert "bad.wav: is bad." in status and "x/" not in status


def test_a_model_that_cannot_be_had_is_reported_and_the_tracks_stay(pipe):
    before = [track(record())]
    *_, (status, after, *_) = app.add(["a.wav"], before, 0, "none", 0, True)
    assert after == before and "none is no model." in status


def test_a_link_and_a_recording_have_names(pipe, monkeypatch, tmp_path):
    monkeypatch.setattr(app, "download", lambda link, folder: f"{folder}/song.mp3")
    *_, (_, after, *_) = app.add_link(str(tmp_path), " https://example.org/song.mp3 ", [], 0, "m", 0, True)
    *_, (_, after, *_) = app.add_recording("x/audio.wav", after, 0, "m", 0, True)
    *_, (_, after, *_) = app.add_recording("x/audio.wav", after, 0, "m", 0, True)
    assert [one.record.path for one in after] == ["https://example.org/song.mp3", "recording 1", "recording 2"]
    monkeypatch.undo()
    *_, (status, after, *_) = app.add_link(str(tmp_path), "nonsense", after, 0, "m", 0, True)
    assert "nonsense: is not a link" in status and len(after) == 3


class Click:
    def __init__(self, **data):
        self._data = data


def test_a_click_chooses_or_removes():
    three = [track(record(path=name)) for name in "abc"]

    def after(shown, **click):
        left, shown, *_ = app.choose(three, shown, Click(**click))
        return "".join(one.record.path for one in left), shown

    assert after(0, show="2") == ("abc", 2)
    assert after(2, remove="0") == ("bc", 1)
    assert after(0, remove="0") == ("bc", 0)
    assert after(2, remove="2") == ("ab", 1)
    left, shown, found, downloads = app.choose(three[:1], 0, Click(remove="0"))
    assert (left, shown, downloads.visible) == ([], 0, False) and "Add a track" in found


def test_the_track_of_the_opening_leaves_when_another_comes(pipe):
    *_, (_, after, shown, *_) = app.add(["a.wav"], [track(record(), opening=True)], 0, "m", 0, True)
    assert ([one.record.path for one in after], shown) == (["a.wav"], 0)
    *_, (_, after, *_) = app.add(["bad.wav"], [track(record(), opening=True)], 0, "m", 0, True)
    assert len(after) == 1 and after[0].opening


def test_the_page_opens_on_an_example_that_plays(pipe):
    page = app.open_page(["m2e-small"])
    assert pipe == [("m2e-small",), ("m2e-small", tracks.EXAMPLE_WINDOW)]
    shown = [block.value for block in page.blocks.values() if "m2e-track" in str(getattr(block, "value", ""))]
    clip = tracks.examples()[0]
    assert len(shown) == 1 and "Mood0" not in shown[0] and clip.name in shown[0]
    assert f"gradio_api/file={clip}" in shown[0] and clip.name == tracks.OPENING
    files = [block.value for block in page.blocks.values() if isinstance(block, app.gr.DownloadButton)]
    names = [Path(file["path"] if isinstance(file, dict) else file).name for file in files]
    assert names == ["m2e.json", "m2e.csv", "m2e.pdf"]


def test_examples_have_short_windows_unless_a_visitor_chose_one(pipe):
    list(app.add_example("a.ogg", None, [], 0, "m", 0, True))
    list(app.add_example("a.ogg", None, [], 0, "m", 10, True))
    assert {settings[1] for settings in pipe} == {tracks.EXAMPLE_WINDOW, 10}


def test_the_examples_ship_with_the_page():
    assert [clip.name for clip in tracks.examples()] == [tracks.OPENING, "entertainer.ogg", "mountain_king.ogg"]
    for clip in tracks.examples():
        assert clip.read_bytes() == (ROOT / "examples" / clip.name).read_bytes()


def test_the_files_hold_all_tracks(tmp_path):
    two = [record(), record(path="b.ogg")]
    as_json, as_csv, drawn = app.write_files(two, str(tmp_path))
    assert json.loads(Path(as_json).read_text(encoding="utf-8")) == [one.to_dict() for one in two]
    row = Path(as_csv).read_text(encoding="utf-8").splitlines()[2]
    assert row.startswith("b.ogg,71.0,6.0,3.0,Q4,C#,minor,0.81,mood0,")
    assert Path(drawn).read_bytes().startswith(b"%PDF")
    assert [button.interactive for button in app.offer_files(str(tmp_path), [])] == [False] * 3


# --- the folder space/, and what runs there ---


def test_a_space_with_zerogpu_lends_a_gpu_to_predictions(monkeypatch):
    def function(model):
        return model

    assert tracks.on_gpu(function) is function  # on any other machine
    asked = []
    monkeypatch.setattr(tracks, "ZERO_GPU", True)
    stand_in = SimpleNamespace(GPU=lambda duration: asked.append(duration) or (lambda task: partial(task, "lent")))
    monkeypatch.setitem(sys.modules, "spaces", stand_in)
    assert tracks.on_gpu(function)() == "lent" and asked == [tracks.GPU_SECONDS]
    monkeypatch.setitem(sys.modules, "spaces", None)
    assert tracks.on_gpu(function) is function


def test_what_goes_to_the_gpu_and_back_can_be_pickled():
    """Between the processes of ZeroGPU."""
    found = record()
    assert pickle.loads(pickle.dumps(found)) == found
    annotated = {name: hint for name, hint in tracks.predict.__annotations__.items() if name != "return"}
    assert set(annotated.values()) == {str, str | None, float | None, bool}


def test_the_space_installs_the_package_with_the_demo():
    lines = (ROOT / "space" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line[0] not in "#-"] == ["m2e[demo]"]
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    assert "demo" in setup["options.extras_require"]


def test_the_front_matter_is_that_of_a_gradio_space():
    from huggingface_hub import SpaceCard

    front = SpaceCard.load(ROOT / "space" / "README.md").data
    assert (front.sdk, front.app_file, front.license) == ("gradio", "app.py", "cc-by-nc-sa-4.0")
    assert len(front.to_dict()["short_description"]) <= 60
    used = __import__("gradio").__version__
    assert front.sdk_version.split(".")[0] == used.split(".")[0]
    assert front.python_version in ("3.10.13", "3.12.12")  # those of ZeroGPU; m2e needs 3.11 or later
    assert tuple(map(int, front.python_version.split("."))) >= (3, 11)
