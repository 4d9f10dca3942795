import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from m2e import cli
from m2e.cli import chords as cli_chords
from m2e.cli.options import MAX_DURATION
from modeling_m2e import audio_m2e
from modeling_m2e.chord_labels_m2e import ChordSegment, read_lab
from modeling_m2e.key_m2e import Key
from modeling_m2e.record_m2e import TrackHarmony

ROOT = Path(__file__).resolve().parent.parent
RATE = 8000


class FakePipeline:
    """Reads the audio, and gives C major for its first half."""

    name = "fake"

    def __init__(self, *settings):
        self.settings, self.seen = settings, []

    def __call__(self, source: str) -> TrackHarmony:
        self.seen.append(source)
        waveform, rate = audio_m2e.load(source)
        end = len(waveform) / rate
        chords = [ChordSegment(0.0, end / 2, "C:maj"), ChordSegment(end / 2, end, "A:min7")]
        return TrackHarmony(path=source, duration=end, key=Key("C", "major", 0.8), chords=chords, model=self.name)


@pytest.fixture
def loaded(monkeypatch):
    """The pipelines that were loaded; every one is a fake."""
    pipes = []

    def load(*settings):
        pipes.append(FakePipeline(*settings))
        return pipes[-1]

    monkeypatch.setattr(cli_chords, "load", load)
    return pipes


@pytest.fixture
def music(tmp_path, monkeypatch):
    """The current folder, with three songs."""
    monkeypatch.chdir(tmp_path)
    for name, seconds in (("a.wav", 1.0), ("b.flac", 2.0), ("sub/c.wav", 3.0)):
        tone(name, seconds)
    return tmp_path


def tone(name, seconds=1.0):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(name, 0.5 * np.sin(np.arange(int(seconds * RATE)) / 5), RATE)


def run(*arguments, status=0, stdin=None, **options):
    result = CliRunner().invoke(cli.app, ["chords", *map(str, arguments)], input=stdin, **options)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result


def files(folder="."):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


SONGS = ["a.wav", "b.flac", "sub/c.wav"]
LAB = "0.000 0.500 C:maj\n0.500 1.000 A:min7\n"


# --- standard output ---


def test_a_chart_for_people(loaded, music):
    result = run("a.wav", env={"COLUMNS": "60"})
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["a.wav", "0:01", "fake"] and "C major  confidence 0.80" in lines[1]
    assert re.findall(r"\|(\S+)", lines[3]) == ["C", "Am7"] and len(lines) == 4
    assert result.stdout.isascii() and result.stderr == "" and max(map(len, lines)) <= 60
    several = run("a.wav", "b.flac").stdout
    assert [line.split()[0] for line in several.split("\n\n")[::2][:2]] == ["a.wav", "b.flac"]


def test_lab(loaded, music):
    assert run("a.wav", "--format", "lab").stdout == LAB
    assert run("a.wav", "--format", "lab", "--style", "paper").stdout == LAB.replace("C:maj", "C")
    several = run("a.wav", "b.flac", "--format", "lab").stdout
    assert several.startswith(f"# a.wav\n{LAB}# b.flac\n0.000 1.000") and len(read_lab(several)) == 4


def test_json_is_an_object_per_line(loaded, music):
    answers = [json.loads(line) for line in run(".", "gone.wav", "--format", "json", status=1).stdout.splitlines()]
    assert [one["path"] for one in answers] == ["./a.wav", "./b.flac", "./sub/c.wav", "gone.wav"]
    assert answers[0] == {
        "path": "./a.wav",
        "duration": 1.0,
        "key": {"tonic": "C", "mode": "major", "confidence": 0.8},
        "chords": [{"start": 0.0, "end": 0.5, "label": "C:maj"}, {"start": 0.5, "end": 1.0, "label": "A:min7"}],
        "model": "fake",
        "error": None,
    }
    assert answers[3]["error"] == "gone.wav: there is no such file or folder." and answers[3]["chords"] is None


def test_names_are_no_control_sequences(loaded, music):
    tone("esc\x1b[31m\n.wav")
    for form in ("chart", "lab"):
        shown = run("esc\x1b[31m\n.wav", "a.wav", "--format", form).stdout
        assert "\x1b" not in shown
    assert len(read_lab(shown)) == 4


def test_settings_reach_the_model(loaded, music):
    run("a.wav", "--model", "dir", "--decoding", "paper", "--max-duration", "60", "--timeout", "9")
    run("a.wav")
    assert [pipe.settings for pipe in loaded] == [("dir", "paper", 60.0, 9.0), (None, None, MAX_DURATION, None)]


# --- files ---


