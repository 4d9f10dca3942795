"""The demo: its charts and functions, without a browser."""

import configparser
import html
import http.server
import json
import os
import re
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from m2e.errors import AudioError, ModelError
from modeling_m2e import ChordSegment, Key, download_m2e
from modeling_m2e.key_m2e import KeySegment
from modeling_m2e.record_m2e import CurvePoint, Mood, MusicEmotion
from modeling_m2e.scale_m2e import QUADRANT_WORDS

pytest.importorskip("gradio", reason='gradio is in the extra "demo"')
from m2e.space import app, charts, tracks  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
CLIP = ROOT / "examples" / "moonlight_sonata.ogg"
SHOTS = ROOT / "build" / "space"
SECONDS = 300  # until a browser test gives up; a laden machine is slow


@pytest.fixture
def record():
    return MusicEmotion(
        path="song.mp3",
        duration=71.0,
        valence=6.0,
        arousal=3.0,
        quadrant="Q4",
        moods=[Mood(f"mood{index}", 0.9 - index / 20) for index in range(12)],
        selected_moods=["mood0"],
        key=Key("C#", "minor", 0.81),
        chords=[ChordSegment(0, 2, "N"), ChordSegment(2, 35.5, "C#:min"), ChordSegment(35.5, 71, "A:maj7")],
        curve=[CurvePoint(0, 30, 5.0, 3.0), CurvePoint(30, 60, 7.0, 4.0), CurvePoint(60, 71, 9.0, 1.0)],
        model="m2e-small",
    )


def track(record) -> tracks.Track:
    return tracks.Track(record, "folder/a b.mp3", [0.5, 1.0, 0.25])


def words(markup: str) -> str:
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", markup))).strip()


# --- charts ---


def test_the_plane_names_its_quadrants_and_places_every_track(record):
    drawn = charts.plane([record, replace(record, path="b.ogg", valence=1.0, arousal=9.0, quadrant="Q2")], shown=0)
    said = words(drawn)
    assert all(f"{name} {meaning}" in said for name, meaning in QUADRANT_WORDS.items())
    assert "unpleasant valence pleasant" in said and "calm arousal energetic" in said
    assert 'style="left:62.5%;bottom:25.0%" aria-label="song.mp3: valence 6.0, arousal 3.0, Q4 calm">1' in drawn
    assert 'style="left:0.0%;bottom:100.0%" aria-label="b.ogg: valence 1.0, arousal 9.0, Q2 tense, angry">2' in drawn
    assert '<polyline points="50.0,75.00 75.0,62.50 100.0,100.00"/>' in drawn  # the path of the one that is shown
    assert "0:30 – 1:00 valence 7.0 · arousal 4.0" in said
    assert "polyline" not in charts.plane([replace(record, curve=record.curve[:1])])
    assert "no track yet" in charts.plane([])


def test_the_list_has_a_button_to_show_and_to_remove_each_track(record):
    drawn = charts.compare([track(record), track(replace(record, path="b.ogg"))], shown=1)
    assert "song.mp3 valence 6.0 · arousal 3.0 · Q4 calm" in words(drawn)
    for index, name in enumerate(("song.mp3", "b.ogg")):
        assert f'data-show="{index}" title="{name}" aria-pressed="{str(index == 1).lower()}"' in drawn
        assert f'data-remove="{index}" aria-label="Remove {name}"' in drawn
    assert "Add a track" in charts.compare([])


def test_the_details_say_what_the_record_says(record):
    said = words(charts.details(track(record), 2))
    for part in (
        "2 song.mp3 1:11 · m2e-small",
        "Valence 6.0 of 1–9 unpleasant pleasant",
        "Arousal 3.0 of 1–9 calm energetic",
        "Quadrant Q4 calm Key",
        "Key C# minor confidence 81%",
        "✓ mood0 90%",
        "mood7 55% 4 more",
        "C# minor C#m Amaj7",
    ):
        assert part in said, part
    assert "predicted by a separate head" in charts.details(track(replace(record, quadrant="Q3")))
    assert charts.details(None) == ""
    assert "– undecided" in words(charts.details(track(replace(record, key=None))))
    assert "– not requested" in words(charts.details(track(replace(record, key=None, chords=None))))


