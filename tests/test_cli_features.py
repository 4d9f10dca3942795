"""The command: a data set in, cached features out, and what it says of them."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import tiny
from stores import memory  # noqa: F401
from typer.testing import CliRunner

from m2e import cli, terminal
from m2e.cli import features as cli_features
from m2e.errors import ModelError
from m2e.features.store import read_features


@pytest.fixture(scope="module")
def pipe():
    return tiny.pipeline()


@pytest.fixture
def model(pipe, monkeypatch):
    """The settings under which a model was loaded."""
    loaded = []

    def load_processor(*settings):
        loaded.append(settings)
        return pipe.processor

    monkeypatch.setattr(cli_features, "load_processor", load_processor)
    return loaded


@pytest.fixture
def clips(tmp_path, monkeypatch):
    """The current folder, with five clips in the folder `clips`: the second is not there, the fourth no audio."""
    monkeypatch.chdir(tmp_path)
    Path("clips").mkdir()
    for number in (0, 2, 4):
        sf.write(f"clips/{number}.wav", tiny.waveform(2.0, seed=number), tiny.SAMPLING_RATE)
    Path("clips/3.wav").write_text("words")
    with open("clips/labels.csv", "w", newline="") as file:
        csv.writer(file).writerows([("audio", "moods"), *((f"{number}.wav", "happy") for number in range(5))])
    return ["--data", "folder", "--folder", "clips", "--out", "out"]


def run(*arguments, status=0, **environment):
    result = CliRunner().invoke(cli.app, ["features", *map(str, arguments)], env=environment)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result


def files():
    return sorted(path for path in Path("out").rglob("*") if path.is_file())


def test_bad_files_are_reported_at_the_end_and_a_second_run_goes_on(model, clips):
    result = run(*clips, "--device", "cpu", "--window", 3, "--batch-size", 2, status=1)
    assert model == [(None, "cpu", 3.0, 2)] and result.stdout == ""
    *_, count, missing, bad = result.stderr.splitlines()
    assert count == "m2e: 2 of 5 tracks failed:" and "1.wav: there is no such file" in missing and "3.wav" in bad
    assert sorted(read_features("out")) == ["0", "2", "4"] and read_features("out")["0"].chords is not None
    before = {path: path.read_bytes() for path in files()}
    again = run(*clips, status=1)
    assert "m2e: 3 of 5 tracks are already in out." in again.stderr.splitlines()
    assert {path: path.read_bytes() for path in files()} == before


def test_several_workers_give_what_one_gives(pipe, clips, tmp_path):
    pipe.save_pretrained(tmp_path / "model")
    run(*clips[:-1], "alone", "--model", "model", status=1)
    run(*clips, "--model", "model", "--workers", "2", status=1)
    alone, several = read_features("alone"), read_features("out")
    assert sorted(alone) == sorted(several) == ["0", "2", "4"]
    for track in alone:
        np.testing.assert_array_equal(alone[track].embeddings, several[track].embeddings)
        assert (alone[track].chords, alone[track].key) == (several[track].chords, several[track].key)
    assert [path.relative_to("alone") for path in sorted(Path("alone").rglob("*"))] == [
        path.relative_to("out") for path in sorted(Path("out").rglob("*"))
    ]


def test_no_harmony(model, clips):
    run(*clips, "--no-harmony", status=1)
    assert read_features("out")["0"].chords is None
    run(*clips, status=1)
    assert read_features("out")["0"].chords is not None


def test_ranks_share_the_work_and_none_stops_the_others(model, clips):
    for rank in (0, 1):
        result = run(*clips, RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank))
    assert "2 of 2 tracks failed" in result.stderr and "0 of" not in result.stderr
    assert sorted(read_features("out")) == ["0", "2", "4"]


def test_every_rank_takes_a_gpu(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert [cli_features._device(*of) for of in (("auto", 4), ("auto", 1), ("cpu", 4))] == ["cuda:1", "auto", "cpu"]


def test_a_plan(model, clips):
    result = run(*clips, "--plan")
    lines = result.stdout.splitlines()
    assert lines[0] == "tracks    5, 5 of them to do" and lines[1] == "measured  4, 1 of them failed"
    assert [line.split()[0] for line in lines[2:5]] == ["speed", "time", "disk"] and "3.wav" in lines[5]
    assert not Path("out").exists()
    assert "tracks" in run(*clips, "--plan", RANK="0", WORLD_SIZE="2").stdout
    assert run(*clips, "--plan", RANK="1", WORLD_SIZE="2").stdout == ""
    for number in (1, 3):
        sf.write(f"clips/{number}.wav", tiny.waveform(2.0, seed=number), tiny.SAMPLING_RATE)
    run(*clips)
    assert run(*clips, "--plan").stdout == "All 5 tracks are in out.\n"


def test_progress_in_a_log(model, clips, monkeypatch):
    monkeypatch.setattr(terminal, "SECONDS_BETWEEN_LINES", 0.0)
    lines = [line for line in run(*clips, status=1).stderr.splitlines() if " a second" in line]
    assert [line.split()[1:4] for line in lines] == [[str(i), "of", "5"] for i in range(1, 6)]
    assert lines[0].endswith("left.") and lines[-1].endswith("tracks a second.")
    assert " a second" not in run(*clips, RANK="1", WORLD_SIZE="2").stderr


def test_audio_inside_a_data_set(model, clips):
    from m2e.datasets import read_dataset
    from m2e.datasets.to_parquet import write_parquet

    for number in (1, 3):
        sf.write(f"clips/{number}.wav", tiny.waveform(2.0, seed=number), tiny.SAMPLING_RATE)
    write_parquet(read_dataset("folder", "clips"), "inside", audio="embed")
    inside = ["--data", "hub", "--folder", "inside", "--out", "out", "--option", "cache_dir=cache"]
    run(*inside)
    assert sorted(read_features("out")) == ["0", "1", "2", "3", "4"]
    assert len(list(Path("out/audio").iterdir())) == 5
    assert "5 of 5 tracks are already in out" in run(*inside).stderr


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (["--data", "nothing"], "There is no data set 'nothing'"),
        (["--folder", "gone"], "gone"),
        (["--option", "labels"], "--option labels cannot be read"),
        (["--option", "colour=red"], "colour"),
        (["--model", "gone"], "gone"),
    ],
)
def test_wrong_usage_is_one_sentence(clips, change, sentence, monkeypatch):
    monkeypatch.setattr(cli_features, "load_processor", no_model)
    result = run(*clips, *change, status=2)
    assert sentence in result.stderr and result.stderr.count("\n") == 1 and not Path("out").exists()


def test_ray_shares_the_work_by_itself(clips):
    assert "without torchrun" in run(*clips, "--engine", "ray", status=2, RANK="1", WORLD_SIZE="2").stderr
    assert "remove --engine ray" in run(*clips, "--engine", "ray", "--plan", status=2).stderr


def no_model(model, *_):
    raise ModelError(f"{model} is no model.")


def test_an_interrupt_and_a_place_that_cannot_be_written(model, clips, monkeypatch):
    Path("out").write_text("a file")
    assert "m2e: out" in run(*clips, status=1).stderr
    os.remove("out")
    monkeypatch.setattr("m2e.features.cache.write_track", interrupt)
    assert "interrupted. Run the same command to resume." in run(*clips, status=130).stderr


def interrupt(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize("place", ["m2e.datasets.read_dataset", "m2e.features.cache.feature_cache"])
def test_a_bug_is_not_made_a_sentence(model, clips, monkeypatch, place):
    def broken(*_, **__):
        raise ValueError("operands could not be broadcast together")

    monkeypatch.setattr(place, broken)
    with pytest.raises(ValueError, match="broadcast"):
        run(*clips)


def test_durations_and_sizes_in_words():
    said = [terminal.span(seconds) for seconds in (0.2, 59.6, 250, 3600, 93599, 1e6)]
    assert said == ["1 s", "1 min 0 s", "4 min 10 s", "1 h 0 min", "1 d 1 h", "11 d 13 h"]
    assert [cli_features.size(count) for count in (12, 1234, 412_345_678, 999_999_999)] == [
        "12 bytes",
        "1.23 kB",
        "412 MB",
        "1 GB",
    ]


def test_audio_in_a_store(model, clips, memory):  # noqa: F811
    run(*clips, status=1)
    for number in (0, 2, 3, 4):
        memory.pipe(f"/lib/{number}.wav", Path(f"clips/{number}.wav").read_bytes())
    with open("clips/labels.csv", "w", newline="") as file:
        rows = [(f"memory://lib/{number}.wav", number, "happy") for number in range(5)]
        csv.writer(file).writerows([("audio", "id", "moods"), *rows])
    said = run("--data", "folder", "--folder", "clips", "--out", "stored", status=1).stderr
    assert "memory://lib/1.wav: there is no such file." in said and "memory://lib/3.wav: " in said
    found, expected = read_features("stored"), read_features("out")
    assert len(found) == 3
    for track in found:
        np.testing.assert_array_equal(found[track].embeddings, expected[track].embeddings)
    memory.store.clear()
    assert (
        "3 of 5 tracks are already in stored."
        in run("--data", "folder", "--folder", "clips", "--out", "stored", status=1).stderr
    )
