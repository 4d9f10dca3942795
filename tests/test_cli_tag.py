"""`m2e tag`: shows a diff, writes on request, undoes; where its answers come from, and what it says."""

import json
import os
import shutil
from pathlib import Path

import pytest
from mutagen.flac import FLAC
from mutagen.id3 import ID3
from tagged_audio import make, record
from typer.testing import CliRunner

from m2e import cli
from m2e.cli import tag as cli_tag
from m2e.library.tagging import answers
from m2e.library.tagging.mapping import default_text, read_mapping


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("songs")
    for suffix in ("flac", "mp3"):
        make(folder, suffix)
    return folder


@pytest.fixture
def music(songs, tmp_path, monkeypatch):
    """The current folder, with the folder `music` of two songs, and records of both; no home, no model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli_tag, "default_journal", lambda: str(tmp_path / "data" / "tags.db"))
    monkeypatch.setattr(answers, "default_path", lambda: str(tmp_path / "data" / "library.db"))
    monkeypatch.setattr(cli_tag, "load_model", no_model)
    shutil.copytree(songs, "music")
    lines = [record(f"music/song.{suffix}") for suffix in ("flac", "mp3")]
    Path("records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Path("music")


def no_model(*_):
    raise AssertionError("the model was loaded")


def run(*arguments, status=0):
    result = CliRunner().invoke(cli.app, ["tag", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result


def contents(folder):
    return {path: path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


DIFF = f"""\
{Path("music/song.flac")} (Vorbis comment)
  + MOOD        calm; happy
  + INITIALKEY  Am
  + VALENCE     5.31
  + AROUSAL     6.20
  + ENERGY      0.73
