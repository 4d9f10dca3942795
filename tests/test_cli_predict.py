"""`m2e predict` in this process, with a fake model."""

import csv
import io
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fakemodel import RATE, FakeModel, lines, paths, records, run, tone
from typer.testing import CliRunner

from m2e import cli
from m2e.errors import AudioError, ModelError
from modeling_m2e import audio_m2e

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def model(monkeypatch):
    """The models that were loaded; every other one of the command line's is replaced by a fake."""
    loaded = []

    def load_model(model, device, window, batch_size, harmony, key_segments, *limits, tempo, **_):
        network = {"model": model, "device": device, "window": window, "batch_size": batch_size}
        loaded.append(FakeModel(**network, harmony=harmony, key_segments=key_segments, limits=limits, tempo=tempo))
        return loaded[-1]

    monkeypatch.setattr(cli.predict, "load_model", load_model)
    return loaded


@pytest.fixture
def music(tmp_path, monkeypatch):
    """The current folder: three songs, one of them deeper, and what else lies about."""
    monkeypatch.chdir(tmp_path)
    for name, seconds in (("a.wav", 1.0), ("b.flac", 1.5), ("sub/c.WAV", 2.0)):
        tone(name, seconds)
    tone("sub/.hidden.wav")
    tone(".trash/d.wav")
    Path("cover.jpg").write_bytes(b"\xff\xd8\xff")
    return tmp_path


# --- what is read ---


def test_files_in_their_order_each_once(model, music):
    assert paths("b.flac", "a.wav", "./b.flac", music / "a.wav") == ["b.flac", "a.wav"]
    assert len(model) == 1 and model[0].seen == ["b.flac", "a.wav"]


def test_folders_are_searched_and_nothing_hidden_is_taken(model, music):
    assert paths(".") == ["./a.wav", "./b.flac", "./sub/c.WAV"]
    assert paths("sub", "a.wav", ".") == ["sub/c.WAV", "a.wav", "./b.flac"]


def test_globs_that_the_shell_left(model, music):
    assert paths("*.wav") == ["a.wav"]
    assert paths("*") == ["a.wav", "b.flac", "sub/c.WAV"]
    assert paths("**/*.WAV") == ["sub/c.WAV"]
    os.rename("a.wav", "a.dat")
    assert paths("*.dat") == ["a.dat"]


def test_an_existing_name_is_no_glob(model, music):
    tone("[a].wav")
    assert paths("[a].wav") == ["[a].wav"]


def test_paths_from_stdin(model, music):
    assert paths("-", stdin="a.wav\n\n  \nsub\r\n*.flac\n") == ["a.wav", "sub/c.WAV", "b.flac"]
    assert paths("a.wav", "-", stdin=b"b.flac\0sub/c.WAV\0") == ["a.wav", "b.flac", "sub/c.WAV"]


def test_urls_are_left_to_the_model(model):
    failed = records("http://127.0.0.1:9/song.mp3", status=1)
    assert model[0].seen == ["http://127.0.0.1:9/song.mp3"] and failed[0]["path"] == model[0].seen[0]
    assert failed[0]["error"].startswith("http://127.0.0.1:9/song.mp3: ")


def test_what_is_not_there_needs_no_model(model, music):
    os.mkdir("empty")
    result = run("nothing.wav", "empty", "*.mp3", "--format", "jsonl", status=1)
    failed = [json.loads(line) for line in result.stdout.splitlines()]
    assert [one["path"] for one in failed] == ["nothing.wav", "empty", "*.mp3"]
    assert [one["error"] for one in failed] == [
        "nothing.wav: there is no such file or folder.",
        "empty: holds no audio file.",
        "*.mp3: matches no file.",
    ]
    assert model == []
    assert result.stderr.splitlines() == ["m2e: 3 of 3 files failed:", *(f"m2e: {one['error']}" for one in failed)]


# --- what fails ---


def poison(name):
    """Writes a file that cannot be used."""
    wav = io.BytesIO()
    soundfile.write(wav, 0.5 * np.sin(np.arange(RATE) / 5), RATE, format="WAV")
    raw = {"empty.wav": b"", "text.mp3": b"not music\n" * 99, "cut.wav": wav.getvalue()[:5000]}
    samples = {"short.wav": [0.5], "none.wav": [], "silent.flac": np.zeros(RATE), "nan.wav": np.full(RATE, np.nan)}
    if name in raw:
        Path(name).write_bytes(raw[name])
    else:
        soundfile.write(name, np.asarray(samples[name]), RATE, subtype="FLOAT" if name == "nan.wav" else None)