def test_the_timeline_is_in_scale(record):
    drawn = charts.timeline(track(record))
    assert 'aria-label="Emotion curve: valence from 5.0 to 9.0, arousal from 1.0 to 4.0"' in drawn
    assert '<polyline class="m2e-valence" points="0.00,50.00 21.13,50.00 63.38,25.00 92.25,0.00 100.00,0.00"/>' in drawn
    assert 'title="C#:min, 0:02 – 0:36" style="left:2.817%;width:47.183%"' in drawn and ">N<" not in drawn
    data = json.loads(html.unescape(re.search(r'data-track="([^"]*)"', drawn)[1]))
    assert data["duration"] == 71.0 and data["curve"][1] == [30, 60, "7.0", "4.0"]
    assert data["chords"] == [[0, 2, "N"], [2, 35.5, "C#m"], [35.5, 71, "Amaj7"]]
    assert 'src="gradio_api/file=folder/a%20b.mp3"' in drawn
    assert re.findall(r"(\d:\d\d)</span></div></div>$", drawn) == ["1:00"]
    assert 'title="C# minor, 0:00 – 1:11" style="left:0.000%;width:100.000%"' in drawn
    keys = [KeySegment(0.0, 40.0, "C# minor", 0.8), KeySegment(40.0, 71.0, "F# major", 0.7)]
    assert re.findall(r'title="(\S+ m..or), ([^"]*)"', charts.timeline(track(replace(record, key_segments=keys)))) == [
        ("C# minor", "0:00 – 0:40"),
        ("F# major", "0:40 – 1:11"),
    ]
    for seconds in (0.6, 30, 7000, 90_000):
        times = charts.timeline(track(replace(record, duration=seconds))).rpartition("m2e-times")[2]
        assert 1 <= times.count("<span") <= 26


@pytest.mark.parametrize(
    "name", ["<img src=x onerror=alert(1)>", "\"'><script>", "${alert(1)} {{value}} `x`", "a\x00\nb"]
)
def test_names_are_text_and_nothing_else(record, name):
    hostile = track(replace(record, path=name, model=name, moods=[Mood(name, 0.5)]))
    for drawn in (charts.compare([hostile]), charts.details(hostile), charts.status([name], name)):
        for trouble in ("<img", "<script", "${", "{{", "`", "\x00", "\n", "onerror=alert(1)>"):
            assert trouble not in drawn
        shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in name)
        assert " ".join(shown.split()) in words(drawn)


def test_the_status_is_empty_only_if_there_is_nothing_to_say():
    assert charts.status() == ""
    assert 'role="alert"' in charts.status(["a.mp3: is empty."]) and 'role="status"' in charts.status(doing="Analysing")


# --- tracks ---


def test_the_outline_follows_the_loudness(tmp_path):
    rate = 44100
    loudness = np.repeat([0.1, 0.8, 0.4, 0.2], rate)
    soundfile.write(tmp_path / "a.wav", loudness * np.sin(np.arange(4 * rate) / 20), rate)
    peaks = tracks.outline(tmp_path / "a.wav", bins=8)
    np.testing.assert_allclose(peaks, np.repeat([0.125, 1.0, 0.5, 0.25], 2), atol=0.1)  # the resampler rings
    assert len(tracks.outline(tmp_path / "a.wav")) == tracks.OUTLINE_BINS


def test_a_record_calls_its_file_by_name(record, tmp_path):
    song, empty = str(tmp_path / "song.wav"), str(tmp_path / "empty.wav")
    soundfile.write(song, np.sin(np.arange(8000) / 5), 8000)
    Path(empty).touch()

    def pipe(file):
        if os.path.getsize(file) == 0:
            raise AudioError(f"{file}: is empty (0 bytes).")
        return replace(record, path=file)

    assert tracks.record_of(pipe, song).path == "song.wav"
    assert tracks.analyze(pipe, song, "recording 1").record.path == "recording 1"
    failed = tracks.record_of(pipe, empty)
    assert (failed.path, failed.error) == ("empty.wav", "empty.wav: is empty (0 bytes).")
    with pytest.raises(AudioError, match="^empty.wav: is empty"):
        tracks.analyze(pipe, empty)


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
        settings["timeout"] = tracks.MAX_ANALYSIS_SECONDS
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
def pipe(record, monkeypatch):
    def pipe(file):
        if "bad" in file:
            raise AudioError(f"{file}: is bad.")
        return replace(record, path=file)

    def pipeline(model, window=None, harmony=True):
        if model == "none":
            raise ModelError("none is no model.")
        return pipe

    monkeypatch.setattr(app, "pipeline", pipeline)
    monkeypatch.setattr(tracks, "outline", lambda file: [1.0])


