"""Files are replaced whole or left alone, whatever happens meanwhile; the journal survives it."""

import errno
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from mutagen.flac import FLAC
from tagged_audio import make, record

from m2e.errors import AudioError, UsageError
from m2e.library.tagging import replace
from m2e.library.tagging.journal import digest, open_journal
from m2e.library.tagging.mapping import read_mapping
from m2e.library.tagging.write import plan, undo, write

ROOT = Path(__file__).resolve().parent.parent
posix = pytest.mark.skipif(os.name != "posix", reason="no such files here")


@pytest.fixture
def song(tmp_path):
    return make(tmp_path, "flac")


@pytest.fixture
def database(tmp_path):
    return tmp_path / "journal" / "tags.db"


@pytest.fixture
def journal(database):
    with open_journal(database) as book:
        yield book


def planned(path, **changes):
    return plan(str(path), record(**changes), read_mapping())


def left_alone(path, journal, sentence, content=None):
    """Asserts that a write raises one sentence, and that neither the file nor its folder change."""
    before, names = Path(path).read_bytes(), sorted(os.listdir(Path(path).parent))
    with pytest.raises(AudioError) as error:
        write(planned(path), journal)
    message = str(error.value)
    assert message.startswith(f"{path}: ") and sentence in message and message.endswith(".") and "\n" not in message
    assert Path(path).read_bytes() == before and sorted(os.listdir(Path(path).parent)) == names


# --- files that are left alone ---


@posix
def test_read_only_files_and_folders(song, journal, tmp_path):
    song.chmod(0o444)
    left_alone(song, journal, "is read-only")
    song.chmod(0o644)
    inner = tmp_path / "inner"
    inner.mkdir()
    shutil.copy(song, inner)
    inner.chmod(0o555)
    left_alone(inner / "song.flac", journal, "its folder is read-only")
    inner.chmod(0o755)


@posix
def test_hard_links(song, journal, tmp_path):
    os.link(song, tmp_path / "other.flac")
    left_alone(song, journal, "has another name")


