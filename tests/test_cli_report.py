"""`m2e report`: the page of a library and of a file of records."""

import json

from typer.testing import CliRunner

from m2e import cli
from m2e.library.database import FileState, Library
from m2e.library.track import Tags
from modeling_m2e.key_m2e import Key
from modeling_m2e.record_m2e import FailedTrack, Mood, MusicEmotion


def run(*arguments, status=0):
    result = CliRunner().invoke(cli.app, ["report", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result.output


def record(path, valence=6.0):
    moods = [Mood("happy", 0.9), Mood("sad", 0.1)]
    return MusicEmotion(path, 61.0, valence, 4.0, "Q4", moods, ["happy"], key=Key("A", "minor", 0.9), model="m2e-small")


def shown(page):
    text = page.read_text(encoding="utf-8")
    return json.loads(text.partition('id="data">')[2].partition("</script>")[0])


def test_a_library(tmp_path):
    db, page = tmp_path / "library.db", tmp_path / "page.html"
    with Library.open(db, create=True) as library:
        settings = library.settings_id({"model": "m2e-small"})
        for number, name in enumerate(("a.mp3", "b.mp3", "away.mp3")):
            track = library.content_id(name)
            library.put_record(track, record(name, 5.0 + number), settings)
            library.put_file(f"/m/{name}", FileState(1, 2, 3, number), track, Tags("X", name.upper(), "Album", 1999))
        library.put_file("/m/bad.mp3", FileState(1, 2, 3, 4), None, Tags(), "/m/bad.mp3: is no audio.")
        library.mark_missing(["/m/away.mp3"])
    assert "shows 2 tracks" in run("--db", db, "-o", page, "--title", "<Mine>")
    data = shown(page)
    assert data["title"] == "<Mine>" and data["missing"] == 1 and data["failures"] == 1
    assert data["tracks"]["title"] == ["A.MP3", "B.MP3"] and data["tracks"]["valence"] == [5.0, 6.0]
    assert data["root"] + data["tracks"]["path"][1] == "/m/b.mp3"
    assert data["moods"] == ["happy"] and data["tracks"]["key"] == [15, 15]


def test_records(tmp_path):
    records, page = tmp_path / "r.jsonl", tmp_path / "page.html"
    bad = FailedTrack("bad.mp3", "bad.mp3: is no audio.")
    records.write_text(record("a.mp3").to_json() + "\n\n" + bad.to_json() + "\n", encoding="utf-8")
    run(records, "-o", page)
    assert shown(page)["tracks"]["path"] == ["a.mp3"] and shown(page)["failed"] == [["bad.mp3", bad.error]]
    records.write_text(json.dumps([record("b.mp3").to_dict()]), encoding="utf-8")
    run(records, "-o", page)
    assert shown(page)["tracks"]["path"] == ["b.mp3"]


def test_what_cannot_be_shown_is_one_sentence(tmp_path):
    page, records = tmp_path / "page.html", tmp_path / "r.jsonl"
    assert "does not exist: make it with m2e library scan" in run("--db", tmp_path / "no.db", "-o", page, status=2)
    assert "cannot be read" in run(tmp_path / "no.jsonl", "-o", page, status=2)
    for content in ("{", "[1]", '{"path": "a"}\n'):
        records.write_text(content)
        assert "r.jsonl" in run(records, "-o", page, status=2)
    assert not page.exists()
    records.write_text(record("a.mp3").to_json())
    assert "cannot be written" in run(records, "-o", records / "page.html", status=1)
    assert "remove FILE or --db" in run(records, "--db", page, status=2)