POISON = ["empty.wav", "text.mp3", "cut.wav", "short.wav", "none.wav", "silent.flac", "nan.wav"]


def test_a_bad_file_does_not_end_the_run(model, music):
    for name in POISON:
        poison(name)
    tone("eight.wav", 1.0, channels=8)
    given = ["a.wav", *POISON, "eight.wav"]
    result = run(*given, "--format", "json", status=1)
    answers = json.loads(result.stdout)
    assert [one["path"] for one in answers] == given
    assert [one["path"] for one in answers if one["error"] is None] == ["a.wav", "eight.wav"]
    messages = result.stderr.splitlines()
    assert messages[0] == "m2e: 7 of 9 files failed:" and len(messages) == 8
    for one in answers[1:-1]:
        with pytest.raises(AudioError) as real:
            audio_m2e.load(one["path"])
        assert one["error"] == str(real.value) and f"m2e: {real.value}" in messages
        assert {name for name, value in one.items() if value is not None} == {"path", "model", "error"}
        assert one["model"] == "fake"


def test_a_lone_failure_is_one_sentence(model, music):
    poison("silent.flac")
    result = run("silent.flac", status=1)
    assert result.stdout == ""
    assert result.stderr.startswith("m2e: silent.flac: is silent") and result.stderr.count("\n") == 1


def test_faults_of_the_code_are_reported_with_the_file(model, music, monkeypatch):
    def fault(self, source):
        raise RuntimeError("CUDA out of memory.\nTried to allocate 2 GiB")

    monkeypatch.setattr(FakeModel, "__call__", fault)
    assert records("a.wav", status=1)[0]["error"] == "a.wav: RuntimeError: CUDA out of memory."


# --- wrong usage ---


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Missing argument"),
        (["a.wav", "--nonsense"], "No such option"),
        (["a.wav", "--format", "xml"], "'xml' is not one of"),
        (["a.wav", "--device", "abacus"], "'abacus' is not one of"),
        (["a.wav", "--window", "0.1"], "--window"),
        (["a.wav", "--batch-size", "0"], "--batch-size"),
        (["a.wav", "--workers", "0"], "--workers"),
        (["a.wav", "--top-k", "0"], "--top-k"),
        (["-"], "nothing to read"),
        (["a.wav", "--resume"], "--resume needs a file of records"),
        (["a.wav", "--resume", "-o", "out.txt"], "--resume needs a file of records"),
        (["a.wav", "-o", "no/such/folder.csv"], "no/such/folder.csv cannot be written"),
        (["a.wav", "-o", "sub"], "sub cannot be written"),
        (["a.wav", "-o", "./a.wav"], "./a.wav is one of the files to read"),
        (["a.wav", "-o", "cover.jpg", "--format", "jsonl", "--resume"], "cover.jpg is not a file of records"),
    ],
)
def test_wrong_usage_is_reported_before_anything_is_loaded(model, music, arguments, sentence):
    before = {path: path.read_bytes() for path in music.rglob("*") if path.is_file()}
    result = run(*arguments, status=2, stdin="")
    assert sentence in result.stderr and result.stdout == "" and model == []
    assert {path: path.read_bytes() for path in music.rglob("*") if path.is_file()} == before


def loads(monkeypatch, error):
    def load_model(*settings, **_):
        raise error

    monkeypatch.setattr(cli.predict, "load_model", load_model)


def test_a_missing_model_is_wrong_usage(music, monkeypatch):
    loads(monkeypatch, ModelError("no/model is not a folder."))
    result = run("a.wav", "--model", "no/model", "-o", "out.jsonl", status=2)
    assert result.stderr == "m2e: no/model is not a folder.\n" and result.stdout == ""
    assert not list(music.glob("out.jsonl*"))


@pytest.mark.parametrize("error", [OSError("no such file"), KeyError("weights"), ValueError("shapes differ")])
def test_a_bug_while_the_model_is_loaded_is_not_made_a_sentence(music, monkeypatch, error):
    loads(monkeypatch, error)
    with pytest.raises(type(error)):
        run("a.wav", "-o", "out.jsonl")


def test_settings_reach_the_model(model, music):
    run("a.wav", *"--model dir --device cpu --window 10 --batch-size 3 --no-harmony".split())
    run("a.wav", "--key-segments")
    settings = [
        {name: value for name, value in one.settings.items() if name not in ("limits", "tempo")} for one in model
    ]
    assert settings == [
        {"model": "dir", "device": "cpu", "window": 10.0, "batch_size": 3, "harmony": False, "key_segments": False},
        {"model": None, "device": "auto", "window": None, "batch_size": None, "harmony": True, "key_segments": True},
    ]


