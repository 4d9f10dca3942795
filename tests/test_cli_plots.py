import os
import sys

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from m2e import cli
from m2e.cli.plots import MAX_NAME, plot_names
from m2e.inputs import Source
from modeling_m2e import audio_m2e
from modeling_m2e.record_m2e import MusicEmotion

pytest.importorskip("matplotlib", reason='matplotlib is in the extra "demo"')


@pytest.fixture
def music(tmp_path, monkeypatch):
    """The current folder, with two songs and an empty file; a model that answers at once."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.wav", "sub/a.wav"):
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        soundfile.write(name, np.sin(np.arange(8000) / 5), 8000)
    open("empty.wav", "w").close()

    def model(source):
        audio_m2e.load(source)
        return MusicEmotion(
            path=source, duration=1.0, valence=6.0, arousal=4.0, quadrant="Q4", moods=[], selected_moods=[], curve=[]
        )

    monkeypatch.setattr(cli.predict, "load_model", lambda *settings, **_: model)
    return tmp_path


def predict(*arguments, status=0):
    result = CliRunner().invoke(cli.app, ["predict", *arguments])
    assert result.exit_code == status, result.output
    return result


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_every_track_is_drawn_and_all_are_compared(music):
    predict("a.wav", "empty.wav", "sub", "--plot", "plots/new", status=1)
    assert names(music / "plots" / "new") == ["a-2.png", "a.png", "comparison.png"]
    predict("sub/a.wav", "--plot", "one", "--plot-format", "svg")
    assert names(music / "one") == ["a.svg"]


def test_a_track_keeps_its_name_when_a_run_goes_on(music):
    predict("a.wav", "sub/a.wav", "-o", "out.jsonl", "--plot", "plots")
    before = (music / "plots" / "a.png").stat().st_mtime_ns
    lines = (music / "out.jsonl").read_text().splitlines(keepends=True)
    (music / "out.jsonl").write_text(lines[0])
    (music / "plots" / "a-2.png").unlink()
    predict("a.wav", "sub/a.wav", "-o", "out.jsonl", "--resume", "--plot", "plots")
    assert names(music / "plots") == ["a-2.png", "a.png", "comparison.png"]
    assert (music / "plots" / "a.png").stat().st_mtime_ns == before


def test_results_come_first_and_a_plot_that_cannot_be_written_ends_the_run(music):
    (music / "plots" / "a.png").mkdir(parents=True)
    result = predict("a.wav", "sub/a.wav", "--format", "jsonl", "--plot", "plots", status=1)
    assert result.stdout.count("\n") == 1
    assert f"m2e: {os.path.join('plots', 'a.png')} cannot be written: Is a directory." in result.stderr


def test_what_is_wrong_is_reported_before_anything_is_predicted(music, monkeypatch):
    (music / "file").touch()
    result = predict("a.wav", "--plot", "file", status=2)
    assert "file cannot hold plots (File exists): give another --plot DIR." in result.stderr and not result.stdout
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = predict("a.wav", "--plot", "plots", status=2)
    assert 'pip install "m2e[demo]"' in result.stderr and not (music / "plots").exists()


def test_names_are_unlike_each_other_and_safe(tmp_path):
    paths = [
        "x/Song.mp3",
        "y/song.ogg",
        "comparison.wav",
        "https://example.org/a%20b/tune%202.mp3?key=1",
        "..",
        "a:b|c?.wav",
        "夜" * 200 + ".flac",
        "\udcff.wav",
        "song-2.mp3",
    ]
    found = list(plot_names([Source(path).path for path in paths]).values())
    assert found[:6] == ["Song", "song-2", "comparison-2", "tune 2", "track", "a_b_c_"]
    assert found[6:] == ["夜" * MAX_NAME, "_", "song-2-2"]
    for name in found:
        (tmp_path / f"{name}.png.partial").touch()
    assert len(list(tmp_path.iterdir())) == len(paths)
