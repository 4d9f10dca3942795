"""Scans of a library: what is predicted, what is not, and what becomes of files that change, move or are away."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import mutagen
import pytest
from library_scans import SETTINGS, Scans, fake, predict

from m2e.errors import LibraryError, ModelError, UsageError
from m2e.library import analysis, scan
from m2e.library.database import FileState, Library
from m2e.library.scan import plan_scan, run, settings_of

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def scans(tmp_path):
    made = Scans(tmp_path)
    for seed, name in enumerate(["a.wav", "b.flac", "deep/c.ogg", "deep/er/d.aiff"]):
        made.song(name, seed)
    return made


def test_a_second_scan_predicts_nothing(scans):
    assert scans() == {"predicted": 4}
    assert scans() == {"unchanged": 4} and scans.predicted == []
    assert scans.names() == ["a.wav", "b.flac", "deep/c.ogg", "deep/er/d.aiff"]
    with scans.library() as library:
        assert list(library.roots()) == [str(scans.music)]
        assert library.embeddings()[1].shape == (4, 8)


def test_a_second_scan_loads_no_model(scans):
    scans()
    with Library.open(scans.database) as library:
        plan = plan_scan(library, [str(scans.music)], SETTINGS)
        with run(plan, pytest.fail) as outcomes:
            assert list(outcomes) == []


def test_renamed_moved_and_tagged_files_are_not_predicted_again(scans):
    scans()
    os.rename(scans.music / "a.wav", scans.music / "deep" / "new name.wav")
    tagged = mutagen.File(scans.music / "b.flac")
    tagged["artist"] = "Ann"
    tagged.save()
    os.utime(scans.music / "deep" / "c.ogg", (1, 1))
    moved = shutil.copy(scans.music / "deep/er/d.aiff", scans.music / "copied.aiff")  # another inode and time
    os.utime(moved, (5, 5))
    os.remove(scans.music / "deep/er/d.aiff")
    assert scans() == {"known": 4} and scans.predicted == []
    assert scans.names() == ["b.flac", "copied.aiff", "deep/c.ogg", "deep/new name.wav"]
    with scans.library() as library:
        assert library.count_missing() == 0
        assert library.find(scans.music / "b.flac").tags.artist == "Ann"
    assert scans() == {"unchanged": 4}


def test_a_rename_does_not_read_the_file(scans, monkeypatch):
    scans()
    os.rename(scans.music / "deep", scans.music / "Deep Purple")
    monkeypatch.setattr(analysis, "content_hash", pytest.fail)
    assert scans() == {"unchanged": 2, "known": 2}


def test_changed_audio_is_predicted_again(scans):
    scans()
    scans.song("a.wav", seed=99)
    assert scans() == {"predicted": 1, "unchanged": 3} and scans.predicted == ["a.wav"]
    with scans.library() as library:
        assert len(list(library.tracks())) == 4


def test_duplicates_share_one_record(scans):
    shutil.copy(scans.music / "a.wav", scans.music / "a copy.wav")
    assert scans() == {"predicted": 4, "known": 1}
    with scans.library() as library:
        assert len(library) == 4 and len(library.find(scans.music / "a.wav").paths) == 2


def test_another_model_or_setting_predicts_again_but_identifies_nothing_again(scans, monkeypatch):
    scans()
    monkeypatch.setattr(analysis, "content_hash", pytest.fail)
    assert scans(settings={"model": "other"}) == {"predicted": 4}
    assert scans(settings={"model": "other"}) == {"unchanged": 4}
    with scans.library() as library:
        assert [track.settings for track in library.tracks()] == [{"model": "other"}] * 4
        assert len(library.columns()) == 4


def test_every_copy_of_a_bad_file_is_a_failure(scans):
    for name in ("x.mp3", "y.mp3", "deep/z.mp3"):
        (scans.music / name).write_bytes(b"no audio")
    assert scans() == {"predicted": 4, "failed": 3}
    with scans.library() as library:
        failures = dict(library.failures())
    assert set(failures) == {str(scans.music / name) for name in ("x.mp3", "y.mp3", "deep/z.mp3")}


def test_bad_files_are_listed_and_not_tried_again(scans):
    (scans.music / "text.mp3").write_text("no audio")
    (scans.music / "empty.wav").write_bytes(b"")
    assert scans() == {"predicted": 4, "failed": 2}
    assert scans() == {"unchanged": 6} and scans.predicted == []
    with scans.library() as library:
        errors = {os.path.basename(file.path): file.error for file in library.files() if file.error}
    assert sorted(errors) == ["empty.wav", "text.mp3"] and all(name in error for name, error in errors.items())
    assert scans(retry=True) == {"unchanged": 4, "failed": 2} and len(scans.predicted) == 2
    scans.song("empty.wav", seed=50)
    assert scans() == {"unchanged": 5, "predicted": 1}


def test_a_file_that_may_not_be_read(scans, monkeypatch):
    def locked(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(analysis, "content_hash", locked)
    assert scans() == {"failed": 4} and scans() == {"failed": 4}
    monkeypatch.undo()
    assert scans() == {"predicted": 4}


def test_removed_files_are_missing_until_they_return(scans, tmp_path):
    scans()
    away = tmp_path / "away.wav"
    shutil.move(scans.music / "a.wav", away)
    assert scans() == {"unchanged": 3, "missing": 1}
    assert "a.wav" not in scans.names() and scans() == {"unchanged": 3}
    shutil.move(away, scans.music / "a.wav")
    assert scans() == {"unchanged": 4} and "a.wav" in scans.names()


def test_only_what_is_scanned_can_be_missing(scans):
    scans()
    os.remove(scans.music / "a.wav")
    os.remove(scans.music / "deep/c.ogg")
    assert scans(scans.music / "deep") == {"unchanged": 1, "missing": 1}
    assert scans.names() == ["a.wav", "b.flac", "deep/er/d.aiff"]


# --- disks that are away ---


def on_another_disk(scans, folder):
    """As if all files below the folder had been scanned on another disk."""
    with scans.library() as library:
        states = {file.path: file.state for file in library.files() if file.path.startswith(str(folder))}
        library.mark_present({path: state._replace(device=state.device + 1) for path, state in states.items()})


def test_a_disk_that_is_away_marks_nothing(scans):
    scans()
    on_another_disk(scans, scans.music)
    shutil.rmtree(scans.music)
    scans.music.mkdir()  # the place of the disk is still there
    assert scans() == {} and len(scans.names()) == 4
    assert "4 files below it stay" in scans.plan.away[0] and str(scans.music) in scans.plan.away[0]
    scans.music.rmdir()
    assert scans() == {} and len(scans.names()) == 4 and len(scans.plan.away) == 1
    assert scans(gone=True) == {"missing": 4} and scans.names() == []


def test_a_disk_inside_the_library_that_is_away(scans):
    scans()
    on_another_disk(scans, scans.music / "deep")
    shutil.rmtree(scans.music / "deep")
    os.remove(scans.music / "a.wav")
    assert scans() == {"unchanged": 1, "missing": 1}
    assert scans.names() == ["b.flac", "deep/c.ogg", "deep/er/d.aiff"]


def test_a_disk_with_a_new_number_is_the_same_disk(scans):
    scans()
    on_another_disk(scans, scans.music)
    os.remove(scans.music / "a.wav")
    assert scans() == {"unchanged": 3, "missing": 1}
    with scans.library() as library:
        device = os.stat(scans.music).st_dev
        assert all(file.state.device == device for file in library.files() if not file.missing)


def test_a_folder_that_cannot_be_read_marks_nothing(scans, monkeypatch):
    scans()
    shutil.rmtree(scans.music / "deep" / "er")
    listdir = os.listdir

    def broken(folder):
        if str(folder).startswith(str(scans.music / "deep")):
            raise OSError(5, "Input/output error")
        return listdir(folder)

    monkeypatch.setattr(os, "listdir", broken)
    assert scans() == {"unchanged": 3} and len(scans.plan.away) == 1 and len(scans.names()) == 4


def test_a_folder_that_cannot_be_searched_is_named(scans, monkeypatch):
    scans()

    def broken(function):
        def call(folder):
            if str(folder) == str(scans.music / "deep"):
                raise OSError(5, "Input/output error", str(folder))
            return function(folder)

        return call

    for name in ("scandir", "listdir"):
        monkeypatch.setattr(os, name, broken(getattr(os, name)))
    assert scans() == {"unchanged": 2} and scans.plan.errors == [f"{scans.music / 'deep'}: Input/output error."]
    assert len(scans.names()) == 4


def test_a_folder_that_was_never_there(scans, tmp_path):
    assert scans(tmp_path / "nothing") == {} and "no such file" in scans.plan.errors[0]


@pytest.mark.parametrize("path", ["-", "https://example.com/a.mp3", "s3://bucket"])
def test_what_is_no_file_is_refused(scans, path):
    with pytest.raises(UsageError, match="folders or files"):
        scans(path)


def test_addresses_in_playlists_are_refused(scans, tmp_path):
    (tmp_path / "list.m3u8").write_text(f"{scans.music / 'a.wav'}\nhttps://example.com/b.mp3\n")
    assert scans(tmp_path / "list.m3u8") == {"predicted": 1}
    assert scans.plan.errors == ["https://example.com/b.mp3 cannot be part of a library: it is no file."]


# --- names ---


def test_names_that_are_not_utf8(scans):
    name = os.path.join(str(scans.music), os.fsdecode(b"caf\xe9.wav"))
    shutil.copy(scans.song("x.wav", seed=77), name)
    os.remove(scans.music / "x.wav")
    bad = os.path.join(str(scans.music), os.fsdecode(b"bad\xff.mp3"))
    Path(bad).write_bytes(b"nothing")
    assert scans() == {"predicted": 5, "failed": 1} and scans() == {"unchanged": 6}
    with scans.library() as library:
        assert library.find(name).path == name


# --- workers, kills, several scans ---


@pytest.mark.parametrize("workers", [2])
def test_workers_give_the_same_library(scans, tmp_path, workers):
    scans()
    with scans.library() as library:
        expected = {track.path: track.values for track in library.tracks()}
    scans.database = str(tmp_path / "other.db")
    assert scans(workers=workers) == {"predicted": 4}
    with scans.library() as library:
        assert {track.path: track.values for track in library.tracks()} == expected


def slow(path, log):
    made = predict(path, log)
    if os.path.basename(path) == "kill.wav":
        os.kill(os.getpid(), signal.SIGKILL)
    return made


def slow_model(log):
    return partial(slow, log=log)


def scan_in_child(database, music, log):
    with Library.open(database, create=True) as library:
        plan = plan_scan(library, [music], SETTINGS)
        with run(plan, partial(slow_model, log)) as outcomes:
            list(outcomes)
        plan.finish()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_scan_is_resumed(scans):
    scans.song("kill.wav", seed=9)
    child = multiprocessing.get_context("fork").Process(
        target=scan_in_child, args=(scans.database, str(scans.music), str(scans.log))
    )
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    done = len(scans.predicted) - 1
    assert scans() == {name: n for name, n in {"unchanged": done, "predicted": 5 - done}.items() if n} and done > 0
    assert len(scans.names()) == 5


def test_a_second_scan_works_from_the_end(scans, monkeypatch):
    monkeypatch.setattr(scan, "_first", lambda database: __import__("contextlib").nullcontext(False))
    scans()
    assert [os.path.basename(line) for line in scans.log.read_text().split()] == ["d.aiff", "c.ogg", "b.flac", "a.wav"]


def test_two_scans_share_the_work(scans):
    """While the first predicts, the second does, too: what the second has stored is not predicted again."""
    second = Library.open(scans.database, create=True)
    other = plan_scan(second, [str(scans.music)], SETTINGS)
    first_log, second_log = str(scans.log) + "1", str(scans.log) + "2"
    with Library.open(scans.database) as library:
        plan = plan_scan(library, [str(scans.music)], SETTINGS)
        with run(plan, partial(fake, first_log)) as outcomes, run(other, partial(fake, second_log)) as others:
            what = [next(outcomes).what, next(others).what, *(each.what for each in outcomes)]
            what += [each.what for each in others]
    second.close()
    assert sorted(what) == ["known"] * 4 + ["predicted"] * 4
    assert len(scans.names()) == 4


# --- errors that end a scan ---


def no_model():
    raise ModelError("there is no such model.")


def test_a_model_that_cannot_be_loaded_ends_the_scan(scans):
    with Library.open(scans.database, create=True) as library:
        plan = plan_scan(library, [str(scans.music)], SETTINGS)
        with pytest.raises(ModelError, match="no such model"), run(plan, no_model) as outcomes:
            list(outcomes)
    assert scans() == {"predicted": 4}


def test_a_full_disk_ends_the_scan_and_loses_nothing(scans, monkeypatch):
    put, calls = Library.put_record, []

    def full(self, *arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise LibraryError("library.db cannot grow, its disk is full: free some space; what was stored is kept.")
        put(self, *arguments)

    monkeypatch.setattr(Library, "put_record", full)
    with pytest.raises(LibraryError, match="disk is full"):
        scans()
    monkeypatch.undo()
    assert scans() == {"unchanged": 2, "predicted": 2}


# --- settings ---


def test_settings_follow_the_files_of_a_model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    first = settings_of(str(folder), None, True)
    assert first == settings_of(str(shutil.copytree(folder, tmp_path / "copy" / "model")), None, True)
    (folder / "card.json").write_text("{}")
    assert first == settings_of(str(folder), None, True)
    (folder / "model.safetensors").write_bytes(b"Weights")
    assert first != settings_of(str(folder), None, True)
    assert settings_of(None, None, True) == settings_of("m2e-small", None, True)
    assert settings_of("someone/model", 10.0, False)["weights"] is None
    plain, tempo = settings_of(None, None, True), settings_of(None, None, True, tempo=True)
    assert tempo == plain | {"tempo": True} and "tempo" not in plain  # as before there was one


def test_settings_need_no_torch():
    code = (
        "import sys; from m2e.library import scan; scan.settings_of(None, None, True); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_states_of_a_file(scans):
    path = scans.music / "a.wav"
    state = FileState.of(os.stat(path))
    assert state.same_content(state._replace(device=9, inode=9)) and not state.same_content(state._replace(size=1))
