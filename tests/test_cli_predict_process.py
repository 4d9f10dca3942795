"""`m2e predict` as a process: signals, pipes, terminals and workers."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fakemodel import lines
from typer.testing import CliRunner

import m2e
from m2e import cli

ROOT = Path(__file__).resolve().parent.parent
RATE = 8000


SCRIPT = """
import os, signal, sys, time, types
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background ignores it, and so would this
sys.path[:0] = [{root!r}]
package = types.ModuleType("modeling_m2e")  # without its imports of torch and transformers: there are many processes
package.__path__ = [{root!r} + "/modeling_m2e"]
sys.modules["modeling_m2e"] = package
from modeling_m2e.output_m2e import Mood, MusicEmotion
from m2e import cli
from m2e.errors import AudioError, ModelError

if __name__ == "__mp_main__" and os.path.exists("second is late"):
    try:
        os.mkdir("first is here")
    except FileExistsError:
        os.symlink(str(os.getpid()), "second")
        time.sleep(60)

class Model:
    name = "fake"
    def __call__(self, path):
        if os.path.exists("second is late"):
            time.sleep(0.5)  # else the first might do all
        if "slow" in path:
            time.sleep(60)
        if "crash" in path:
            os._exit(9)
        if "bad" in path:
            raise AudioError(path + ": is bad.")
        return MusicEmotion(path=path, duration=1.0, valence=5.0, arousal=5.0, quadrant="Q1", moods=[Mood("calm", 0.5)],
                            selected_moods=[], curve=[], model=str(os.getpid()))

def load_model(model, *settings, **_):
    if model == "missing":
        raise ModelError("there is no model missing.")
    if model == "bug":
        raise KeyError("weights")
    return Model()