"""


def test_by_default_it_shows_a_diff_and_changes_nothing(music):
    before = contents(".")
    result = run("music", "--records", "records.jsonl")
    assert result.stdout == DIFF + DIFF.replace("flac (Vorbis comment)", "mp3 (ID3v2.4)")
    assert result.stderr == "m2e: 2 files would change. Add --write to write the tags.\n"
    assert contents(".") == before


def test_write_again_and_undo(music):
    before = contents("music")
    written = run("music", "--records", "records.jsonl", "--write")
    assert written.stdout.startswith(DIFF) and written.stderr == "m2e: 2 files were written. --undo restores.\n"
    assert FLAC("music/song.flac")["MOOD"] == ["calm", "happy"] and ID3("music/song.mp3")["TKEY"].text == ["Am"]
    assert Path("data/tags.db").is_file()
    again = run("music", "--records", "records.jsonl", "--write")
    assert again.stdout == "" and again.stderr == "m2e: 0 files were written. 2 files have these tags already.\n"
    undone = run("music", "--undo")
    assert undone.stderr == "m2e: 2 files were restored.\n" and undone.stdout.count(": restored as it was before") == 2
    assert contents("music") == before
    assert run("music", "--undo").stderr == "m2e: 0 files were restored. There is nothing to undo for 2 files.\n"


def test_undo_of_a_file_that_has_changed_since(music):
    run("music/song.flac", "--records", "records.jsonl", "--write")
    file = FLAC("music/song.flac")
    file["comment"] = "mine"
    file.save()
    result = run("music/song.flac", "--undo")
    assert ": changed since; MOOD, INITIALKEY, VALENCE, AROUSAL, ENERGY are as they were before 2" in result.stdout
    assert result.stderr == "m2e: 1 file was restored.\n" and FLAC("music/song.flac").tags.keys() == ["comment"]


def test_what_is_replaced_and_what_is_kept(music):
    file = FLAC("music/song.flac")
    file["MOOD"], file["INITIALKEY"] = ["dark\x1b[31m"], ["8B"]
    file.save()
    lines = run("music/song.flac", "--records", "records.jsonl").stdout.splitlines()
    assert lines[1:4] == [
        "  - MOOD        dark\ufffd[31m",
        "  + MOOD        calm; happy",
        "    INITIALKEY  8B  (kept; predicted: Am)",
    ]


def test_bad_files_do_not_stop_the_others(music):
    Path("music/broken.flac").write_bytes(b"fLaC but no more")
    os.chmod("music/song.mp3", 0o444)
    lines = [record(path) for path in contents("music")]
    lines[0]["path"], lines[1]["error"] = str(Path("music/broken.flac").resolve()), None
    Path("all.json").write_text(json.dumps(lines))
    result = run("music", "--records", "all.json", "--write", "--no-predict", status=1)
    first, count, *sentences = result.stderr.splitlines()
    assert first == "m2e: 1 file was written. --undo restores." and count == "m2e: 2 of 3 files failed:"
    assert "broken.flac: its tags cannot be read" in sentences[0] and "song.mp3: is read-only" in sentences[1]
    assert FLAC("music/song.flac")["MOOD"]


def test_times_and_the_journal_can_be_chosen(music):
    os.utime("music/song.flac", (1, 1000))
    run("music/song.flac", "--records", "records.jsonl", "--write", "--keep-times", "--journal", "here/tags.db")
    assert os.stat("music/song.flac").st_mtime == 1000 and Path("here/tags.db").is_file() and not Path("data").exists()
    run("music/song.flac", "--undo", "--keep-times", "--journal", "here/tags.db")
    assert os.stat("music/song.flac").st_mtime == 1000


def test_a_mapping_of_ones_own(music):
    assert run("--print-mapping").stdout == default_text()
    Path("map.toml").write_text("[STIMMUNG]\nvalue = 'moods'\nseparator = ' + '\n")
    result = run("music/song.flac", "--records", "records.jsonl", "--mapping", "map.toml")
    assert result.stdout.splitlines()[1:] == ["  + STIMMUNG  calm + happy"]


# --- where answers come from ---


class Model:
    """Predicts a record whose valence tells that it was predicted."""

    name = "fake"

    def __call__(self, path):
        from library_tools import record as made

        if "broken" in path:
            raise ValueError("a bug")
        return made(1.0, 2.0, "C major", calm=0.9)


def test_tracks_without_an_answer_are_predicted(music, monkeypatch):
    Path("music/broken.wav").write_bytes(b"RIFF")
    loaded = []
    monkeypatch.setattr(cli_tag, "load_model", lambda *settings, tempo: loaded.append((*settings, tempo)) or Model())
    Path("records.jsonl").write_text(json.dumps(record(Path("music/song.flac").resolve())))
    result = run("music", "--records", "records.jsonl", status=1)
    assert [line.split()[-1] for line in result.stdout.splitlines() if "VALENCE" in line] == ["5.31", "1.00"]
    assert "m2e: 2 of 3 files have no answer yet and are predicted." in result.stderr
    assert "broken.wav: ValueError: a bug" in result.stderr
    (_, device, _, _, harmony, *_, tempo) = loaded[0]
    assert len(loaded) == 1 and device == "auto" and harmony is True and tempo is False
    result = run("music/song.mp3", "--no-predict", "--records", "records.jsonl", status=1)
    assert "song.mp3: has no answer: scan it with m2e library scan, or remove --no-predict." in result.stderr
    Path("map.toml").write_text("[VALENCE]\nvalue = 'valence'\n")
    run("music/song.mp3", "--mapping", "map.toml", "--tempo")
    assert loaded[1][4] is False and loaded[1][-1] is True and not cli_tag.needs_harmony(read_mapping("map.toml"))


def test_the_library_answers(music):
    from library_tools import add
    from library_tools import record as made

    from m2e.library.database import Library

    for path in ("own.db", answers.default_path()):
        with Library.open(path, create=True) as library:
            add(library, "music/song.flac", made(2.0, 3.0, "D minor", calm=0.9), content=path)
    for options in (["--db", "own.db"], [], ["--db", "own.db", "--records", "records.jsonl"]):
        result = run("music/song.flac", "--no-predict", *options)
        valence = next(line.split()[-1] for line in result.stdout.splitlines() if "VALENCE" in line)
        assert valence == ("5.31" if "--records" in options else "2.00")
    assert "gone.db does not exist" in run("music", "--db", "gone.db", status=2).stderr


def test_records_beside_their_music(music, monkeypatch):
    shutil.copy("records.jsonl", "music/records.jsonl")
    lines = Path("music/records.jsonl").read_text().replace("music/", "")
    Path("music/records.jsonl").write_text(lines)
    assert "2 files would change" in run("music", "--records", "music/records.jsonl", "--no-predict").stderr


# --- wrong usage ---


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "name the files or folders"),
        (["music", "--undo", "--write"], "--undo writes by itself"),
        (["music", "--records", "gone.jsonl"], "gone.jsonl cannot be read as records"),
        (["music", "--records", "bad.jsonl"], "bad.jsonl, record 2: this is no JSON"),
        (["music", "--records", "other.json"], "other.json, record 1: this is no record"),
        (["music", "--mapping", "gone.toml"], "gone.toml cannot be read as a mapping"),
        (["music", "--mapping", "bad.jsonl"], "bad.jsonl is no valid TOML"),
        (["music", "--write", "--journal", "bad.jsonl"], "the journal bad.jsonl cannot be used"),
        (["music", "--write", "--journal", "bad.jsonl/in.db"], "cannot be written as a journal"),
        (["music", "--mapping", "names.toml"], "[A]: vorbis = '=' is no name"),
    ],
)
def test_wrong_usage_is_one_sentence(music, arguments, sentence):
    Path("bad.jsonl").write_text(json.dumps(record()) + "\n" + '{"path": "a.mp3", "err' + "\n" * 9 + "x" * 999)
    Path("other.json").write_text('[{"path": "a.mp3"}]')
    Path("names.toml").write_text("[A]\nvalue = 'key'\nvorbis = '='\n")
    before = contents("music")
    result = run(*arguments, status=2)
    assert sentence in result.stderr and result.stderr.count("\n") == 1 and result.stdout == ""
    assert contents("music") == before


def test_what_is_no_file_has_no_tags(music):
    result = run("https://example.org/a.mp3", "gone.flac", "--no-predict", status=1)
    assert "https://example.org/a.mp3: only files have tags." in result.stderr
    assert "gone.flac: there is no such file or folder." in result.stderr
    assert "only files have tags" in run("https://example.org/a.mp3", "--undo", status=1).stderr


def test_an_interrupt(music, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("m2e.library.tagging.write.plan", interrupt)
    result = run("music", "--records", "records.jsonl", "--write", status=130)
    assert "Every file is either as it was or completely written." in result.stderr
