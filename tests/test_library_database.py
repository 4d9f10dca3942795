"""The database of a library: what is stored comes back, and every fault is one sentence."""

import os
import signal
import sqlite3

import library_tools as tools
import numpy as np
import pytest

from m2e.errors import LibraryError
from m2e.library import database, schema
from m2e.library.database import FileState, Library
from m2e.library.track import Tags


@pytest.fixture
def library(tmp_path):
    with Library.open(tmp_path / "library.db", create=True) as opened:
        yield opened


def test_a_track_comes_back_as_it_was_stored(library, tmp_path):
    made = tools.record(6.123456, 4.0, "F# minor", calm=0.91, dark=0.2, embedding=np.arange(8))
    song = tmp_path / "song.mp3"
    key = tools.add(library, song, made, artist="Ann", title="Dawn", year=1990)
    track = library.track(key)
    assert (track.id, track.paths, track.missing) == (key, (str(song),), False)
    assert track.tags == Tags("Ann", "Dawn", None, 1990, None) and track.name == "Ann - Dawn"
    assert track.settings == tools.SETTINGS and track.seconds == 200.0
    assert track.values == {**made.to_dict(), "path": str(song)}
    assert track.record.key == made.key and track.record.path == str(song)
    assert library.find(song).id == key and library.find(tmp_path / "other.mp3") is None
    assert library.track(99) is None and len(library) == 1


def test_files_of_one_content_share_a_track(library, tmp_path):
    key = tools.add(library, tmp_path / "b.mp3", tools.record(), content="same", title="first")
    assert tools.add(library, tmp_path / "a.mp3", content="same", title="second") == key
    assert [track.paths for track in library.tracks()] == [(str(tmp_path / "b.mp3"), str(tmp_path / "a.mp3"))]
    library.mark_missing([str(tmp_path / "b.mp3")])
    track = library.track(key)
    assert track.path == str(tmp_path / "a.mp3") and track.tags.title == "second" and not track.missing


def test_missing_tracks_are_hidden_but_kept(library, tmp_path):
    keys = [tools.add(library, tmp_path / name, tools.record(embedding=np.ones(8))) for name in ("a.mp3", "b.mp3")]
    library.mark_missing([str(tmp_path / "a.mp3")])
    assert [track.id for track in library.tracks()] == keys[1:]
    assert [track.id for track in library.tracks(missing=True)] == keys and library.track(keys[0]).missing
    assert library.columns().ids.tolist() == keys[1:] and library.columns(missing=True).ids.tolist() == keys
    assert library.embeddings()[0].tolist() == keys[1:]
    tools.add(library, tmp_path / "a.mp3")
    assert [track.id for track in library.tracks()] == keys and library.count_missing() == 0


def test_tracks_come_in_the_order_of_the_ids(library, tmp_path):
    keys = [tools.add(library, tmp_path / f"{name}.mp3", tools.record()) for name in "abc"]
    assert [track.id for track in library.tracks([keys[2], 99, keys[0]])] == [keys[2], keys[0]]


def test_a_new_record_replaces_the_old_one(library, tmp_path):
    key = tools.add(library, tmp_path / "a.mp3", tools.record(3.0, calm=0.9, embedding=np.ones(8)))
    tools.add(library, tmp_path / "a.mp3", tools.record(4.0, calm=0.9, embedding=np.ones(8)))
    assert library.columns().number("valence").tolist() == [4.0]
    other = tools.record(5.0, upbeat=0.9, embedding=np.ones(6))
    library.put_record(key, other, library.settings_id({"model": "other"}))
    columns = library.columns()
    assert columns.ids.tolist() == [key] and columns.moods == ["calm", "upbeat"]
    assert np.isnan(columns.mood("calm")).all() and library.embeddings()[1].shape == (1, 6)
    assert library.track(key).settings == {"model": "other"}


def test_a_failure_is_kept_beside_an_earlier_record(library, tmp_path):
    key = tools.add(library, tmp_path / "a.mp3", tools.record())
    other = library.settings_id({"model": "other"})
    assert not library.is_tried(key, other)
    library.put_failure(key, "a.mp3: is silent.", other)
    library.put_file(str(tmp_path / "x.mp3"), FileState(0, 0, 0, 0), None, Tags(), "x.mp3: is empty.")
    assert library.is_tried(key, other) and library.track(key) is not None
    errors = {os.path.basename(file.path): file.error for file in library.files()}
    assert errors == {"a.mp3": "a.mp3: is silent.", "x.mp3": "x.mp3: is empty."}


def test_names_need_not_be_utf8(library, tmp_path):
    song = os.path.join(str(tmp_path), os.fsdecode(b"caf\xe9.mp3"))
    key = tools.add(library, song, tools.record())
    assert library.find(song).path == library.track(key).path == song
    library.put_failure(key, f"{song}: is silent.", library.settings_id(tools.SETTINGS))
    assert library.file(song).error == str(tmp_path / "caf\ufffd.mp3: is silent.")
    assert library.texts("path") == {key: song} and [file.path for file in library.files()] == [song]


def test_states_fit_into_the_integers_of_sqlite(library, tmp_path):
    class Status:
        st_size, st_mtime_ns, st_dev, st_ino = 1, 2, (1 << 64) - 1, (1 << 63) + 5

    state = FileState.of(Status)
    library.put_file(str(tmp_path / "a.mp3"), state, None, Tags(), "bad")
    assert next(library.files()).state == state


