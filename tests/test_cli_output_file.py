"""The output file: whole or partial, never lost. More is tested with the commands."""

import json

import pytest

from m2e.cli.journal import earlier_records, refuse_to_lose
from m2e.cli.output_file import beside, check_output, locked, open_output, partial_name
from m2e.errors import UsageError
from m2e.inputs import Source, identity


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def line(path, error=None):
    return json.dumps({"path": path, "error": error}) + "\n"


def test_the_file_keeps_its_partial_name_until_it_is_complete(folder):
    with open_output("out.jsonl", ["first\n"]) as file:
        file.write("second \udcff\n")
        assert [path.name for path in folder.iterdir()] == ["out.jsonl.partial"]
    assert (folder / "out.jsonl").read_text() == "first\nsecond \\udcff\n"
    assert [path.name for path in folder.iterdir()] == ["out.jsonl"]


def test_an_error_leaves_the_partial_file_and_the_old_one(folder):
    (folder / "out.jsonl").write_text("old\n")
    with pytest.raises(KeyError), open_output("out.jsonl") as file:
        file.write("new\n")
        raise KeyError
    assert (folder / "out.jsonl").read_text() == "old\n"
    assert (folder / "out.jsonl.partial").read_text() == "new\n"
    with pytest.raises(UsageError, match="add --resume, or delete the file"):
        refuse_to_lose("out.jsonl")


def test_an_error_before_the_first_line_leaves_nothing(folder):
    with pytest.raises(KeyError), open_output("out.jsonl"):
        raise KeyError
    assert not list(folder.iterdir())
    refuse_to_lose("out.jsonl")


def test_errors_of_the_disk_become_a_sentence_but_a_closed_pipe_does_not():
    with pytest.raises(UsageError, match="^out.txt cannot be written: No space left on device.$"):
        with open_output("out.txt"):
            raise OSError(28, "No space left on device")
    with pytest.raises(UsageError, match="^stdout cannot be written: "), open_output(None):
        raise OSError(28, "No space left on device")
    with pytest.raises(BrokenPipeError), open_output("out.txt"):
        raise BrokenPipeError
    with pytest.raises(UsageError, match="^gone/out.txt cannot be written: No such file"), open_output("gone/out.txt"):
        pass


def test_the_last_record_of_a_track_counts_and_failed_tracks_are_tried_again(folder):
    (folder / "out.jsonl").write_text(line("a.wav", "bad") + line("b.wav", "bad") + line("c.wav"))
    (folder / "out.jsonl.partial").write_text(line("a.wav") + '{"path": "d.wa')
    earlier = earlier_records("out.jsonl", [Source("b.wav"), Source("c.wav")])
    assert earlier == {identity("c.wav"): line("c.wav"), identity("a.wav"): line("a.wav")}


def test_a_file_of_something_else_is_refused(folder):
    (folder / "out.jsonl").write_text("words\n")
    with pytest.raises(UsageError, match="out.jsonl is not a file of records"):
        earlier_records("out.jsonl", [])
    with pytest.raises(UsageError, match="one of the files to read"):
        check_output("out.jsonl", [Source("./out.jsonl")])
    with pytest.raises(UsageError, match="gone/out.jsonl cannot be written"):
        check_output("gone/out.jsonl", [])
    assert partial_name("out.jsonl") == str(folder / "out.jsonl.partial")


def test_one_command_at_a_time_writes_to_a_file(folder):
    with locked("out.jsonl"):
        with pytest.raises(UsageError, match="^Another command is writing to ./out.jsonl: wait for it, or give"):
            with locked("./out.jsonl"):
                raise AssertionError
        with locked("other.jsonl"):
            pass
    with locked("out.jsonl"), locked(None):
        pass
    assert not list(folder.iterdir())


def test_the_longest_names_can_be_written(folder):
    for name in ("x" * 255, "é" * 127, "x" * 250):
        with locked(name), open_output(name) as file:
            file.write("text")
        assert (folder / name).read_text() == "text"
        assert beside(name, ".partial") != beside(name, ".new") and beside(name, ".partial") != beside(
            "y" * 255, ".partial"
        )
    assert len(list(folder.iterdir())) == 3
    with pytest.raises(UsageError, match="cannot be written: its name is too long"):
        check_output("x" * 256, [])
