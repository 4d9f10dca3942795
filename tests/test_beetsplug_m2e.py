"""The plugin in a real beets: fields on import and by command, queries that find them, and tags that beets writes."""

import os
from pathlib import Path

import mutagen
import pytest
from tagged_audio import make, record

pytest.importorskip("beets")
if os.name == "nt":
    pytest.skip("the plugin was not tried on Windows", allow_module_level=True)

import beets  # noqa: E402
import beets.plugins  # noqa: E402
from beets import ui  # noqa: E402
from mediafile import MediaFile  # noqa: E402

from beetsplug.m2e import ATTRIBUTES, NUMBERS, M2EPlugin, fields_of  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
CONFIG = """\
directory: {folder}/library
library: {folder}/library.blb
plugins: m2e
import: {{copy: yes, write: yes, autotag: no, quiet: yes}}
id3v23: {id3v23}
m2e: {{auto: {auto}}}
"""


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    """One song of each format, with a title and an artist."""
    folder = tmp_path_factory.mktemp("songs")
    for suffix in ("mp3", "flac", "m4a"):
        file = mutagen.File(make(folder, suffix, f"song-{suffix}"), easy=True)
        if file.tags is None:
            file.add_tags()
        file["title"], file["artist"], file["album"] = suffix, "Ann", "Songs"
        file.save()
    return folder


class Beets:
    """Calls the command line of beets with its own folder, as `beet` would."""

    def __init__(self, folder: Path, capsys, **settings):
        os.makedirs(folder)
        self.folder, self._capsys = folder, capsys
        settings = {"id3v23": "no", "auto": "yes", **settings}
        (folder / "config.yaml").write_text(CONFIG.format(folder=folder, **settings))

    def __call__(self, *arguments) -> list[str]:
        """The lines that a command prints, in a beets that has forgotten all plugins and settings."""
        for name in ("mood", *NUMBERS, *ATTRIBUTES):
            if name in vars(MediaFile):
                delattr(MediaFile, name)
        beets.plugins.BeetsPlugin.listeners.clear()
        beets.plugins.BeetsPlugin._raw_listeners.clear()
        beets.plugins._instances.clear()
        beets.config.clear()
        beets.config.read()
        ui._raw_main([str(each) for each in arguments])
        return self._capsys.readouterr().out.splitlines()

    def tags(self, suffix):
        (path,) = (self.folder / "library").rglob(f"*.{suffix}")
        return mutagen.File(path).tags


@pytest.fixture
def beet(tmp_path, capsys, monkeypatch):
    """Makes a Beets whose plugin predicts a record that follows from the name of the file."""
    monkeypatch.setenv("BEETSDIR", str(tmp_path / "beets"))
    monkeypatch.setattr("m2e.library.tagging.answers.default_path", lambda: str(tmp_path / "library.db"))
    monkeypatch.setattr(M2EPlugin, "record", predicted)
    return lambda **settings: Beets(tmp_path / "beets", capsys, **settings)


RECORD = M2EPlugin.record
VALENCE = {"mp3": 3.0, "flac": 5.5, "m4a": 7.25}


def predicted(plugin, path):
    suffix = path.rpartition(".")[2]
    return record(path, valence=VALENCE[suffix], selected_moods=["calm", suffix])


def test_an_import_sets_fields_that_queries_find(beet, songs):
    run = beet()
    run("import", songs)
    assert run("ls", "-f", "$title", "valence:6..") == ["m4a"]
    assert run("ls", "-f", "$title $valence $mood", "valence:5..6", "arousal:6..") == ["flac 5.5000 calm; flac"]
    assert sorted(run("ls", "-f", "$title", "mood:calm", "energy:0.5..")) == ["flac", "m4a", "mp3"]
    assert run("ls", "-f", "$title", "mood:mp3") == ["mp3"] and run("ls", "valence:8..") == []
    assert run("ls", "-f", "$initial_key", "title:mp3") == ["Am"]
    assert run("ls", "-f", "$title", "valence-")[::2] == ["m4a", "mp3"]