@posix
def test_a_file_that_another_program_writes_or_locks(song, journal):
    import fcntl

    if sys.platform == "linux":
        with open(song, "rb+"):
            left_alone(song, journal, "is being written by another program")
    with open(song, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        left_alone(song, journal, "is being written by another program")
    before = signal.getsignal(signal.SIGIO)
    write(planned(song), journal)
    assert signal.getsignal(signal.SIGIO) == before


def test_a_file_that_changes_between_plan_and_write(song, journal):
    late = planned(song)
    file = FLAC(song)
    file["comment"] = "by another program"
    file.save()
    before = song.read_bytes()
    with pytest.raises(AudioError, match="was changed by another program meanwhile"):
        write(late, journal)
    assert song.read_bytes() == before


def test_a_large_file(song, journal, monkeypatch):
    monkeypatch.setattr(replace, "MAX_BYTES", 1000)
    left_alone(song, journal, "is larger than 0 GiB")


def test_a_full_disk(song, journal, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    left_alone(song, journal, "cannot be written (No space left on device)")


def test_tags_that_do_not_arrive(song, journal, monkeypatch):
    monkeypatch.setattr("m2e.library.tagging.formats.AudioTags.write", lambda *_: None)
    left_alone(song, journal, "MOOD would become nothing instead of calm; happy")


# --- what stays ---


@posix
def test_mode_links_and_times(song, journal, tmp_path):
    song.chmod(0o640)
    os.utime(song, ns=(1, 123_456_789_000))
    link = tmp_path / "link.flac"
    link.symlink_to(song)
    write(planned(link), journal, keep_times=True)
    assert link.is_symlink() and song.stat().st_mode & 0o777 == 0o640 and song.stat().st_mtime_ns == 123_456_789_000
    write(planned(song, valence=2.0), journal)
    assert song.stat().st_mtime_ns > 10**18
    undo(str(song), journal)
    undo(str(song), journal, keep_times=True)
    assert song.stat().st_mtime_ns == 123_456_789_000


@posix
def test_nobody_else_can_read_the_copy_of_a_private_file(song, journal, tmp_path, monkeypatch):
    modes = []

    def add(*_):
        (copy,) = tmp_path.glob(f"{replace.TEMPORARY}*")
        modes.append(copy.stat().st_mode & 0o777)

    monkeypatch.setattr(journal, "add", add)
    write(planned(song), journal)
    assert modes == [0o600] and song.stat().st_mode & 0o777 != 0o600


def test_extended_attributes(song, journal):
    try:
        os.setxattr(song, "user.note", b"mine")
    except (AttributeError, OSError):
        pytest.skip("the file system has no extended attributes")
    write(planned(song), journal)
    assert os.getxattr(song, "user.note") == b"mine"


# --- undo ---


def test_undo_goes_back_one_write_at_a_time(song, journal):
    states = [song.read_bytes()]
    for valence in (1.5, 2.5, 3.5):
        write(planned(song, valence=valence), journal)
        states.append(song.read_bytes())
    for earlier in states[-2::-1]:
        undo(str(song), journal)
        assert song.read_bytes() == earlier
    assert undo(str(song), journal) is None
    write(planned(song), journal)
    write(planned(song, valence=9.0), journal)
    undo(str(song), journal)
    assert FLAC(song)["VALENCE"] == ["5.31"]


def test_undo_finds_a_renamed_file_and_one_that_m2e_never_wrote(song, journal, tmp_path):
    other = Path(shutil.copy(song, tmp_path / "other.flac"))
    before = song.read_bytes()
    write(planned(song), journal)
    moved = song.rename(tmp_path / "moved.flac")
    assert undo(str(moved), journal).whole
    assert moved.read_bytes() == before
    assert undo(str(other), journal) is None and other.read_bytes() == before


def changed_by_another_program(path, **tags):
    file = FLAC(path)
    file.update(tags)
    file.save()


def test_a_file_that_has_changed_since_gets_its_values_back(song, journal):
    changed_by_another_program(song, MOOD="mellow", INITIALKEY="8B")
    write(planned(song), journal)
    write(planned(song, valence=2.0), journal)
    changed_by_another_program(song, comment="mine", AROUSAL="9")
    undone = undo(str(song), journal)
    assert not undone.whole and set(undone.tags) == {"MOOD", "VALENCE", "ENERGY"}
    assert FLAC(song)["comment"] == ["mine"] and FLAC(song)["AROUSAL"] == ["9"] and FLAC(song)["MOOD"] == ["mellow"]
    assert FLAC(song)["INITIALKEY"] == ["8B"] and not {"VALENCE", "ENERGY"} & set(FLAC(song))
    before = song.read_bytes()
    assert undo(str(song), journal) is None and song.read_bytes() == before
    write(planned(song, valence=3.0), journal)
    assert undo(str(song), journal).whole and song.read_bytes() == before


def test_another_song_of_the_same_name_is_left_alone(song, journal, tmp_path):
    write(planned(song), journal)
    make(tmp_path, "flac", seconds=0.5)
    before = song.read_bytes()
    assert undo(str(song), journal) is None and song.read_bytes() == before


def test_a_damaged_journal_restores_nothing_wrong(song, journal, database):
    write(planned(song), journal)
    before = song.read_bytes()
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE writes SET earlier_content = x'00'")
    with pytest.raises(AudioError, match="the journal cannot restore it"):
        undo(str(song), journal)
    assert song.read_bytes() == before


# --- a kill ---

# Tries to write again and again, each time in a process that dies at another place; prints the state after each.
KILLED = """
import os, signal, sys
from pathlib import Path
from m2e.library.tagging import journal, replace, write
from m2e.library.tagging.mapping import read_mapping
sys.path.insert(0, "tests")
from tagged_audio import record

song, database = sys.argv[1:]

def child(owner, name, after):
    real = getattr(owner, name)
    def dying(*arguments, **options):
        if after:
            real(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(owner, name, dying)
    with journal.open_journal(Path(database)) as book:
        write.write(write.plan(song, record(), read_mapping()), book)
    os._exit(0)

new = replace.Replacement
places = (new, "write"), (new, "content"), (journal.Journal, "add"), (os, "fsync"), (os, "replace")
for place in places:
    for after in (False, True):
        process = os.fork()
        if not process:
            child(*place, after)
        assert os.waitpid(process, 0)[1] == signal.SIGKILL, place
        print(place[1], after, journal.digest(Path(song).read_bytes()).hex())
"""


@posix
def test_a_kill_leaves_the_old_file_or_the_new_one(song, database, tmp_path):
    old = song.read_bytes()
    copy = Path(shutil.copy(song, tmp_path / "copy.flac"))
    with open_journal(tmp_path / "other.db") as book:
        write(planned(copy), book)
    new = copy.read_bytes()
    command = [sys.executable, "-c", KILLED, str(song), str(database)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    *states, last = [line.split() for line in done.stdout.splitlines()]
    assert len(states) == 9 and {state for *_, state in states} == {digest(old).hex()}
    assert last == ["replace", "True", digest(new).hex()]
    with open_journal(database) as book:
        assert undo(str(song), book) is not None and song.read_bytes() == old
        assert undo(str(song), book) is None
        write(planned(song), book)
    assert song.read_bytes() == new
    assert not [name for name in os.listdir(tmp_path) if name.startswith(replace.TEMPORARY)]


# --- the journal ---


def test_one_writer_at_a_time(database, journal):
    with pytest.raises(UsageError, match="another m2e tag is writing"):
        with open_journal(database):
            pass


def test_files_that_are_no_journal(tmp_path):
    def sentence(path):
        with pytest.raises(UsageError) as error:
            with open_journal(path):
                pass
        message = str(error.value)
        assert str(path) in message and message.endswith(".") and "\n" not in message
        return message

    words = tmp_path / "words.db"
    words.write_text("no database at all " * 100)
    assert "cannot be used" in sentence(words)
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE songs (id INTEGER)")
    assert "another program" in sentence(other)
    newer = tmp_path / "newer.db"
    with open_journal(newer):
        pass
    with sqlite3.connect(newer) as connection:
        connection.execute("PRAGMA user_version = 99")
    assert "later version" in sentence(newer)
    assert "cannot be" in sentence(words / "inside.db")
    folder = tmp_path / "folder.db"
    folder.mkdir()
    assert "cannot be used" in sentence(folder)


def test_a_journal_that_cannot_grow_stops_everything_before_the_file_changes(song, journal):
    journal._connection.execute("PRAGMA max_page_count = 1")  # no more than there are
    with pytest.raises(UsageError, match="the journal .* cannot be used .*full"):
        for number in range(100):
            before = song.read_bytes()
            write(planned(song, valence=1 + number / 100), journal)
    assert song.read_bytes() == before and number > 0
    assert undo(str(song), journal) is not None