@pytest.mark.parametrize("name", ["out.lab", "out.json", "out.txt", "new/folder/OUT.LAB"])
def test_a_file_gets_what_stdout_would_and_its_name_says_the_format(loaded, music, name):
    form = {".lab": "lab", ".json": "json"}.get(name[-4:].lower() if "lab" in name.lower() else name[-5:], "chart")
    assert run("a.wav", "-o", name).stdout == ""
    assert Path(name).read_text() == run("a.wav", "--format", form).stdout
    assert run("a.wav", "-o", name, "--format", "lab").exit_code == 0
    assert Path(name).read_text() == LAB and not [path for path in files() if "partial" in path]


@pytest.mark.parametrize(("form", "suffix"), [("chart", ".txt"), ("lab", ".lab"), ("json", ".json")])
def test_a_folder_is_laid_out_as_the_tracks_are(loaded, music, form, suffix):
    assert run(".", "-o", "out", "--format", form).stdout == ""
    assert files("out") == [f"a{suffix}", f"b{suffix}", f"sub/c{suffix}"]
    assert Path(f"out/a{suffix}").read_text() == run("./a.wav", "--format", form).stdout
    run("sub", "-o", "flat", "--format", form)
    assert files("flat") == [f"c{suffix}"]
    os.mkdir("given.d")
    run("sub/c.wav", "-o", "given.d", "--format", form)
    assert files("given.d") == [f"c{suffix}"]


def test_tracks_of_one_name_keep_their_suffix(loaded, music):
    tone("a.flac")
    run("a.wav", "a.flac", "b.flac", "gone/d.wav", "-o", "out", "--format", "lab", status=1)
    assert files("out") == ["a.flac.lab", "a.wav.lab", "b.lab"]


def test_dash_is_stdout_and_paths_come_from_stdin(loaded, music):
    assert run("-", "-o", "-", "--format", "lab", stdin="a.wav\n").stdout == LAB and not Path("-").exists()


def test_a_pipe_is_written_into(loaded, music):
    os.mkfifo("pipe")
    reader = subprocess.Popen(["cat", "pipe"], stdout=subprocess.PIPE)
    run("a.wav", "-o", "pipe", "--format", "lab")
    assert reader.communicate(timeout=20)[0].decode() == LAB and Path("pipe").is_fifo()


def test_midi(loaded, music):
    pretty_midi = pytest.importorskip("pretty_midi", reason="pretty_midi writes MIDI files")
    shown = run("a.wav", "--midi", "song.mid").stdout
    assert shown == run("a.wav").stdout
    midi = pretty_midi.PrettyMIDI(io.BytesIO(Path("song.mid").read_bytes()))
    assert [lyric.text for lyric in midi.lyrics] == ["C", "Am7"] and len(midi.instruments[0].notes) == 4 + 5
    run(".", "-o", "out", "--format", "json", "--midi", "out")
    assert files("out") == ["a.json", "a.mid", "b.json", "b.mid", "sub/c.json", "sub/c.mid"]


# --- what fails ---


def test_a_bad_file_does_not_end_the_run(loaded, music):
    Path("text.mp3").write_bytes(b"not music\n" * 99)
    soundfile.write("silent.wav", np.zeros(RATE), RATE)
    soundfile.write("short.wav", [0.5], RATE)
    bad = ["text.mp3", "silent.wav", "short.wav"]
    result = run("a.wav", *bad, "b.flac", "--format", "lab", "-o", "out", status=1)
    assert files("out") == ["a.lab", "b.lab"]
    messages = result.stderr.splitlines()
    assert messages[0] == "m2e: 3 of 5 files failed:" and len(messages) == 4
    assert [line.split(":")[1].strip() for line in messages[1:]] == bad
    alone = run("silent.wav", "-o", "silent.lab", status=1)
    assert alone.stderr.count("\n") == 1 and alone.stdout == "" and not Path("silent.lab").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Missing argument"),
        (["a.wav", "--format", "xml"], "'xml' is not one of"),
        (["a.wav", "--decoding", "beam"], "'beam' is not one of"),
        (["a.wav", "--style", "jazz"], "'jazz' is not one of"),
        (["-"], "nothing to read"),
        ([*SONGS, "-o", "out.lab"], "out.lab is one file for 3 tracks: give a folder."),
        ([*SONGS, "--midi", "out.mid"], "out.mid is one file for 3 tracks: give a folder."),
        (["a.wav", "-o", "./a.wav"], "./a.wav is one of the files to read"),
        (["a.wav", "b.flac", "--midi", "a.wav"], "a.wav is one file for 2 tracks"),
        (["a.wav", "--midi", "link.mid"], "link.mid is one of the files to read"),
        (["a.wav", "named.lab", "-o", ".", "--format", "lab"], "named.lab is one of the files to read"),
        (["a.wav", "-o", "b.flac/x.lab"], "b.flac/x.lab cannot be written: "),
        (["a.wav", "-o", "x.mid", "--midi", "./x.mid"], "x.mid cannot hold both text and MIDI"),
        (["b.flac", "b.flac.wav", "b.wav", "-o", "out"], "two tracks would get the same file"),
    ],
)
def test_wrong_usage_is_reported_before_anything_is_loaded(loaded, music, arguments, sentence):
    os.symlink("a.wav", "link.mid")
    shutil.copy("a.wav", "named.lab")
    for name in ("b.wav", "b.flac.wav"):
        shutil.copy("a.wav", name)
    before = {path: Path(path).read_bytes() for path in files()}
    result = run(*arguments, status=2, stdin="")
    assert sentence in result.stderr and result.stdout == "" and loaded == []
    assert {path: Path(path).read_bytes() for path in files()} == before


