"""What differs on Windows and macOS, as far as it can be tried here. CI runs everything there, and mypy for each."""

import ast
import errno
import io
import ntpath
import os
import sys
import tempfile
from pathlib import Path

import pytest

from m2e.cli import track_output
from m2e.cli.chords import below_their_folder
from m2e.cli.output_file import open_output
from m2e.cli.plots import plot_names
from m2e.errors import UsageError
from m2e.library.tagging import replace
from modeling_m2e.child_process_m2e import running

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("m2e", "modeling_m2e", "datasets_scripts", "beetsplug")
POSIX_MODULES = {"fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"}


def sources() -> list[Path]:
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")] + list(ROOT.glob("*.py"))
    return sorted({path.resolve() for path in paths})


def named(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{node.lineno}"


# --- what the source says ---


def without_encoding(tree: ast.AST) -> list[ast.Call]:
    """Calls that read or write text in the encoding of the system, which is not UTF-8 on Windows."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or any(keyword.arg == "encoding" for keyword in node.keywords):
            continue
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("read_text", "write_text"):
            found.append(node)
        elif isinstance(node.func, ast.Name) and node.func.id == "open":
            mode = ast.unparse(node.args[1]) if len(node.args) > 1 else "'r'"
            if "b" not in mode:
                found.append(node)
    return found


def test_calls_without_encoding_are_found():
    calls = without_encoding(ast.parse("open(p); p.read_text(); open(p, 'rb'); open(p, encoding='utf-8'); f.open()"))
    assert [ast.unparse(call) for call in calls] == ["open(p)", "p.read_text()"]


def test_text_is_utf_8_everywhere():
    found = [
        named(path, call)
        for path in sources()
        for call in without_encoding(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []


def test_modules_of_posix_are_imported_under_a_condition():
    found = []
    for path in sources():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:  # not under an `if`
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            found += [named(path, node) for name in names if name.partition(".")[0] in POSIX_MODULES]
    assert found == []


# --- Windows, simulated ---


@pytest.fixture
def windows(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")


def test_a_child_process_without_process_groups(windows, monkeypatch):
    monkeypatch.delattr(os, "killpg", raising=False)
    hang = [sys.executable, "-c", "import time; print('x', flush=True); time.sleep(600)"]
    with tempfile.TemporaryFile() as messages, running(hang, messages) as process:
        assert process.args[0] == sys.executable and process.stdout.read(1) == b"x"  # not through a shell
    assert process.returncode not in (0, None)


def test_a_music_folder_with_its_own_icon_is_not_read_only(windows, monkeypatch, tmp_path):
    """Windows marks such folders with the read-only attribute, which Python shows as a missing bit."""
    song, status = tmp_path / "song.mp3", os.stat
    song.write_bytes(b"x")

    def stat(path, *arguments, **options):
        found = status(path, *arguments, **options)
        if Path(path) != tmp_path:
            return found
        return os.stat_result((found.st_mode & ~0o222, *found[1:]))

    monkeypatch.setattr(os, "stat", stat)
    assert replace.why_not_writable(str(song)) is None
    monkeypatch.setattr(sys, "platform", "linux")
    assert "folder is read-only" in replace.why_not_writable(str(song))


class ClosedPipe(io.StringIO):
    """Windows gives another error than a broken pipe."""

    buffer = property(lambda self: self)

    def write(self, text):
        raise OSError(errno.EINVAL, "Invalid argument")


def test_the_reader_of_stdout_has_gone(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stdout", ClosedPipe())
    with pytest.raises(BrokenPipeError), open_output(None) as file:
        file.write("record")
    with pytest.raises(BrokenPipeError):
        track_output._write_bytes(b"path", None)
    with pytest.raises(UsageError, match="Invalid argument"), open_output(str(tmp_path / "x")):
        raise OSError(errno.EINVAL, "Invalid argument")


def test_plots_have_no_names_of_devices():
    assert list(plot_names(["CON.mp3", "con.ogg", "nul.wav", "comet.wav"]).values()) == [
        "CON-2",
        "con-3",
        "nul-2",
        "comet",
    ]


@pytest.mark.skipif(os.name == "nt", reason="is simulated elsewhere")
def test_tracks_on_two_drives(monkeypatch):
    monkeypatch.setattr(os, "path", ntpath)
    one = below_their_folder([r"C:\music\a\x.mp3", r"C:\music\y.mp3"])
    two = below_their_folder([r"C:\music\x.mp3", r"D:\x.mp3", r"\\nas\music\x.mp3"])
    monkeypatch.undo()
    assert list(one.values()) == [r"a\x", "y"]
    assert list(two.values()) == [r"C\music\x", r"D\x", r"nasmusic\x"]
