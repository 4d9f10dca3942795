"""`m2e serve` and `m2e mcp` as commands: messages, and a server in a process of its own."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import libraries
import pytest
from typer.testing import CliRunner

from m2e import cli

pytest.importorskip("uvicorn", reason='uvicorn is in the extra "serve"')

ROOT = Path(__file__).resolve().parent.parent


def refused(*arguments, status=2):
    result = CliRunner().invoke(cli.app, list(map(str, arguments)))
    assert result.exit_code == status and result.exception is None or isinstance(result.exception, SystemExit)
    return result.output


def ask(address, token=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(address, headers=headers), timeout=60) as answer:
        return json.load(answer)


def test_what_cannot_be_served_is_one_sentence(tmp_path):
    for command in ("serve", "mcp"):
        assert "m2e library scan" in refused(command, "--db", tmp_path / "no.db")
    db = libraries.make(tmp_path / "library.db", 2)
    assert "the token is empty" in refused("serve", "--db", db, "--token", " ")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port} of 127.0.0.1 cannot be used" in refused("serve", "--db", db, "--port", port, status=1)


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="Windows sends no SIGINT to another process")
def test_other_addresses_need_a_token_which_is_printed(tmp_path):
    db = libraries.make(tmp_path / "library.db", 2)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    code = "from m2e.cli import main; main()"
    command = [sys.executable, "-c", code, "serve", "--db", str(db), "--host", "0.0.0.0", "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path) as process:
        token = re.search(r"Bearer (\S{32})$", process.stderr.readline().strip())[1]
        assert "2 tracks are served" in process.stderr.readline()
        address = f"http://127.0.0.1:{port}/status"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            ask(address)
        assert ask(address, token)["tracks"] == 2
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert process.stderr.read() == ""
