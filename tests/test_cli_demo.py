import socket
import sys
import urllib.request

import pytest
from typer.testing import CliRunner

from m2e import cli
from m2e.cli import demo as cli_demo


def demo(*arguments, status=0):
    result = CliRunner().invoke(cli.app, ["demo", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result


def test_without_gradio_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    result = demo(status=2)
    assert result.stderr.count("\n") == 1 and 'pip install "m2e[demo]"' in result.stderr


@pytest.fixture
def free_port():
    pytest.importorskip("gradio", reason='gradio is in the extra "demo"')
    pytest.importorskip("matplotlib", reason='matplotlib is in the extra "demo"')
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_a_model_that_is_none_is_reported_before_anything_is_served(free_port, tmp_path):
    result = demo("--model", tmp_path, "--port", free_port, status=2)
    assert f"{tmp_path} holds no model" in result.stderr


def test_the_page_is_served_until_an_interrupt(free_port, monkeypatch):
    seen = []

    def look():
        with urllib.request.urlopen(f"http://127.0.0.1:{free_port}/", timeout=60) as answer:
            seen.append(answer.read().decode())
        assert "cannot be used: choose another --port" in demo("--port", free_port, status=1).stderr
        raise KeyboardInterrupt

    monkeypatch.setattr(cli_demo, "wait", look)
    result = demo("--port", free_port)
    assert result.stderr == f"m2e: the demo is at http://127.0.0.1:{free_port}/ until Ctrl-C.\n"
    assert "how does this music feel?" in seen[0] and "fonts.googleapis.com" not in seen[0]
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{free_port}/", timeout=10)
