"""`m2e library scan` and `status` as a person types them."""

import pytest
from library_scans import Scans, fake
from typer.testing import CliRunner

from m2e import cli
from m2e.cli import library as command
from m2e.library.database import Library


def run(*arguments, status=0):
    result = CliRunner().invoke(cli.app, ["library", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder of music, and a model that answers at once."""
    scans = Scans(tmp_path)
    for name in ("a.wav", "b.flac", "deep/c.ogg", "deep/er/d.aiff"):
        scans.song(name)
    monkeypatch.setattr(command, "_load", lambda *arguments: fake(str(scans.log)))
    return scans


def test_scan_and_status(home):
    (home.music / "text.mp3").write_text("no audio")
    first = run("scan", home.music, "--db", home.database, status=1)
    assert "5 files: 4 predicted in" in first.stderr and "1 failed." in first.stderr and "text.mp3" in first.stderr
    assert first.stdout == ""
    again = run("scan", home.music, "--db", home.database)
    assert "5 files: 0 predicted, 5 known, 0 failed." in again.stderr
    (home.music / "a.wav").unlink()
    assert "1 file is missing" in run("scan", home.music, "--db", home.database).stderr
    shown = run("status", "--db", home.database, "--missing").stdout
    for part in (
        str(home.music),
        "files      4, 1 missing",
        "m2e-small: 4 records",
        "failed     1",
        "text.mp3",
        "a.wav",
    ):
        assert part in shown


def test_the_tempo_is_a_setting_of_a_scan(home, monkeypatch):
    monkeypatch.undo()  # of `_load`
    loaded = []
    monkeypatch.setattr(command, "load_model", lambda *settings, **named: loaded.append(named) or fake(str(home.log)))
    run("scan", home.music, "--db", home.database)
    assert "4 predicted" in run("scan", home.music, "--db", home.database, "--tempo").stderr
    assert "4 known" in run("scan", home.music, "--db", home.database, "--tempo").stderr
    assert [named["tempo"] for named in loaded] == [False, True]
    assert "m2e-small, with tempo: 4 records" in run("status", "--db", home.database).stdout


def test_the_default_database_is_in_the_users_folder(home, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr("platformdirs.user_data_path", lambda *a, **k: tmp_path / "data" / "m2e")
    run("scan", home.music)
    with Library.open(tmp_path / "data" / "m2e" / "library.db") as library:
        assert len(library) == 4


def test_nothing_to_scan(home, tmp_path):
    missing = run("scan", tmp_path / "nowhere", "--db", home.database, status=1)
    assert "there is no such file or folder" in missing.stderr
    assert "folders or files" in run("scan", "https://example.com/a.mp3", "--db", home.database, status=2).stderr
    assert "m2e library scan DIR" in run("status", "--db", tmp_path / "no.db", status=2).stderr


def test_an_interrupt_says_what_to_do(home, monkeypatch):
    def interrupted(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_load", lambda *arguments: interrupted)
    assert "start the scan again" in run("scan", home.music, "--db", home.database, status=130).stderr