cli.predict.load_model = load_model
if __name__ == "__main__":
    cli.main()
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    """The arguments of a process that is the command line with a fake model."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "bad", "slow", "crash"):
        Path(f"{name}.wav").touch()
    Path("main.py").write_text(SCRIPT.format(root=str(ROOT)))
    return [sys.executable, "main.py", "predict"]


def test_help_and_version_load_nothing_heavy():
    code = (
        "import sys; from m2e.cli import main\n"
        "try: main()\n"
        "finally: sys.exit(str({'torch', 'transformers', 'numpy', 'librosa', 'm2e.checkpoints.load'}"
        " & set(sys.modules)))"
    )
    for arguments, words in ([], "Commands"), (["--version"], m2e.__version__), (["predict", "-h"], "--resume"):
        process = subprocess.run(
            [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        assert words in process.stdout and process.stderr.strip() == "set()"


def test_no_argument_prints_the_help():
    for arguments in ([], ["--help"]):
        result = CliRunner().invoke(cli.app, arguments)
        assert result.exit_code == 0 and "predict" in result.stdout
    assert CliRunner().invoke(cli.app, ["--version"]).stdout.strip() == f"m2e {m2e.__version__}"


@pytest.mark.parametrize("form", ["jsonl", "table"])
def test_a_reader_that_leaves_is_no_error(script, form):
    many = [f"{i}.wav" for i in range(3000)]
    for name in many:
        Path(name).touch()
    process = subprocess.Popen(
        [*script, "-", "--format", form], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    _, messages = process.communicate("\n".join(many).encode(), timeout=60)
    assert process.returncode == 0 and messages == b""


def test_progress_is_shown_on_a_terminal_and_never_among_the_results(script):
    pty = pytest.importorskip("pty")
    names = ["a.wav", "[red]b[.wav", "bad.wav"]
    Path(names[1]).touch()
    for options, bar in (["--format", "json"], True), (["a.wav"], True), (["--format", "jsonl"], False):
        terminal, end = pty.openpty()
        stdout = subprocess.PIPE if bar else end  # lines on the same terminal are progress enough
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
        process = subprocess.Popen([*script, *names, *options], stdout=stdout, stderr=end, env=environment)
        os.close(end)
        seen = b""
        while True:
            try:
                chunk = os.read(terminal, 4096)
            except OSError:  # the other end is closed
                break
            if not chunk:
                break
            seen += chunk
        os.close(terminal)
        out = process.communicate(timeout=60)[0]
        assert process.returncode == 1
        assert (b"/3" in seen) == bar
        assert b"1 of 3 files failed" in seen
        if options == ["--format", "json"]:
            assert [one["path"] for one in json.loads(out)] == names
        elif bar:
            assert len(out.splitlines()) == 4 and b"\x1b" not in out


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_keeps_what_is_done(script, workers):
    command = [*script, "a.wav", "b.wav", "slow.wav", "-o", "out.jsonl", "--workers", workers]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    partial, late, second = Path("out.jsonl.partial"), Path("second is late").exists(), Path("second")
    deadline = time.monotonic() + 300  # of a loaded machine
    while not (partial.exists() and partial.read_text().count("\n") == 2 and (not late or second.is_symlink())):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    if late:
        os.kill(int(os.readlink(second)), signal.SIGINT)
        time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    _, messages = process.communicate(timeout=30)
    assert process.returncode == 130 and messages.startswith("m2e: interrupted.") and messages.count("\n") == 1
    assert [one["path"] for one in lines(partial)] == ["a.wav", "b.wav"]


def test_ctrl_c_is_quiet_while_a_worker_starts(script):
    Path("second is late").touch()
    test_ctrl_c_keeps_what_is_done(script, "2")


def test_workers_answer_in_order_in_processes_of_their_own(script):
    many = [f"{i}.wav" for i in range(20)]
    for name in many:
        Path(name).touch()
    process = subprocess.run(
        [*script, *many, "bad.wav", "none.wav", "--workers", "2", "--format", "json"], capture_output=True, timeout=60
    )
    answers = json.loads(process.stdout)
    assert process.returncode == 1
    assert [one["path"] for one in answers] == [*many, "bad.wav", "none.wav"]
    assert [one["error"] for one in answers[20:]] == ["bad.wav: is bad.", "none.wav: there is no such file or folder."]
    assert 1 <= len({one["model"] for one in answers[:20]}) <= 2


def test_workers_without_a_model(script):
    command = [*script, "a.wav", "b.wav", "--workers", "2", "--model", "missing"]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr == "m2e: there is no model missing.\n"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_bug_while_the_model_is_loaded_shows_its_traceback(script, workers):
    command = [*script, "a.wav", "b.wav", "--workers", workers, "--model", "bug", "-o", "out.jsonl"]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (process.returncode, process.stdout) == (1, "")
    assert process.stderr.rstrip().endswith("KeyError: 'weights'") and ", in load_model" in process.stderr
    assert not list(Path().glob("out.jsonl*"))


def test_a_worker_that_dies_ends_the_run_with_a_sentence(script):
    command = [*script, "crash.wav", "b.wav", "--workers", "2", "-o", "out.jsonl"]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert process.returncode == 1 and "m2e: a worker process died" in process.stderr
    assert not Path("out.jsonl").exists()


def test_workers_leave_with_a_killed_parent(script):
    if not os.path.isdir("/proc/self"):
        pytest.skip("needs /proc to see the workers")
    command = [*script, "a.wav", "slow.wav", "--workers", "2", "-o", "out.jsonl"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    partial = Path("out.jsonl.partial")
    deadline = time.monotonic() + 300  # of a loaded machine
    while not (partial.exists() and partial.stat().st_size):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    worker = int(lines(partial)[0]["model"])
    os.kill(worker, 0)
    process.kill()
    process.wait()
    while os.path.exists(f"/proc/{worker}") and " Z " not in f" {Path(f'/proc/{worker}/stat').read_text()} ":
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("form", ["jsonl", "json", "csv"])
def test_a_killed_run_is_resumed_and_a_running_one_is_left_alone(script, form):
    command = [*script, "a.wav", "b.wav", "slow.wav", "-o", f"out.{form}"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    partial = Path(f"out.{form}.partial")
    deadline = time.monotonic() + 300  # of a loaded machine
    while not (partial.exists() and partial.read_text().count("\n") == 2):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    second = subprocess.run([*command, "--resume"], capture_output=True, text=True, timeout=60)
    assert second.returncode == 2 and "Another command is writing to" in second.stderr
    process.kill()
    process.wait()
    assert [one["path"] for one in lines(partial)] == ["a.wav", "b.wav"]
    command[command.index("slow.wav")] = "bad.wav"
    resumed = subprocess.run([*command, "--resume"], capture_output=True, text=True, timeout=60)
    assert resumed.returncode == 1 and "2 of 3 files are already in" in resumed.stderr
    text = Path(f"out.{form}").read_text()
    assert all(text.count(name) for name in ("a.wav", "b.wav", "bad.wav: is bad.")) and not partial.exists()
