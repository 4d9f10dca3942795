"""Files and folders that appear whole or not at all."""

from pathlib import Path

import pytest

from m2e.errors import ModelError
from m2e.storage import read_json, write_folder, write_text


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


def test_json(tmp_path):
    path = tmp_path / "x" / "x.json"
    assert read_json(path, ModelError) == {}
    write_text(path, '{"ä": 1}')
    assert read_json(path, ModelError) == {"ä": 1}
    for content in ("{", "[1]", "null", ""):
        write_text(path, content)
        with pytest.raises(ModelError, match=r"x\.json"):
            read_json(path, ModelError)