def test_load_model_knows_the_hub_signature(monkeypatch):
    """The one call that the fake stands for."""
    from inspect import signature

    from m2e.checkpoints import load as hub

    settings = {"window": 10.0, "batch_size": 3, "harmony": True, "key_segments": True}
    settings |= {"include_embedding": False, "max_duration": 60.0, "timeout": None, "hop": None, "dtype": "float32"}
    settings |= {"tempo": False}
    call = signature(hub.load).bind("dir", device="cpu", **settings)
    monkeypatch.setattr(hub, "load", lambda *args, **named: (args, named))
    (model,), named = cli.predict.load_model("dir", "cpu", 10.0, 3, True, True, 60.0, None)
    assert {"model": model, **named} == dict(call.arguments)


def test_the_limits_of_a_track_reach_the_model(model, music):
    run("a.wav")
    run("a.wav", "--max-duration", "60", "--timeout", "5")
    assert [each.settings["limits"] for each in model] == [(6 * 3600.0, None), (60.0, 5.0)]


# --- what is written ---


def test_keys_over_time_only_if_asked_for(model, music):
    assert records("a.wav", "--key-segments")[0]["key_segments"] == [
        {"start": 0.0, "end": 1.0, "key": "C major", "confidence": 0.8}
    ]
    assert "key_segments" not in records("a.wav")[0]
    refused = run("a.wav", "--key-segments", "--no-harmony", status=2)
    assert "--key-segments need chords: remove --no-harmony." in refused.stderr


def test_table_of_one_and_of_several(model, music):
    one = run("a.wav").stdout
    assert one.startswith("a.wav ") and "Q1 happy, energetic" in one and "calm" in one
    several = run("a.wav", "b.flac", "gone.wav", status=1).stdout.splitlines()
    assert [line.split()[0] for line in several] == ["track", "a.wav", "b.flac", "gone.wav"]
    assert "happy, upbeat, epic" in several[1] and "there is no such file" in several[3]
    assert "epic" not in run("a.wav", "b.flac", "--top-k", "2").stdout
    assert "\x1b" not in one


def test_table_fits_80_columns(model, music):
    tone("x" * 150 + ".wav")
    result = run(".", env={"COLUMNS": "80"})
    assert max(map(len, result.stdout.splitlines())) == 80


def test_csv(model, music):
    rows = list(csv.DictReader(io.StringIO(run("gone.wav", "a.wav", "--format", "csv", status=1).stdout)))
    assert [row["path"] for row in rows] == ["gone.wav", "a.wav"]
    assert rows[1]["mood_happy"] == "0.9" and rows[1]["chords"] == "C:maj" and rows[0]["mood_happy"] == ""


@pytest.mark.parametrize("name", ["out.json", "out.jsonl", "out.csv", "out.CSV", "out.txt"])
def test_a_file_gets_what_stdout_would_and_its_name_says_the_format(model, music, name):
    form = {".json": "json", ".jsonl": "jsonl", ".csv": "csv"}.get(os.path.splitext(name)[1].lower(), "table")
    shown = run("a.wav", "b.flac", "--format", form).stdout
    assert run("a.wav", "b.flac", "-o", name).stdout == ""
    assert Path(name).read_text(encoding="utf-8") == shown
    assert run("a.wav", "b.flac", "-o", name, "--format", "json").exit_code == 0
    assert len(json.loads(Path(name).read_text())) == 2
    assert not list(music.glob("*.partial*"))


def test_dash_is_stdout(model, music):
    assert len(json.loads(run("a.wav", "-o", "-", "--format", "json").stdout)) == 1 and not Path("-").exists()


def test_a_link_is_written_through(model, music):
    Path("link.csv").symlink_to("sub/real.csv")
    run("a.wav", "-o", "link.csv")
    assert Path("link.csv").is_symlink() and "a.wav" in Path("sub/real.csv").read_text()


def test_a_pipe_is_written_into_and_not_replaced(model, music):
    os.mkfifo("pipe")
    reader = subprocess.Popen(["cat", "pipe"], stdout=subprocess.PIPE)
    run("a.wav", "-o", "pipe", "--format", "jsonl")
    assert json.loads(reader.communicate(timeout=20)[0])["path"] == "a.wav"
    assert Path("pipe").is_fifo()


