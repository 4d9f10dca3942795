"""`m2e predict --tempo` in this process, with a fake model, and without librosa."""

import csv
import io
import sys
from pathlib import Path

from fakemodel import records, run
from test_cli_predict import model, music  # noqa: F401


def test_the_tempo_only_if_asked_for(model, music):  # noqa: F811
    assert [one.get("tempo") for one in records("a.wav", "b.flac", "--tempo")] == [None, 150.0]
    assert not any("tempo" in one for one in records("a.wav", "b.flac"))
    assert [one.settings["tempo"] for one in model] == [True, False]
    assert "  tempo    150 BPM\n" in run("b.flac", "--tempo").stdout and "BPM" not in run("b.flac").stdout
    run("a.wav", "b.flac", "--tempo", "-o", "out.csv")
    shown = run("a.wav", "b.flac", "--tempo", "--format", "csv").stdout
    assert Path("out.csv").read_text(encoding="utf-8") == shown
    assert [row["tempo"] for row in csv.DictReader(io.StringIO(shown))] == ["", "150.0"]
    assert "tempo" not in run("b.flac", "--format", "csv").stdout


def test_the_tempo_without_librosa_is_a_sentence(monkeypatch, music):  # noqa: F811
    monkeypatch.setitem(sys.modules, "librosa", None)
    result = run("a.wav", "--tempo", "-o", "out.jsonl", status=2)
    assert result.stderr == 'm2e: The tempo needs librosa: install it with pip install "m2e[tempo]".\n'
    assert not list(music.glob("*out*"))
