"""`m2e predict --resume`, two runs on one file, and pipes and skipped files as the command reports them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fakemodel import ROOT, lines, run, tone
from test_cli_predict import interrupt_at, model, music  # noqa: F401

from m2e.cli.output_file import locked

SONGS = ["a.wav", "b.flac", "sub/c.WAV"]


@pytest.mark.parametrize("form", ["json", "csv"])
def test_json_and_csv_are_resumed_after_an_interruption(model, music, monkeypatch, form):  # noqa: F811
    expected = run(*SONGS, "--format", form).stdout
    release = interrupt_at(monkeypatch, "b.flac")
    output = f"out.{form}"
    interrupted = run(*SONGS, "-o", output, status=130)
    assert (
        f"{output}.partial" in interrupted.stderr and [one["path"] for one in lines(f"{output}.partial")] == SONGS[:1]
    )
    release()
    assert "add --resume, or delete the file" in run(*SONGS, "-o", output, status=2).stderr
    result = run(*SONGS, "-o", output, "--resume")
    assert model[-1].seen == SONGS[1:] and "1 of 3 files are already in" in result.stderr
    assert Path(output).read_text() == expected
    assert not list(music.glob("*.partial")) and not list(music.glob(".out*"))


@pytest.mark.parametrize("form", ["json", "csv"])
def test_a_complete_file_that_cannot_be_extended_is_made_anew_and_said(model, music, form):  # noqa: F811
    run("a.wav", "-o", f"out.{form}")
    result = run(*SONGS, "-o", f"out.{form}", "--resume")
    assert result.stderr == f"m2e: out.{form} is complete and no JSON Lines file: all files are predicted again.\n"
    assert model[-1].seen == SONGS and all(name in Path(f"out.{form}").read_text() for name in SONGS)


def test_another_setting_or_file_is_predicted_again_and_said(model, music):  # noqa: F811
    run(*SONGS, "-o", "out.jsonl")
    result = run(*SONGS, "-o", "out.jsonl", "--resume", "--window", "10")
    assert model[-1].seen == SONGS
    assert "3 of 3 files in out.jsonl are predicted again: another window." in result.stderr
    assert len(lines("out.jsonl")) == 3
    tone("b.flac", 3.0)
    result = run(*SONGS, "-o", "out.jsonl", "--resume", "--window", "10")
    assert model[-1].seen == ["b.flac"] and "predicted again: their files have changed." in result.stderr
    assert [one["duration"] for one in lines("out.jsonl")] == [1.0, 2.0, 3.0]
    assert "another model" in run(*SONGS, "-o", "out.jsonl", "--resume", "--window", "10", "--model", "new").stderr


def test_records_with_and_without_a_tempo_do_not_mix(model, music):  # noqa: F811
    run(*SONGS, "-o", "out.jsonl")
    for arguments in (["--tempo"], []):
        result = run(*SONGS, "-o", "out.jsonl", "--resume", *arguments)
        assert "3 of 3 files in out.jsonl are predicted again: another tempo." in result.stderr
        assert ["tempo" in one for one in lines("out.jsonl")] == [False, bool(arguments), bool(arguments)]


def test_a_second_run_on_an_output_is_refused_and_harms_nothing(model, music):  # noqa: F811
    run("a.wav", "-o", "out.csv")
    before = Path("out.csv").read_bytes()
    with locked("out.csv"):
        for more in ([], ["--resume"]):
            result = run("b.flac", "-o", "out.csv", *more, status=2)
            assert result.stderr == (
                "m2e: Another command is writing to out.csv: wait for it, or give another -o FILE.\n"
            )
    assert Path("out.csv").read_bytes() == before and len(model) == 1
    run("b.flac", "-o", "out.csv")


def test_what_a_folder_search_skips_is_counted_and_named_if_asked(model, music):  # noqa: F811
    short = "m2e: 3 files or folders were skipped: 2 hidden, 1 without the suffix of audio (--verbose names them).\n"
    assert run(".").stderr == short
    long = run(".", "--verbose").stderr.splitlines()
    assert (
        long[0].endswith("1 without the suffix of audio:") and "m2e: ./cover.jpg: without the suffix of audio." in long
    )
    assert len(long) == 4 and run("a.wav").stderr == ""


def test_audio_on_stdin_is_predicted_and_never_skipped(model, music):  # noqa: F811
    audio = Path("a.wav").read_bytes()
    for _ in range(2):
        run("-", "-o", "out.jsonl", "--resume", stdin=audio)
    assert [(one["path"], one["duration"]) for one in lines("out.jsonl")] == [("-", 1.0)]
    failed = run("-", "--format", "jsonl", stdin=b"\x01\x02\0\0" * 99, status=1)
    assert json.loads(failed.stdout)["error"].startswith("-: ")


@pytest.mark.parametrize("command", ["predict", "chords"])
@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_copy_of_stdin_does_not_outlive_the_command(tmp_path, command, how):
    if not hasattr(signal, how):
        pytest.skip(f"there is no {how}")
    # A run in the background ignores SIGINT, one under nohup SIGHUP.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += f"signal.signal(signal.{how}, signal.SIG_DFL) if {how!r} == 'SIGHUP' else None; "
    code += f"import sys; sys.path.insert(0, {str(ROOT)!r}); from m2e.cli import main; main()"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-c", code, command, "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    process.stdin.write(b"RIFF\0\0" * (1 << 16))
    process.stdin.flush()
    deadline = time.monotonic() + 300  # of a loaded machine
    while not list(tmp_path.glob("m2e-*/audio")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    time.sleep(0.2)  # it waits for the pipe
    process.send_signal(getattr(signal, how))
    assert process.wait(300) == 130 and process.stderr.read() == b"m2e: interrupted.\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["predict", "chords"])
@pytest.mark.parametrize(
    ("redirection", "sentence"),
    [("<&-", "stdin is closed: name the files"), (">&- < list", "stdout is closed: add -o FILE")],
)
def test_closed_streams_are_a_sentence(music, command, redirection, sentence):  # noqa: F811
    Path("list").write_text("a.wav\n")
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from m2e.cli import main; main()"
    shell = f'exec "$0" -c "$1" {command} - {redirection}'
    done = subprocess.run(["sh", "-c", shell, sys.executable, code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"m2e: {sentence}") and done.stderr.count("\n") == 1


def test_messages_of_a_closed_stderr_do_not_reach_the_results(music):  # noqa: F811
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from m2e.cli import main; main()"
    shell = 'exec "$0" -c "$1" predict gone.wav --format jsonl 2>&-'
    done = subprocess.run(["sh", "-c", shell, sys.executable, code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and [json.loads(line)["path"] for line in done.stdout.splitlines()] == ["gone.wav"]


def test_a_name_of_several_lines_keeps_its_reason(model, music):  # noqa: F811
    name = "line\nbreak.wav"
    Path(name).write_bytes(b"")
    failed = run(name, "--format", "jsonl", status=1)
    assert json.loads(failed.stdout)["error"] == f"{name}: is empty (0 bytes)."
    assert failed.stderr == "m2e: line\ufffdbreak.wav: is empty (0 bytes).\n"


def test_the_longest_name_of_an_output(model, music):  # noqa: F811
    name = "x" * 249 + ".jsonl"
    run("a.wav", "-o", name)
    run("a.wav", "b.flac", "-o", name, "--resume")
    assert len(lines(name)) == 2 and model[-1].seen == ["b.flac"]
    assert "its name is too long" in run("a.wav", "-o", f"x{name}", status=2).stderr
    assert not list(music.glob("*.partial*")) and os.path.exists(name)
