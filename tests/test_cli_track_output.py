"""`m2e library query`, `m2e similar` and `m2e playlist` as a person types them."""

import csv
import json
import os

import library_tools as tools
import numpy as np
import pytest
from typer.testing import CliRunner

from m2e import cli
from m2e.cli import similar as similar_command
from m2e.library.database import Library


@pytest.fixture
def folder(tmp_path):
    tools.small(tmp_path).close()
    return tmp_path


def run(folder, *arguments, status=0):
    result = CliRunner().invoke(cli.app, [*map(str, arguments), "--db", str(folder / "library.db")])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result


def query(folder, *arguments, **options):
    return run(folder, "library", "query", *arguments, **options)


def test_a_table_for_people(folder):
    lines = query(folder, "calm", "--sort", "-valence", "--limit", "2").stdout.splitlines()
    assert lines[0].split() == ["id", "track", "time", "V", "A", "key", "moods"]
    assert lines[1].split()[:4] == ["1", "Ann", "-", "Dawn"] and "Am" in lines[1] and "calm, happy" in lines[1]
    assert len(lines) == 3
    assert "2 of 3 tracks are shown" in query(folder, "calm", "--limit", "2").stderr


def test_json_lines_and_csv(folder):
    rows = [json.loads(line) for line in query(folder, "calm and happy", "--format", "jsonl").stdout.splitlines()]
    assert [row["id"] for row in rows] == [1, 2] and rows[0]["artist"] == "Ann" and rows[0]["valence"] == 7.0
    assert rows[0]["paths"] == [rows[0]["path"]] and "chords" in rows[0]
    query(folder, "", "-o", folder / "all.csv")
    with open(folder / "all.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 5 and table[3]["key"] == "F# major" and table[0]["mood_calm"] == "0.9"
    assert table[4]["key"] == "" and table[4]["artist"] == "" and table[0]["selected_moods"] == "calm;happy"
    assert query(folder, "calm > 2", "--format", "csv", status=1).stdout == "id,path\n"


def test_parquet(folder):
    pyarrow = pytest.importorskip("pyarrow.parquet")
    query(folder, "", "-o", folder / "all.parquet")
    table = pyarrow.read_table(folder / "all.parquet")
    assert table.num_rows == 5 and table.schema.field("year").type == "int32"
    assert table.column("year").to_pylist() == [1989, 1990, 2001, 2010, None]
    query(folder, "calm > 2", "-o", folder / "none.parquet", status=1)
    assert pyarrow.read_table(folder / "none.parquet").num_rows == 0
    assert "needs a file" in query(folder, "", "--format", "parquet", status=2).stderr


def test_paths_for_other_programs(folder):
    song = os.path.join(str(folder), os.fsdecode(b"caf\xe9.mp3"))
    with Library.open(folder / "library.db") as library:
        tools.add(library, song, tools.record(9.0, calm=0.1, dark=0.1, happy=0.1))
    assert query(folder, "valence > 8", "-0").stdout_bytes == os.fsencode(song) + b"\0"
    assert query(folder, "valence > 8", "--format", "paths").stdout_bytes == os.fsencode(song) + b"\n"
    assert "-0 writes paths" in query(folder, "", "-0", "--format", "csv", status=2).stderr
    assert "\\udce9" in query(folder, "valence > 8", "--format", "jsonl").stdout
    assert "caf\ufffd" in query(folder, "valence > 8").stdout


def test_playlist_files(folder):
    query(folder, "calm and happy", "-o", folder / "calm.m3u8")
    lines = (folder / "calm.m3u8").read_text().splitlines()
    assert lines[1:3] == ["#EXTINF:200,Ann - Dawn", os.path.join("music", "a.mp3")]
    query(folder, "calm and happy", "-o", folder / "calm.m3u8", "--absolute")
    assert str(folder / "music" / "a.mp3") in (folder / "calm.m3u8").read_text().splitlines()
    run(folder, "playlist", "--mood", "calm", "-o", folder / "calm.jspf", "-n", "2")
    playlist = json.loads((folder / "calm.jspf").read_text())["playlist"]
    assert playlist["title"] == "calm" and len(playlist["track"]) == 2


def test_a_wrong_query_is_marked(folder):
    shown = query(folder, "calm and valence > high", status=2)
    lines = shown.stderr.splitlines()
    assert '"high" is no number' in lines[0]
    assert lines[1].index("high") == lines[2].index("^") and shown.stdout == ""


def test_nothing_fits(folder):
    assert "no track fits" in query(folder, "calm > 2", status=1).stderr
    assert "no track fits" in run(folder, "playlist", "--mood", "calm", "--where", "calm > 2", status=2).stderr
    short = run(folder, "playlist", "--quadrant", "Q1", "-n", "5")
    assert "only 1 tracks" in short.stderr


def test_similar_by_id_and_by_file(folder):
    rows = run(folder, "similar", "1", "--format", "jsonl", "-n", "2").stdout.splitlines()
    assert json.loads(rows[0])["id"] == 2
    assert (
        run(folder, "similar", folder / "music" / "a.mp3", "--format", "jsonl", "-n", "2").stdout.splitlines() == rows
    )
    assert "is not in the library" in run(folder, "similar", "x.mp3", status=2).stderr


def test_similar_to_a_file_that_is_not_in_the_library(folder, monkeypatch):
    other = folder / "other.mp3"
    other.write_bytes(b"")
    assert "made by another model (fake)" in run(folder, "similar", other, status=2).stderr
    monkeypatch.setattr("m2e.library.scan.settings_of", lambda *arguments: tools.SETTINGS)
    monkeypatch.setattr(similar_command, "_predicted", lambda *arguments: np.eye(8, dtype=np.float32)[2])
    rows = run(folder, "similar", other, "--format", "jsonl", "-n", "1").stdout.splitlines()
    assert json.loads(rows[0])["id"] == 4


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "give one of --like, --mood"),
        (["--mood", "calm", "--like", "1"], "give one of"),
        (["--from", "calm"], "--from needs --to"),
        (["--mood", "calm", "-n", "3", "--minutes", "5"], "not both"),
        (["--mood", "xyz"], 'no mood or field "xyz"'),
        (["--from", "calm", "--to", "nowhere"], 'no mood or field "nowhere"'),
        (["--mood", "calm", "-o", "/nowhere/a.m3u8"], "cannot be written"),
    ],
)
def test_wrong_options_of_a_playlist(folder, arguments, words):
    assert words in run(folder, "playlist", *arguments, status=2).stderr


def test_a_playlist_from_mood_to_mood(folder):
    shown = run(
        folder, "playlist", "--from", "calm", "--to", "happy", "-n", "2", "--format", "paths"
    ).stdout.splitlines()
    assert [os.path.basename(path) for path in shown] == ["a.mp3", "d.mp3"]