def test_a_missing_midi_library_is_reported_before_anything_is_loaded(loaded, music, monkeypatch):
    monkeypatch.setitem(sys.modules, "pretty_midi", None)
    result = run("a.wav", "--midi", "a.mid", status=2)
    assert result.stderr == "m2e: MIDI files and tones need pretty_midi: pip install pretty_midi.\n"
    assert loaded == [] and result.stdout == "" and files() == SONGS


def test_a_missing_model_is_wrong_usage(music):
    result = run("a.wav", "--model", "no/such/model", "-o", "out", status=2)
    sentence = "m2e: no/such/model is neither a folder nor a hub id such as amaai-lab/music2emo: check the name.\n"
    assert result.stderr == sentence and result.stdout == "" and files() == SONGS


@pytest.mark.parametrize("error", [OSError("no such file"), ImportError("no module"), ValueError("shapes differ")])
def test_a_bug_while_the_model_is_loaded_is_not_made_a_sentence(music, monkeypatch, error):
    def load(*_):
        raise error

    monkeypatch.setattr(cli_chords, "load", load)
    with pytest.raises(type(error)):
        run("a.wav")


def test_a_full_disk_is_reported(loaded, music):
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    result = run("a.wav", "-o", "/dev/full", "--format", "lab", status=1)
    assert "/dev/full cannot be written: No space left" in result.stderr


def test_an_output_that_cannot_be_written_is_the_fault_of_one_file(loaded, music):
    long = "x" * 251 + ".wav"  # with the suffix .json, its output has 256 bytes
    tone(long)
    tone("y" * 246 + ".wav")
    result = run(long, "y" * 246 + ".wav", "a.wav", "-o", "out", "--format", "json", status=1)
    assert files("out") == ["a.json", "y" * 246 + ".json"]
    assert result.stderr.startswith("m2e: 1 of 3 files failed:\n") and "File name too long" in result.stderr


def test_a_folder_that_cannot_be_made_is_the_fault_of_one_file(loaded, music):
    Path("out").mkdir()
    Path("out/sub").touch()  # a file; "no permission" comes the same way, but not to root
    result = run(".", "-o", "out", "--format", "lab", status=1)
    assert files("out") == ["a.lab", "b.lab", "sub"] and result.stderr.count("out/sub") == 1


def test_an_old_file_stays_until_the_new_one_is_whole(loaded, music, monkeypatch):
    run(".", "-o", "out", "--format", "lab")
    before = {path: Path(path).read_bytes() for path in files()}
    real = FakePipeline.__call__

    def call(self, source):
        if source == "./b.flac":
            raise KeyboardInterrupt
        return real(self, source)

    monkeypatch.setattr(FakePipeline, "__call__", call)
    skipped = "m2e: 3 files or folders were skipped: 3 without the suffix of audio (--verbose names them).\n"
    assert run(".", "-o", "out", "--format", "lab", status=130).stderr == f"{skipped}m2e: interrupted.\n"
    assert {path: Path(path).read_bytes() for path in files()} == before


# --- the process ---


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from m2e.cli import main\n"
        "try: main()\n"
        "finally: sys.exit(str({'torch', 'transformers', 'numpy', 'librosa', 'pretty_midi'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, "chords", "--help"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert "--decoding" in process.stdout and process.stderr.strip() == "set()"


def test_the_embedded_recogniser_on_an_example(tmp_path):
    song, lab = ROOT / "examples/moonlight_sonata.ogg", tmp_path / "song.lab"
    result = run(song, "-o", lab)
    assert result.stderr == ""
    chords = read_lab(lab.read_text())
    assert chords[0].start == 0 and chords[-1].end == pytest.approx(soundfile.info(song).duration, abs=0.1)
    assert all(a.end == b.start for a, b in zip(chords, chords[1:], strict=False))
    seconds = {chord.label: sum(c.duration for c in chords if c.label == chord.label) for chord in chords}
    assert max(seconds, key=seconds.get) == "C#:min"  # the first two bars, and where the phrase comes back to
    assert json.loads(run(song, "--format", "json").stdout)["key"]["mode"] == "minor"
