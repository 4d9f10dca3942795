"""A fast part of every campaign of benchmarks/reliability, each in a process of its own as it is run by hand."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "benchmarks" / "reliability"


def campaign(name: str, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}  # scripts share files
    environment["OMP_NUM_THREADS"] = "1"
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / f"{name}.py"), *arguments, "--no-save"],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=900,  # of a loaded machine
        env=environment,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def test_made_files_with_every_fault():
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is the oracle of what a file holds")
    assert "poison: 58 tried, 0 failed" in campaign("poison", "--formats", "wav,ogg,mp3,m4a")


def test_mutated_files():
    assert "fuzz: 100 tried, 0 failed" in campaign("fuzz", "--count", "100", "--seed", "1")


@pytest.mark.skipif(os.name != "posix", reason="needs a fork server")
@pytest.mark.parametrize("job", ["predict-json", "chords"])
def test_a_killed_job(job):
    out = campaign("kills", "--count", "1", "--jobs", job, "--clips", "3", "--seconds", "1")
    assert "kills: 1 tried, 0 failed" in out


@pytest.mark.skipif(os.name != "posix", reason="measures memory with resource")
def test_models_of_strangers():
    assert "hostile: 15 tried, 0 failed" in campaign("hostile", "--first", "200", "--count", "215")


@pytest.mark.skipif(sys.platform != "linux", reason="the units of peak memory and names of addresses vary")
def test_downloads_from_servers_that_misbehave():
    assert "network: 25 tried, 0 failed" in campaign("network")


def test_the_table_of_the_document_is_that_of_the_results():
    sys.path.insert(0, str(SCRIPTS))
    try:
        import table
    finally:
        sys.path.remove(str(SCRIPTS))
    assert table.table() in (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
