"""Child processes do not outlive their reader or this process."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from test_limits_m2e import gone, ids_in, wait_until

from modeling_m2e.child_process_m2e import KILLED, Children, running

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.skipif(os.name != "posix", reason="the children are shell scripts")


def hanging(ids: Path) -> list[str]:
    return ["/bin/sh", "-c", f"sleep 600 & echo $! $$ > {ids}; wait"]


def test_output_status_and_messages_come_through():
    with (
        tempfile.TemporaryFile() as messages,
        running(["/bin/sh", "-c", "echo out; echo oops >&2; exit 3"], messages) as p,
    ):
        assert p.stdout.read() == b"out\n" and p.wait() == 3
        messages.seek(0)
        assert messages.read() == b"oops\n"


def test_there_is_nothing_to_read():
    with tempfile.TemporaryFile() as messages, running(["cat"], messages) as process:
        assert process.stdout.read() == b"" and process.wait() == 0


def test_a_killed_child_is_told_from_one_that_fails():
    with tempfile.TemporaryFile() as messages, running(["/bin/sh", "-c", "kill -9 $$"], messages) as process:
        process.stdout.read()
        assert process.wait() in KILLED


def test_the_whole_group_ends_with_the_block(tmp_path):
    with tempfile.TemporaryFile() as messages, running(hanging(tmp_path / "ids"), messages) as process:
        children = ids_in(tmp_path / "ids")
        assert os.getpgid(process.pid) == process.pid != os.getpgid(0)
    for child in children:
        wait_until(lambda child=child: gone(child))


def test_a_child_that_starts_after_the_end_is_killed_at_once(tmp_path):
    children = Children()
    children.kill()
    with tempfile.TemporaryFile() as messages, children.collected():
        with running(["/bin/sh", "-c", "sleep 600"], messages) as process:
            assert process.stdout.read() == b"" and process.wait() in KILLED


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_children_end_with_a_killed_process(tmp_path, how):
    package = "import sys, types; p = types.ModuleType('modeling_m2e'); p.__path__ = [sys.argv[1]]; "
    package += "sys.modules['modeling_m2e'] = p\n"  # without its imports of torch
    code = package + (
        "import tempfile\nfrom modeling_m2e.child_process_m2e import running\n"
        "with tempfile.TemporaryFile() as messages, running(sys.argv[2:], messages) as process:\n"
        "    process.stdout.read()\n"
    )
    command = [sys.executable, "-c", code, str(ROOT / "modeling_m2e"), *hanging(tmp_path / "ids")]
    parent = subprocess.Popen(command)
    children = ids_in(tmp_path / "ids")
    parent.send_signal(how)
    parent.wait()
    for child in children:
        wait_until(lambda child=child: gone(child))