@pytest.mark.parametrize("id3v23", ["no", "yes"])
def test_beets_writes_the_tags_and_reads_them_back(beet, songs, id3v23):
    run = beet(id3v23=id3v23)
    run("import", songs)
    run("write")  # an import without autotagging writes no tags
    mp3, flac, m4a = (run.tags(suffix) for suffix in ("mp3", "flac", "m4a"))
    assert flac["MOOD"] == ["calm", "flac"] and flac["VALENCE"] == ["5.50"] and flac["INITIALKEY"] == ["Am"]
    assert m4a["----:com.apple.iTunes:VALENCE"] == [b"7.25"] and m4a["----:com.apple.iTunes:initialkey"] == [b"Am"]
    assert m4a["----:com.apple.iTunes:MOOD"] == [b"calm", b"m4a"]
    assert mp3["TXXX:VALENCE"] == "3.00" and mp3["TKEY"] == "Am" and mp3["TXXX:ENERGY"] == "0.73"
    assert mp3["TXXX:MOOD"].text == ["calm/mp3"] if id3v23 == "yes" else mp3["TMOO"].text == ["calm", "mp3"]
    run("update", "-F", "valence", "-F", "mood")
    assert run("ls", "-f", "$title $valence $mood", "mood:mp3") == ["mp3 3.0000 calm; mp3"]


def test_the_command_predicts_what_has_no_valence(beet, songs, monkeypatch):
    run = beet(auto="no")
    run("import", songs)
    assert run("ls", "-f", "$title", "valence:0..") == []
    assert "VALENCE" not in run.tags("flac")
    run("m2e", "-W", "title:flac")
    assert run("ls", "-f", "$title", "valence:0..") == ["flac"] and "VALENCE" not in run.tags("flac")
    called = []
    monkeypatch.setattr(M2EPlugin, "record", lambda self, path: called.append(path) or predicted(self, path))
    run("m2e", "-w")
    assert sorted(path[-4:] for path in called) == [".m4a", ".mp3"] and "VALENCE" not in run.tags("flac")
    run("m2e")
    assert len(called) == 2
    run("m2e", "-f", "-w", "title:flac")
    assert len(called) == 3 and run.tags("flac")["VALENCE"] == ["5.50"]


def test_a_track_that_fails_is_logged_and_the_rest_goes_on(beet, songs, monkeypatch, caplog):
    def failing(plugin, path):
        if path.endswith("flac"):
            return {"error": f"{path}: is silent."}
        return predicted(plugin, path)

    monkeypatch.setattr(M2EPlugin, "record", failing)
    run = beet()
    run("import", songs)
    assert sorted(run("ls", "-f", "$title", "valence:0..")) == ["m4a", "mp3"]


def test_a_library_answers_and_a_missing_one_is_a_sentence(beet, songs, monkeypatch):
    from library_tools import add
    from library_tools import record as made

    from m2e.library.database import Library

    run = beet(auto="no")
    run("import", songs)
    (path,) = (run.folder / "library").rglob("*.flac")
    with Library.open(run.folder / "m2e.db", create=True) as library:
        add(library, path, made(2.0, 3.0, None, dark=0.9))
    config = run.folder / "config.yaml"
    config.write_text(config.read_text().replace("auto: no", f"auto: no, library: {run.folder}/m2e.db"))
    run("m2e")
    assert run("ls", "-f", "$valence $mood", "title:flac") == ["2.0000 dark"]
    config.write_text(config.read_text().replace("m2e.db", "gone.db"))
    with pytest.raises(ui.UserError, match="gone.db does not exist"):
        run("m2e", "-f")


def test_a_key_and_a_tempo_that_an_item_has_are_kept():
    values = record(attributes={"energy": 0.5, "tempo": 119.6, "loudness": -9.0})
    assert fields_of(values, {})["initial_key"] == "Am" and fields_of(values, {})["bpm"] == 120
    assert {"initial_key", "bpm"}.isdisjoint(fields_of(values, {"initial_key": "8B", "bpm": 128}))
    unsure = record(key={"tonic": "A", "mode": "minor", "confidence": 0.4}, attributes=None)
    assert set(fields_of(unsure, {})) == {"valence", "arousal", "mood"}


def test_one_real_prediction(beet, monkeypatch):
    """The embedded model on a clip of this project."""
    run = beet()
    monkeypatch.setattr(M2EPlugin, "record", RECORD)
    clip = next((ROOT / "examples").glob("*.ogg"))
    run("import", "-s", clip)
    run("write")
    (line,) = run("ls", "-f", "$valence $arousal")
    assert all(1 <= float(number) <= 9 for number in line.split())
    assert run.tags("ogg")["VALENCE"] == [f"{float(line.split()[0]):.2f}"]
