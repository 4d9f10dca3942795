"""What an interrupted run has predicted, and what of it still counts. More is tested with the commands."""

import json
import os
from pathlib import Path

import pytest

from m2e.cli.journal import earlier_records, open_journal
from m2e.errors import UsageError
from m2e.inputs import Source, identity
from modeling_m2e.chord_labels_m2e import ChordSegment
from modeling_m2e.key_m2e import Key, KeySegment
from modeling_m2e.record_m2e import CurvePoint, FailedTrack, Mood, MusicEmotion, record_of

SETTINGS = {"model": "one", "window": None}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.wav", "b.wav"):
        Path(name).write_bytes(b"samples")
    return tmp_path


def emotion(path, valence=6.25):
    return MusicEmotion(
        path=path,
        duration=1.5,
        valence=valence,
        arousal=4.0,
        quadrant="Q4",
        moods=[Mood("calm", 0.75), Mood("epic", 0.25)],
        selected_moods=["calm"],
        key=Key("C", "major", 0.5),
        chords=[ChordSegment(0.0, 1.5, "C:maj")],
        curve=[CurvePoint(0.0, 1.5, 6.25, 4.0)],
        model="fake",
    )


def write(output, paths, form="jsonl", settings=SETTINGS, kill=False):
    sources = [Source(path) for path in paths]
    try:
        with open_journal(output, form, [], settings, sources) as journal:
            for source in sources:
                line = emotion(source.path).to_json() + "\n"
                journal.note(source, line)
                journal.file.write(line)
            if kill:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass


def left(output="out.jsonl", form="jsonl", settings=SETTINGS, sources=("a.wav", "b.wav")):
    """(names of the tracks that count, {name: reason} of those that do not any more)."""
    outdated = {}
    earlier = earlier_records(output, [Source(path) for path in sources], form, settings, outdated)
    names = [os.path.basename(track) for track in earlier]
    return names, {os.path.basename(track): reason for track, reason in outdated.items()}


@pytest.mark.parametrize("kill", [False, True])
def test_a_changed_file_and_other_settings_are_predicted_again(kill):
    write("out.jsonl", ["a.wav", "b.wav"], kill=kill)
    assert left() == (["a.wav", "b.wav"], {})
    Path("b.wav").write_bytes(b"other samples")
    assert left() == (["a.wav"], {"b.wav": "their files have changed"})
    assert left(settings=SETTINGS | {"window": 10.0, "model": "two"})[1]["a.wav"] == "another model and window"
    assert left(sources=["a.wav"])[0] == ["a.wav", "b.wav"]  # the other record is kept as it is


@pytest.mark.parametrize("kill", [False, True])
def test_a_relative_name_in_another_folder_is_another_track(folder, monkeypatch, kill):
    for name in ("A", "B"):
        (folder / name).mkdir()
        (folder / name / "01.wav").write_bytes(name.encode())
    output = str(folder / "out.jsonl")
    monkeypatch.chdir(folder / "A")
    write(output, ["01.wav"], kill=kill)
    assert left(output, sources=["01.wav"]) == (["01.wav"], {})
    monkeypatch.chdir(folder / "B")
    earlier = earlier_records(output, [Source("01.wav")], settings=SETTINGS)
    assert list(earlier) == [str(folder / "A" / "01.wav")] and identity("01.wav") not in earlier


def test_a_link_to_a_track_is_the_track():
    write("out.jsonl", ["a.wav"])
    os.symlink("a.wav", "link.wav")
    assert left(sources=["link.wav"])[0] == ["a.wav"]


def test_files_of_older_versions_count_by_their_names():
    write("out.jsonl", ["a.wav"])
    os.remove(".out.jsonl.sources")
    assert left() == (["a.wav"], {})


@pytest.mark.parametrize("form", ["json", "csv"])
def test_json_and_csv_are_made_from_the_journal(folder, form):
    write(f"out.{form}", ["a.wav", "b.wav"], form, kill=True)
    assert left(f"out.{form}", form) == (["a.wav", "b.wav"], {})
    assert not Path(f"out.{form}").exists()
    Path(f"out.{form}.partial").unlink()
    write(f"out.{form}", ["a.wav", "b.wav"], form)
    text = Path(f"out.{form}").read_text()
    if form == "json":
        assert json.loads(text) == [emotion("a.wav").to_dict(), emotion("b.wav").to_dict()]
    else:
        assert text.splitlines()[0].startswith("path,duration,valence") and text.count("\n") == 3
    assert sorted(path.name for path in folder.iterdir()) == ["a.wav", "b.wav", f"out.{form}"]


def test_a_damaged_line_of_the_sources_is_ignored():
    write("out.jsonl", ["a.wav", "b.wav"])
    with open(".out.jsonl.sources", "a") as file:
        file.write('{"record": "12')
    assert left() == (["a.wav", "b.wav"], {})
    write("out.jsonl", ["a.wav", "b.wav"])
    for line in Path(".out.jsonl.sources").read_text().splitlines():
        assert set(json.loads(line)) == {"record", "file", "size", "mtime_ns", "settings"}
    os.remove(".out.jsonl.sources")
    os.mkdir(".out.jsonl.sources")
    with pytest.raises(UsageError, match=".out.jsonl.sources cannot be read: "):
        left()


def test_names_that_cannot_be_decoded_are_remembered():
    name = "byte\udcff.wav"
    try:
        Path(os.fsencode(name).decode("utf-8", "surrogateescape")).write_bytes(b"x")
    except OSError:
        pytest.skip("a file system of Unicode names")
    write("out.jsonl", [name])
    assert left(sources=[name])[0] == [name]
    assert left(sources=[name], settings=SETTINGS | {"window": 2})[1] == {name: "another window"}


def test_a_record_survives_its_json():
    whole = emotion("a.wav")
    whole.key_segments = [KeySegment(0.0, 1.5, "C major", 0.5)]
    bare = emotion("b.wav")
    bare.key = bare.chords = None
    for record in (whole, bare, FailedTrack("c.wav", "c.wav: is empty.", "fake")):
        assert record_of(json.loads(record.to_json())) == record
