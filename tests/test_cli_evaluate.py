"""`m2e evaluate` on a folder of audio with a table of labels, and on records of an earlier run."""

import csv
import json
from functools import partial

import pytest
import soundfile
import tiny
from typer.testing import CliRunner

from m2e import cli
from m2e.checkpoints import load as hub
from m2e.cli import features as cli_features
from m2e.cli.output_file import locked
from m2e.features import cache as features

NAMES = ["a", "b", "c", "d", "e"]
ROWS = [  # audio, moods, valence, arousal, quadrant, split
    ("a.wav", "happy;Cheerful", 7, 7, "Q1", "test"),
    ("b.wav", "sad", 3, 3, "Q3", "test"),
    ("c.wav", "Sloppy;dark", 2, 7, "Q2", "test"),
    ("d.wav", "happy", 6, 3, "Q4", "test"),
    ("e.wav", "calm", 5, 5, "Q1", "train"),
]


@pytest.fixture(scope="module")
def pipe():
    return tiny.pipeline()


@pytest.fixture
def music(tmp_path, monkeypatch, pipe):
    """The current folder: five tracks and labels.csv; the model is a tiny one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub, "load", lambda model, device: pipe)
    for seed, name in enumerate(NAMES):
        soundfile.write(f"{name}.wav", tiny.waveform(3.5, seed), tiny.SAMPLING_RATE)
    write_table(ROWS)
    return tmp_path


def write_table(rows):
    with open("labels.csv", "w", newline="") as file:
        csv.writer(file).writerows([("audio", "moods", "valence", "arousal", "quadrant", "split"), *rows])


def run(*arguments, data="folder"):
    return CliRunner().invoke(cli.app, ["evaluate", "--data", data, "--folder", ".", "--resamples", "20", *arguments])


def result_in(file):
    (result,) = json.loads(file.read_text())["results"]
    return result


def test_a_model_is_scored_and_its_features_are_kept(music, pipe):
    done = run("-o", "evaluation.json", "--protocol", "clean")
    assert done.exit_code == 0, done.output
    assert "Quadrant, macro F1" in done.stdout and "4 tracks" in done.stdout and "protocol clean" in done.stdout
    assert "Sloppy" in done.stderr
    result = result_in(music / "evaluation.json")
    assert result["split"] == "test" and result["tracks"] == 4 and result["tracks_without_record"] == []
    assert result["dataset"] == {"name": music.name, "id": "folder"} and result["moods_ignored"] == {"Sloppy": 1}
    assert result["scores"]["mood_tags"] == 0 and set(result["tags_left_out"]) >= {"happy", "sad", "calm"}
    (kept,) = (music / "runs" / "features").iterdir()
    assert kept.name.startswith(f"{music.name}-") and len(list(kept.iterdir())) == 2  # embeddings and harmony
    assert f"no features in {kept.relative_to(music)}" in done.stderr and "no features" not in run().stderr

    records = [pipe(f"{name}.wav") for name in NAMES[:4]]
    right = [record.quadrant == row[4] for record, row in zip(records, ROWS, strict=False)]
    assert result["scores"]["quadrant_accuracy"] == sum(right) / 4
    errors = [(record.valence - row[2]) ** 2 for record, row in zip(records, ROWS, strict=False)]
    # cached embeddings are of half precision
    assert result["scores"]["rmse_valence"] == pytest.approx((sum(errors) / 4) ** 0.5, abs=1e-3)


def test_features_of_the_same_folder_are_used_whoever_made_them(music, pipe, monkeypatch):
    monkeypatch.setattr(cli_features, "load_processor", lambda *settings: pipe.processor)
    made = CliRunner().invoke(cli.app, ["features", "--data", "folder", "--folder", str(music)])
    assert made.exit_code == 0, made.output
    monkeypatch.setattr(features, "cached_features", partial(only_read, features.feature_cache))
    done = run()
    assert done.exit_code == 0 and "no features" not in done.stderr, done.output


def only_read(feature_cache, ids, paths, processor, folder, report):
    cache = feature_cache(folder, zip(ids, paths, strict=True), processor)
    assert not cache.jobs()
    return [cache.features()[track] for track in ids]


def test_tracks_of_two_data_sets_may_have_the_same_names(music):
    (music / "other").mkdir()
    for name in NAMES:
        soundfile.write(f"other/{name}.wav", tiny.waveform(4.5, 9), tiny.SAMPLING_RATE)
    (music / "other" / "labels.csv").write_text((music / "labels.csv").read_text())
    assert run().exit_code == 0
    assert run("--folder", "other").exit_code == 0
    assert len(list((music / "runs" / "features").iterdir())) == 2


def test_records_of_an_earlier_run_score_the_same(music, pipe, monkeypatch):
    assert run("-o", "model.json").exit_code == 0
    lines = [pipe(f"{name}.wav").to_json() for name in NAMES]
    (music / "records.jsonl").write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(hub, "load", None)  # no model is loaded
    done = run("--predictions", "records.jsonl", "-o", "records.json")
    assert done.exit_code == 0, done.output
    assert "1 of the 5 records" in done.stderr  # that of the training track
    one, other = (result_in(music / f"{name}.json")["scores"] for name in ("model", "records"))
    assert one.keys() == other.keys()
    for name, value in one.items():  # records are rounded to 4 decimals, and random weights tell tracks hardly apart
        if name.startswith(("quadrant", "r2", "rmse", "mood_ece", "mood_tags")):
            assert other[name] == pytest.approx(value, abs=2e-3), name


def test_results_of_other_data_stay_in_the_file(music):
    for split in ("test", "train", "test"):
        assert run("--split", split, "-o", "evaluation.json").exit_code == 0
    results = json.loads((music / "evaluation.json").read_text())["results"]
    assert [result["split"] for result in results] == ["train", "test"]


def test_a_second_command_on_the_file_is_refused_before_anything_is_computed(music, monkeypatch):
    monkeypatch.setattr(hub, "load", None)
    with locked("out.json"):
        done = run("-o", "out.json")
    assert done.exit_code == 2 and "Another command is writing to out.json" in done.stderr
    assert not (music / "runs").exists() and not list(music.glob("*out.json*"))


def test_a_card_can_be_made_of_the_file(music):
    from m2e.publish.scores import results

    assert run("-o", "evaluation.json").exit_code == 0
    (result,) = results(json.loads((music / "evaluation.json").read_text()))
    assert result.split == "test" and "r2_valence" in result.scores and "mood_roc_auc" not in result.scores


def test_a_track_that_fails_is_left_out_and_reported(music):
    (music / "b.wav").write_bytes(b"no audio")
    done = run("--option", "check=off", "-o", "evaluation.json")
    assert done.exit_code == 1 and "b.wav" in done.stderr and "1 of 4 tracks" in done.stderr
    result = result_in(music / "evaluation.json")
    assert result["tracks"] == 3 and result["tracks_without_record"] == ["b"]
    assert result["options"] == {"check": "off"}


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--split", "validation"], "no track in split validation; it has test, train"),
        (["--option", "moods=mood"], "has no column mood"),
        (["--option", "labels"], "give NAME=VALUE"),
        (["--option", "depth=3"], "no columns depth in the schema"),
        (["--model", "x", "--predictions", "y"], "give one of them"),
        (["--predictions", "absent.jsonl"], "absent.jsonl"),
        (["--predictions", "labels.csv"], "is no record"),
        (["--predictions", "empty.jsonl"], "None of the 4 tracks has a record"),
        (["-o", "foreign.json"], "is not a file of m2e evaluate"),
        (["-o", "absent/evaluation.json"], "cannot be written"),
    ],
)
def test_wrong_usage_is_one_sentence(music, arguments, words):
    (music / "foreign.json").write_text('{"model": "m2e-small", "folds": {}}')
    (music / "empty.jsonl").write_text("")
    done = run(*arguments)
    assert done.exit_code == 2 and words in done.stderr
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.output
    assert (music / "foreign.json").read_text().startswith('{"model"')


def test_a_bug_is_not_made_a_sentence(music, monkeypatch):
    def broken(*_, **__):
        raise ValueError("operands could not be broadcast together")

    monkeypatch.setattr("m2e.evaluation.score.score", broken)
    done = run()
    assert done.exit_code == 1 and isinstance(done.exception, ValueError) and "broadcast" not in done.stderr


def test_unknown_data_sets_are_named(music):
    done = run(data="nonsense")
    assert done.exit_code == 2 and "mtg-jamendo" in done.stderr


def test_published_numbers_stand_beside_ours(music, monkeypatch):
    from m2e import datasets
    from m2e.datasets.generic import read_folder

    monkeypatch.setattr(datasets, "read_dataset", lambda name, folder, **options: read_folder(folder))
    done = run(data="deam")
    assert done.exit_code == 0, done.output
    shown = done.stdout.split("Published for this test set")[1]
    assert "0.5184" in shown and "here" in shown and "4 tracks here, 270 there" in shown
    assert "--option labels=published" in " ".join(shown.split())
    assert "Published" not in run("--split", "train", data="deam").stdout
