import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from modeling_m2e import Key
from modeling_m2e.record_m2e import CurvePoint, FailedTrack, MusicEmotion, Segment
from modeling_m2e.scale_m2e import QUADRANT_WORDS

pytest.importorskip("matplotlib", reason='matplotlib is in the extra "demo"')
from modeling_m2e import plot_m2e  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def record():
    return MusicEmotion(
        path="music/song.mp3",
        duration=71.0,
        valence=6.1,
        arousal=3.4,
        quadrant="Q4",
        moods=[],
        selected_moods=[],
        key=Key("C", "major", 0.8),
        curve=[CurvePoint(0, 30, 5.9, 3.1), CurvePoint(30, 60, 6.5, 4.2), CurvePoint(60, 71, 5.5, 2.0)],
        model="m",
    )


def said(holder) -> list[str]:
    return [text.get_text() for text in holder.texts]


def points(axes) -> list[list]:
    return [list(zip(*line.get_data(), strict=True)) for line in axes.lines]


def test_one_record_is_its_plane_and_its_curve(record):
    drawn = record.plot()
    plane, curve = drawn.axes
    assert plane.get_xlim() == plane.get_ylim() == curve.get_ylim() == (1, 9)
    assert plane.get_xlabel().startswith("valence") and plane.get_ylabel().startswith("arousal")
    assert {f"{name} {words}" for name, words in QUADRANT_WORDS.items()} < set(said(plane))
    assert [(5.9, 3.1), (6.5, 4.2), (5.5, 2.0)] in points(plane) and [(6.1, 3.4)] in points(plane)
    assert curve.get_xlim() == (0, 71)
    for values in ([5.9, 6.5, 5.5], [3.1, 4.2, 2.0]):
        assert list(zip([15, 45, 65.5], values, strict=True)) in points(curve)  # the middles of the windows
        assert list(zip([0, 15, 45, 65.5, 71], [values[0], *values, values[-1]], strict=True)) in points(curve)
    assert [text.get_text() for text in curve.get_legend().get_texts()] == ["valence", "arousal"]
    assert said(drawn) == ["song.mp3", "valence 6.1   arousal 3.4   Q4 calm   C major"]
    assert curve.xaxis.get_major_formatter()(65.0, 0) == "1:05"


def test_a_figure_contradicts_no_record(record):
    unsure = replace(record, between=["Q1", "Q4"])
    assert said(unsure.plot())[1].endswith("between Q1 happy and Q4 calm   C major")
    assert "Q1-Q4" in said(plot_m2e.figure([unsure, record]))
    assert said(replace(unsure, summary="Between happy and calm").plot())[1].endswith("   Between happy and calm")


def test_a_curve_of_many_windows_shows_its_segments(record):
    many = [CurvePoint(at, at + 5, 5.0, 3.0 if at < 60 else 6.0) for at in range(120)]
    parts = [Segment(0, 60, 5.0, 3.0, []), Segment(60, 125, 5.0, 6.0, [])]
    plane, curve = replace(record, curve=many, segments=parts).plot().axes
    assert [(5.0, 3.0), (5.0, 6.0)] in points(plane)  # the path of the segments
    assert [60, 60] in [list(line.get_xdata()) for line in curve.lines]
    assert {line.get_markersize() for line in curve.lines if line.get_label() in ("valence", "arousal")} == {0.0}


def test_several_records_are_numbered_points_and_a_list(record):
    others = [record, replace(record, path="b.ogg", valence=1.0, arousal=9.0, quadrant="Q2"), replace(record, path="c")]
    drawn = plot_m2e.figure(others)
    assert len(drawn.axes) == 1
    assert [(1.0, 9.0)] in points(drawn.axes[0]) and {"1", "2", "3"} < set(said(drawn.axes[0]))
    rows = said(drawn)[3:]  # after the headings
    assert rows == ["1", "song.mp3", "6.1", "3.4", "Q4", "2", "b.ogg", "1.0", "9.0", "Q2", "3", "c", "6.1", "3.4", "Q4"]