def test_odd_names_in_every_format(model, music):
    odd = ["[red]x[bold] :smile:.wav", "ünï çödé 東京.wav", "line\nbreak.wav", "esc\x1b[31m.wav", "-dash.wav"]
    try:
        tone("byte\udcff.wav")
        odd.append("byte\udcff.wav")
    except OSError:
        pass  # a file system of Unicode names
    for name in odd:
        tone(name)
    assert paths("--", *odd) == odd
    assert [json.loads(line)["path"] for line in run("--format", "jsonl", "--", *odd).stdout.split("\n")[:-1]] == odd
    rows = list(csv.DictReader(io.StringIO(run("--format", "csv", "--", *odd).stdout, newline="")))
    assert [row["path"] for row in rows][:5] == odd[:5] and len(rows) == len(odd)
    shown = run("--", *odd).stdout
    assert "[red]x[bold] :smile:.wav" in shown and "\x1b" not in shown and len(shown.splitlines()) == len(odd) + 1
    for name in odd:
        assert run("--", name).stdout.count("Q1") == 1
    run("-o", "odd.jsonl", "--", *odd)
    assert [one["path"] for one in lines("odd.jsonl")] == odd
    for name in odd:
        os.truncate(os.fsencode(name), 0)
    assert "\x1b" not in run("--", *odd, status=1).stderr


def test_a_terminal_of_another_encoding(model, music):
    tone("東京.wav")
    runner = CliRunner(charset="ascii")
    for form in ("table", "json", "csv"):
        result = runner.invoke(cli.app, ["predict", "東京.wav", "a.wav", "--format", form])
        assert result.exit_code == 0
        assert result.stdout_bytes.decode("ascii" if form == "table" else "utf-8")


# --- going on ---


def interrupt_at(monkeypatch, name):
    real = FakeModel.__call__

    def call(self, source):
        if source == name:
            raise KeyboardInterrupt
        return real(self, source)

    monkeypatch.setattr(FakeModel, "__call__", call)
    return lambda: monkeypatch.setattr(FakeModel, "__call__", real)


def test_an_interrupted_run_is_resumed(model, music, monkeypatch):
    given = ["a.wav", "gone.wav", "b.flac", "sub/c.WAV", "-o", "out.jsonl"]
    Path("out.jsonl").write_text("")  # of an older run: stays until the new one is complete
    release = interrupt_at(monkeypatch, "sub/c.WAV")
    result = run(*given, status=130)
    assert "out.jsonl.partial" in result.stderr
    assert [one["path"] for one in lines("out.jsonl.partial")] == ["a.wav", "gone.wav", "b.flac"]
    assert Path("out.jsonl").read_text() == ""

    release()
    refused = run(*given, status=2)
    assert "--resume" in refused.stderr and len(lines("out.jsonl.partial")) == 3

    with open("out.jsonl.partial", "a") as partial:
        partial.write('{"path": "sub/c.WAV", "dura')  # the kill came while a line was written
    tone("gone.wav")
    result = run(*given, "--resume")
    assert model[-1].seen == ["gone.wav", "sub/c.WAV"]
    done = lines("out.jsonl")
    assert sorted(one["path"] for one in done) == ["a.wav", "b.flac", "gone.wav", "sub/c.WAV"]
    assert all(one["error"] is None for one in done) and not Path("out.jsonl.partial").exists()
    assert "2 of 4 files are already in out.jsonl" in result.stderr


def test_resume_adds_to_a_complete_file_and_forgets_nothing(model, music):
    run("a.wav", "gone.wav", "-o", "out.jsonl", status=1)
    run("b.flac", "--skip-existing", "-o", "out.jsonl")
    assert model[-1].seen == ["b.flac"]
    assert [one["path"] for one in lines("out.jsonl")] == ["a.wav", "gone.wav", "b.flac"]
    before, loaded = Path("out.jsonl").read_bytes(), len(model)
    run("a.wav", "./b.flac", "--resume", "-o", "out.jsonl")
    assert Path("out.jsonl").read_bytes() == before and len(model) == loaded
    run("gone.wav", "--resume", "-o", "out.jsonl", status=1)
    assert [one["path"] for one in lines("out.jsonl")] == ["a.wav", "b.flac", "gone.wav"]


def test_an_interrupt_leaves_no_empty_files_and_shows_what_there_is(model, music, monkeypatch):
    release = interrupt_at(monkeypatch, "a.wav")
    run("a.wav", "b.flac", "-o", "out.jsonl", status=130)
    assert not list(music.glob("out*"))
    release()
    interrupt_at(monkeypatch, "b.flac")
    result = run("a.wav", "b.flac", "--format", "json", status=130)
    assert [one["path"] for one in json.loads(result.stdout)] == ["a.wav"] and "interrupted" in result.stderr


def test_a_full_disk_is_reported(model, music):
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    result = run("a.wav", "-o", "/dev/full", "--format", "jsonl", status=1)
    assert "/dev/full cannot be written: No space left" in result.stderr