def test_tracks_are_added_one_by_one_and_the_bad_ones_reported(pipe):
    steps = list(app.add(["x/a.wav", "x/bad.wav", "x/b.wav"], [], 0, "m2e-small", 0, True))
    assert [len(step[1]) for step in steps] == [0, 0, 1, 1, 2]
    assert "Analysing bad.wav" in steps[2][0].value
    status, after, shown, *_ = steps[-1]
    assert [one.record.path for one in after] == ["a.wav", "b.wav"] and shown == 1
    assert "bad.wav: is bad." in status.value and "x/" not in status.value and status.visible


def test_a_model_that_cannot_be_had_is_reported_and_the_tracks_stay(pipe, record):
    before = [track(record)]
    *_, (status, after, *_) = app.add(["a.wav"], before, 0, "none", 0, True)
    assert after == before and "none is no model." in status.value


def test_a_link_and_a_recording_have_names(pipe, monkeypatch, tmp_path):
    monkeypatch.setattr(app, "download", lambda link, folder: f"{folder}/song.mp3")
    *_, (_, after, *_) = app.add_link(str(tmp_path), " https://example.org/song.mp3 ", [], 0, "m", 0, True)
    *_, (_, after, *_) = app.add_recording("x/audio.wav", after, 0, "m", 0, True)
    *_, (_, after, *_) = app.add_recording("x/audio.wav", after, 0, "m", 0, True)
    assert [one.record.path for one in after] == ["https://example.org/song.mp3", "recording 1", "recording 2"]
    monkeypatch.undo()
    *_, (status, after, *_) = app.add_link(str(tmp_path), "nonsense", after, 0, "m", 0, True)
    assert "nonsense: is not a link" in status.value and len(after) == 3


class Click:
    def __init__(self, **data):
        self._data = data


def test_a_click_chooses_or_removes(record):
    three = [track(replace(record, path=name)) for name in "abc"]

    def after(shown, **click):
        left, shown, *_ = app.choose(three, shown, Click(**click))
        return "".join(one.record.path for one in left), shown

    assert after(0, show="2") == ("abc", 2)
    assert after(2, remove="0") == ("bc", 1)
    assert after(0, remove="0") == ("bc", 0)
    assert after(2, remove="2") == ("ab", 1)
    left, shown, plane, details, downloads = app.choose(three[:1], 0, Click(remove="0"))
    assert (left, shown, details, downloads.visible) == ([], 0, "", False) and "Add a track" in plane


def test_the_files_hold_all_tracks(record, tmp_path):
    two = [record, replace(record, path="b.ogg")]
    as_json, as_csv, drawn = app.write_files(two, str(tmp_path))
    assert json.loads(Path(as_json).read_text(encoding="utf-8")) == [one.to_dict() for one in two]
    row = Path(as_csv).read_text(encoding="utf-8").splitlines()[2]
    assert row.startswith("b.ogg,71.0,6.0,3.0,Q4,C#,minor,0.81,mood0,")
    assert Path(drawn).read_bytes().startswith(b"%PDF")
    assert [button.interactive for button in app.offer_files(str(tmp_path), [])] == [False] * 3


# --- the folder space/ ---


def test_the_space_installs_what_the_package_needs():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = (ROOT / "space" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line[0] not in "#-"] == [
        *setup["options"]["install_requires"].strip().splitlines(),
        "matplotlib",
    ]


def test_the_front_matter_is_that_of_a_gradio_space():
    from huggingface_hub import SpaceCard

    front = SpaceCard.load(ROOT / "space" / "README.md").data
    assert (front.sdk, front.app_file, front.license) == ("gradio", "app.py", "cc-by-nc-sa-4.0")
    assert len(front.to_dict()["short_description"]) <= 60
    used = __import__("gradio").__version__
    assert front.sdk_version.split(".")[0] == used.split(".")[0]
