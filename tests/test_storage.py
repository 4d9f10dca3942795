"""Files and folders that appear whole or not at all."""

from pathlib import Path

import pytest

from m2e.errors import DataError, M2EError
from m2e.storage import read_json, write_folder, write_text, write_whole


def make(folder: Path, who: str) -> None:
    folder.mkdir()
    (folder / "who").write_text(who)


@pytest.mark.parametrize("replace", [True, False])
def test_a_folder_that_fails_is_never_seen(tmp_path, replace):
    target = tmp_path / "cache" / "model"

    def fails(folder):
        make(folder, "half")
        assert not target.exists()
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        write_folder(target, fails, replace)
    assert list(target.parent.iterdir()) == []


def test_a_folder_takes_the_place_of_the_old_one(tmp_path):
    target = tmp_path / "model"
    write_folder(target, lambda folder: make(folder, "first"))
    (target / "stale").write_text("")
    write_folder(target, lambda folder: make(folder, "second"))
    assert (target / "who").read_text() == "second" and list(tmp_path.iterdir()) == [target]
    assert [path.name for path in target.iterdir()] == ["who"]

    def fails(folder):
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        write_folder(target, fails)
    assert (target / "who").read_text() == "second" and list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(("replace", "winner"), [(False, "other"), (True, "ours")])
def test_another_process_makes_the_folder_meanwhile(tmp_path, replace, winner):
    target = tmp_path / "cache" / "model"

    def slow(folder):
        write_folder(target, lambda other: make(other, "other"), replace)
        make(folder, "ours")

    write_folder(target, slow, replace)
    assert (target / "who").read_text() == winner and list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("content", ["{", "[1]", "null", ""])
def test_other_content_than_an_object_is_refused(tmp_path, content):
    write_text(tmp_path / "x.json", content)
    with pytest.raises(DataError, match=r"x\.json"):
        read_json(tmp_path / "x.json", DataError)


def test_a_file_and_its_folder_appear_whole(tmp_path):
    file = tmp_path / "new" / "folder" / "file.txt"
    write_text(file, "größer\n")
    assert file.read_bytes() == "größer\n".encode()
    assert [path.name for path in file.parent.iterdir()] == ["file.txt"]


def test_the_old_file_stays_if_writing_the_new_one_fails(tmp_path):
    def write(partial):
        partial.write_text("half")
        raise OSError("disk full")

    file = tmp_path / "file.txt"
    write_text(file, "old")
    with pytest.raises(OSError, match="disk full"):
        write_whole(file, write)
    assert file.read_text() == "old"


def test_json_objects_are_read_and_a_missing_file_is_empty(tmp_path):
    file = tmp_path / "file.json"
    assert read_json(file) == {}
    write_text(file, '{"a": 1}')
    assert read_json(file) == {"a": 1}


@pytest.mark.parametrize("error", [M2EError, DataError])
def test_damaged_json_is_one_sentence_that_names_the_file(tmp_path, error):
    file = tmp_path / "file.json"
    write_text(file, '{"a": ')
    with pytest.raises(error, match=r"file.json is damaged \(.*\): ") as raised:
        read_json(file, error)
    assert type(raised.value) is error


def test_undecodable_json_is_damaged(tmp_path):
    (tmp_path / "file.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(M2EError, match="is damaged"):
        read_json(tmp_path / "file.json")