def test_a_crowd_is_points_only(record):
    many = [replace(record, path=str(index), valence=1 + index % 8) for index in range(plot_m2e.NUMBERED + 1)]
    (plane,) = plot_m2e.figure(many).axes
    assert [(one.valence, one.arousal) for one in many] in points(plane) and "1" not in said(plane)


@pytest.mark.parametrize("curve", [None, [], [CurvePoint(0, 20, 5.0, 5.0)]])
def test_without_a_path_the_level_is_drawn(record, curve):
    drawn = replace(record, curve=curve, duration=20.0, key=None).plot()
    level = 5.0 if curve else 6.1
    assert [(0, level), (10, level), (20, level)] in points(drawn.axes[1])


@pytest.mark.parametrize(("suffix", "magic"), [("png", b"\x89PNG"), ("PDF", b"%PDF"), ("svg", b"<?xml")])
def test_files_are_as_their_names_say(record, tmp_path, suffix, magic):
    record.plot(tmp_path / f"song.{suffix}")
    assert [path.name for path in tmp_path.iterdir()] == [f"song.{suffix}"]
    assert (tmp_path / f"song.{suffix}").read_bytes().startswith(magic)


def test_names_are_no_formulas_and_no_markup(record, tmp_path):
    names = [
        "$5 and $7_{",
        "_hidden.ogg",
        "夜に駆ける.flac",
        "a\x1b[31m\nb.wav",
        "<b>&amp;.mp3",
        "x" * 300,
        "\udcff.mp3",
        "",
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_m2e.save(plot_m2e.figure([replace(record, path=name) for name in names]), tmp_path / "names.svg")
        replace(record, path=names[0]).plot(tmp_path / "name.svg")
    ElementTree.parse(tmp_path / "names.svg")
    drawn = said(plot_m2e.figure([record, *(replace(record, path=name) for name in names)]))
    assert "$5 and $7_{" in drawn and "a\ufffd[31m\ufffdb.wav" in drawn and "track" in drawn
    assert max(map(len, drawn)) <= 30


def test_what_cannot_be_drawn_is_refused(record, tmp_path):
    with pytest.raises(ValueError, match="^bad.mp3: is empty.$"):
        plot_m2e.figure([FailedTrack("bad.mp3", "bad.mp3: is empty.")])
    with pytest.raises(ValueError, match="no record"):
        plot_m2e.figure([])
    for name in ("song.gif", "song", ".png"):
        with pytest.raises(ValueError, match=r"\.png, \.pdf or \.svg"):
            record.plot(tmp_path / name)
    (tmp_path / "taken.png").mkdir()
    for place in (tmp_path / "taken.png", tmp_path / "missing" / "song.png"):
        with pytest.raises(OSError):
            record.plot(place)
    assert [path.name for path in tmp_path.iterdir()] == ["taken.png"]


def test_without_matplotlib_a_sentence_says_what_to_install(record, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "m2e\[demo\]"'):
        record.plot()


def test_a_model_repo_draws_by_itself(tmp_path):
    """Its flat folder holds the drawing, which needs nothing beside it but numpy and matplotlib."""
    from transformers.dynamic_module_utils import get_relative_import_files

    folder = ROOT / "modeling_m2e"
    assert str(folder / "plot_m2e.py") in get_relative_import_files(folder / "pipeline_m2e.py")
    (tmp_path / "repo").mkdir()
    output = folder / "record_m2e.py"
    for path in (output, *get_relative_import_files(output)):
        shutil.copy(path, tmp_path / "repo")
    (tmp_path / "repo" / "__init__.py").touch()
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from repo.record_m2e import MusicEmotion\n"
        "MusicEmotion('a', 1.0, 5.0, 5.0, 'Q1', [], []).plot(sys.argv[1] + '/a.svg')\n"
        "assert not {'m2e', 'modeling_m2e', 'torch', 'matplotlib.pyplot'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-I", "-c", code, str(tmp_path)], check=True, timeout=120)
    assert (tmp_path / "a.svg").is_file()
