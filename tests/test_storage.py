"""Files are written whole or not at all."""

import pytest

from m2e.errors import DataError, M2EError
from m2e.storage import read_json, write_text, write_whole


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
    write_text(file, "[1]")
    assert read_json(file) == {}


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