def test_texts_are_those_of_the_first_file(library, tmp_path):
    key = tools.add(library, tmp_path / "a.mp3", tools.record(), content="x", artist="first")
    tools.add(library, tmp_path / "b.mp3", content="x", artist="second")
    tools.add(library, tmp_path / "c.mp3", tools.record())
    assert library.texts("artist") == {key: "first"}
    with pytest.raises(ValueError):
        library.texts("path; DROP TABLE files")


# --- transactions and processes ---


def test_a_transaction_is_whole_or_nothing(library, tmp_path):
    with pytest.raises(KeyError), library.transaction():
        tools.add(library, tmp_path / "a.mp3", tools.record())
        raise KeyError
    assert len(library) == 0 and len(library.columns()) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_writer_leaves_a_consistent_database(tmp_path):
    path = tmp_path / "library.db"
    child = os.fork()
    if child == 0:
        try:
            library = Library.open(path, create=True)
            tools.add(library, "a.mp3", tools.record(embedding=range(8)))
            with library.transaction():
                tools.add(library, "b.mp3", tools.record(embedding=range(8)))
                os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    with Library.open(path) as library:
        assert [os.path.basename(track.path) for track in library.tracks()] == ["a.mp3"]
        assert len(library.columns()) == 1 and library.embeddings()[1].tolist() == [list(range(8))]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_several_processes_make_and_write_one_database(tmp_path):
    path, children = tmp_path / "library.db", []
    for number in range(6):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                with Library.open(path, create=True) as library:
                    for name in range(5):
                        tools.add(library, f"{number}-{name}.mp3", tools.record(embedding=np.ones(8)))
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 6
    with Library.open(path) as library:
        assert len(library) == len(library.columns()) == len(library.embeddings()[0]) == 30


# --- what can be wrong with a database ---


def sentence(path, **options):
    with pytest.raises(LibraryError) as error:
        with Library.open(path, **options) as library:
            library.settings_id({"model": "new"})
            list(library.tracks())
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    return str(error.value)


def test_a_database_that_does_not_exist_is_not_made(tmp_path):
    assert "m2e library scan" in sentence(tmp_path / "library.db")
    assert not (tmp_path / "library.db").exists()


def test_a_newer_database_is_refused(tmp_path, library):
    library._connection.execute("PRAGMA user_version = 99")
    assert "newer m2e" in sentence(tmp_path / "library.db")


def test_a_database_of_another_program_is_refused_and_not_changed(tmp_path):
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE songs (name TEXT)")
    other.close()
    before = path.read_bytes()
    assert "another program" in sentence(path, create=True)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"no database " * 1000, b"SQLite format 3\0" + bytes(range(256)) * 40])
def test_what_is_no_database_is_refused(tmp_path, content):
    path = tmp_path / "library.db"
    path.write_bytes(content)
    assert "is not the database of a library" in sentence(path) or "damaged" in sentence(path)


def test_a_damaged_database_is_refused(tmp_path):
    path = tmp_path / "library.db"
    with Library.open(path, create=True) as library:
        for number in range(200):
            tools.add(library, f"{number}.mp3", tools.record(embedding=np.ones(8)))
    content = bytearray(path.read_bytes())
    for page in range(2, len(content) // 4096):  # the first page holds the schema
        content[page * 4096 : page * 4096 + 100] = b"\xaa" * 100
    path.write_bytes(content)
    assert "damaged" in sentence(path)


def test_a_locked_database_says_so(tmp_path, library, monkeypatch):
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.01)
    library._connection.execute("BEGIN EXCLUSIVE")
    assert "locked by another program" in sentence(tmp_path / "library.db")
    library._connection.execute("ROLLBACK")


def test_a_full_disk_loses_nothing_that_was_stored(library, tmp_path):
    tools.add(library, tmp_path / "a.mp3", tools.record())
    pages = library._one("PRAGMA page_count")
    library._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(LibraryError, match="disk is full"):
        for number in range(2000):
            tools.add(library, tmp_path / f"{number}.mp3", tools.record(embedding=np.ones(64)))
    assert library.find(tmp_path / "a.mp3") is not None
    library._connection.execute("PRAGMA max_page_count = 1000000")
    tools.add(library, tmp_path / "z.mp3", tools.record())
    assert library.find(tmp_path / "z.mp3") is not None


def test_a_folder_in_place_of_a_database(tmp_path):
    assert "cannot be opened" in sentence(tmp_path, create=True)


def test_a_damaged_record_says_so(library, tmp_path):
    key = tools.add(library, tmp_path / "a.mp3", tools.record())
    library._connection.execute("UPDATE tracks SET record = x'00'")
    with pytest.raises(LibraryError, match="damaged"):
        _ = library.track(key).values


def test_an_older_schema_is_migrated(tmp_path, monkeypatch):
    path = tmp_path / "library.db"
    with Library.open(path, create=True) as library:
        tools.add(library, "a.mp3", tools.record())
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, "ALTER TABLE files ADD COLUMN rating INTEGER;"))
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    with Library.open(path) as library:
        assert len(library) == 1 and library._one("SELECT count(*) FROM files WHERE rating IS NULL") == 1
        assert library._one("PRAGMA user_version") == schema.VERSION


def test_a_migration_that_fails_changes_nothing(tmp_path, monkeypatch):
    path = tmp_path / "library.db"
    Library.open(path, create=True).close()
    broken = "ALTER TABLE files ADD COLUMN rating INTEGER; DROP TABLE nothing;"
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, broken.replace("; ", ";\n")))
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    with pytest.raises(sqlite3.OperationalError):
        Library.open(path)
    monkeypatch.undo()
    with Library.open(path) as library:
        assert "rating" not in str(list(library._rows("PRAGMA table_info(files)")))
