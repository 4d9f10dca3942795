"""train.py from a folder with a table to a model that predicts, with teachers and without; what it says of faults."""

import csv
import json
import runpy
import sys
from pathlib import Path

import miniatures
import numpy as np
import pytest
import soundfile
import tiny
import torch
import yaml

from m2e.errors import TrainingError

pytest.importorskip("accelerate")
pytest.importorskip("datasets")

import train  # noqa: E402
from m2e.checkpoints.load import load  # noqa: E402
from m2e.publish.repository import repository  # noqa: E402
from m2e.publish.scores import results  # noqa: E402
from modeling_m2e import M2EForMusicEmotion  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
FINE_TUNE = str(ROOT / "configuration" / "fine-tune.yaml")
SMALL = str(ROOT / "configuration" / "m2e-small.yaml")
SPLITS = ["train"] * 6 + ["validation"] * 2 + ["test"] * 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Eleven clips of 3 s; what their tables say lies in files of their own."""
    folder = tmp_path_factory.mktemp("music")
    rows = []
    for number, split in enumerate(SPLITS):
        soundfile.write(folder / f"{number}.wav", tiny.waveform(3.0, number), tiny.SAMPLING_RATE)
        moods = ["happy;mine", "mine", "sad"][number % 3]
        quadrant = f"Q{1 + number % 4}"
        rows.append([f"{number}.wav", moods, 1 + number / 11, 0.9 - number / 22, quadrant, split])
    header = ["file", "moods", "valence", "arousal", "quadrant", "split"]
    for name, columns in {"both": (0, 1, 2, 3, 5), "tags": (0, 1, 5), "ratings": (0, 2, 3, 5), "all": range(6)}.items():
        with open(folder / f"{name}.csv", "w", newline="") as file:
            csv.writer(file).writerows([[row[c] for c in columns] for row in [header, *rows]])
    with open(folder / "none.csv", "w", newline="") as file:
        csv.writer(file).writerows([["file", "moods", "split"], *([row[0], "", row[5]] for row in rows)])
    return folder


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    target = tmp_path_factory.mktemp("start") / "tiny"
    tiny.pipeline().save_pretrained(target)
    return target


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    return tmp_path_factory.mktemp("features")


@pytest.fixture
def fine_tune(folder, start, features, tmp_path):
    def run(table, *settings, out="model"):
        options = [f"datasets.mine.options.table={table}.csv", "datasets.mine.options.va_range=[0, 2]"]
        settings = [f"start={start}", "training.epochs=2", *options, *settings]
        places = ["--data", str(folder), "--out", str(tmp_path / out), "--features", str(features)]
        train.main([FINE_TUNE, *places, "--set", *settings])
        return tmp_path / out

    return run


def test_a_folder_with_a_table_becomes_a_model(fine_tune, folder, start, capsys):
    out = fine_tune("both")
    record = load(out)(str(folder / "0.wav"))
    assert sorted(mood.label for mood in record.moods) == ["happy", "mine", "sad"] and record.key is not None
    evaluation = json.loads((out / "evaluation.json").read_text())
    (result,) = results(evaluation)
    assert result.split == "test" and {"r2_valence", "mood_ece"} <= result.scores.keys()
    assert len((out / "training.jsonl").read_text().splitlines()) == 2
    files = repository(out, "me/mine")
    assert {
        "card.json",
        "evaluation.json",
        "training.jsonl",
        "chords/config.json",
        "encoder/config.json",
    } <= files.keys()
    card = (out / "README.md").read_text()
    assert "6 / 2 / 3" in card and "Continued from tiny" in card and str(folder) not in card
    assert "epoch 2 of 2" in capsys.readouterr().err
    # the encoder's weights are those that the features are of
    assert load(out).processor.encoder_reference == load(start).processor.encoder_reference


def test_the_same_command_again_gives_the_same_model(fine_tune):
    out = fine_tune("both")
    before = {path.name: path.read_bytes() for path in out.glob("*.*") if path.is_file()}
    fine_tune("both")
    assert {path.name: path.read_bytes() for path in out.glob("*.*") if path.is_file()} == before


def test_what_the_table_does_not_label_is_kept(fine_tune, folder, start):
    clip = str(folder / "9.wav")
    before = load(start)(clip)
    tags = load(fine_tune("tags", "training.epochs=6", out="tags"))(clip)
    assert [tags.valence, tags.arousal] == pytest.approx([before.valence, before.arousal], abs=0.2)
    ratings = load(fine_tune("ratings", "training.epochs=6", "training.learning_rate=0.002", out="ratings"))(clip)
    kept = {mood.label: mood.score for mood in ratings.moods}
    assert kept == pytest.approx({mood.label: mood.score for mood in before.moods}, abs=0.1)
    assert abs(ratings.valence - before.valence) > 0.5  # of clips that are rated far from 5


def test_tracks_without_labels_learn_from_a_teacher(fine_tune, start):
    config = M2EForMusicEmotion.from_pretrained(fine_tune("none")).config
    assert config.trained_tasks == ["mood", "va"] and config.moods == load(start).model.config.moods
    with pytest.raises(SystemExit, match="No training track of mine has a label, and no teacher knows one: check"):
        fine_tune("none", "objective.distillation=null", out="mute")


def test_quadrants_get_a_branch_and_seeds_are_summed_up(fine_tune):
    out = fine_tune("all", "seeds=[0, 5]", "calibrate=true")
    assert M2EForMusicEmotion.from_pretrained(out).config.num_quadrants == 4
    evaluation = json.loads((out / "evaluation.json").read_text())
    assert evaluation["seeds"] == [0, 5] and "mine.quadrant_f1" in evaluation["over_seeds"]
    assert (out / "seeds" / "5" / "checkpoint.pt").is_file()


def test_folds_and_an_ensemble_of_a_folder(fine_tune, folder):
    settings = ["folds=2", "seeds=[0, 5]", "ensemble=true", "calibrate=true", "training.choose=last"]
    out = fine_tune("all", *settings)
    evaluation = json.loads((out / "evaluation.json").read_text())
    assert evaluation["seeds"] == [0, 5] and evaluation["folds"]["number"] == 2
    for part, split, tracks in ((evaluation, "test", 3), (evaluation["folds"], "folds", 8)):
        (each,) = part["results"]
        assert (each["name"], each["split"], each["tracks"]) == ("mine", split, tracks)
        assert "mine.quadrant_f1" in part["over_seeds"] and "quadrant_f1" in each["intervals"]
    assert M2EForMusicEmotion.from_pretrained(out).config.num_members == 2
    assert len(load(out)(str(folder / "0.wav")).moods) == 3
    card = (out / "README.md").read_text()
    assert "2 folds of train + validation" in card and "Seeds 0, 5;" in card and "| folds, one network |" in card
    with pytest.raises(SystemExit, match="no validation set is left to choose the best epoch by"):
        fine_tune("all", "folds=2")
    with pytest.raises(SystemExit, match="There are 8 artists in train and validation, but folds is 9"):
        fine_tune("all", "folds=9", "training.choose=last", out="many")


@pytest.fixture
def small(start, tmp_path):
    """m2e-small's recipe from the start of the tests, on a small 4Q of which a clip is no audio."""
    clips = miniatures.panda4q_table(tmp_path / "4q")
    (clips / "audio" / "MT1.opus").write_bytes(b"no audio")

    def run(*settings):
        changes = [f"start={start}", "encoder=null", 'model={"num_quadrants": 4}', "training.part_dropout=[]"]
        changes += ["folds=2", "seeds=[0, 1]", "training.epochs=1", 'datasets=["4q"]', "datasets.4q.options.check=off"]
        places = ["--data", str(clips), "--out", str(tmp_path / "small"), "--features", str(tmp_path / "features")]
        train.main([str(ROOT / "configuration" / "m2e-small.yaml"), *places, "--set", *changes, *settings])
        return tmp_path / "small"

    return clips, run


def test_a_clip_that_is_no_audio_is_skipped(small, capsys):
    clips, run = small
    logits = np.zeros((12, 2), np.float32)
    np.savez(clips / "soft_labels.npz", moods=["happy", "space"], moods_logits=logits, va=np.full((12, 2), 5.0))
    evaluation = json.loads((run() / "evaluation.json").read_text())
    assert [part["results"][0]["tracks"] for part in (evaluation["folds"], evaluation)] == [8, 3]
    assert "4q: skipped: " in (said := capsys.readouterr().err) and "MT1.opus" in said


def test_soft_labels_that_are_missing(small):
    clips, run = small
    with pytest.raises(SystemExit) as ended:
        run()
    assert f"soft_labels.npz, is missing: put the file into {clips}, or train without it" in str(ended.value)
    assert (run("objective.distillation=null") / "README.md").is_file()


def test_a_data_set_without_a_head_is_refused(fine_tune, folder):
    (folder / "quadrants.csv").write_text("file,quadrant,split\n0.wav,Q1,train\n1.wav,Q2,train\n9.wav,Q3,test\n")
    settings = ["model.num_quadrants=0", "objective.distillation=null"]
    with pytest.raises(SystemExit, match="mine has labels of quadrant alone, for which the model has no head"):
        fine_tune("quadrants", *settings)


@pytest.fixture
def paper(folder, features, tmp_path):
    """The paper's recipe with a MERT of toy size and two data sets."""
    mert = tmp_path / "mert"
    mert.mkdir()
    for name, content in tiny.published_mert(width=48).items():
        (mert / name).write_bytes(content)
    recipe = yaml.safe_load((ROOT / "configuration" / "mert-95m-paper.yaml").read_text())
    recipe["encoder"]["id"] = str(mert)
    recipe["training"]["epochs"] = 2
    recipe["datasets"] = {
        "tags": {"reader": "folder", "teacher": "own", "options": {"table": "tags.csv"}},
        "ratings": {"reader": "folder", "teacher": "own", "options": {"table": "ratings.csv", "va_range": [0, 2]}},
    }
    path = tmp_path / "paper.yaml"
    path.write_text(yaml.safe_dump(recipe))
    places = ["--data", f"tags={folder}", f"ratings={folder}", "--features", str(features), "--out"]
    return path, places, tmp_path / "student"


def test_a_teacher_for_each_data_set_then_the_student(paper):
    path, places, out = paper
    train.main([str(path), *places, str(out)])
    tags, ratings = (M2EForMusicEmotion.from_pretrained(f"{out}-teacher-{name}") for name in ("tags", "ratings"))
    assert tags.config.trained_tasks == ["mood"] and ratings.config.trained_tasks == ["va"]
    assert tags.config.moods == ["happy", "mine", "sad"] and ratings.config.moods == []
    assert (tags.va_branch[-1].weight == 0).all() and tags.va_branch[-1].bias.tolist() == [5, 5]
    assert "not trained on valence and arousal" in Path(f"{out}-teacher-tags", "README.md").read_text()
    student = M2EForMusicEmotion.from_pretrained(out)
    assert student.config.trained_tasks == ["mood", "va"] and student.config.chord_vocabulary == "paper"
    assert student.config.mood_frequencies == pytest.approx([1 / 3, 2 / 3, 1 / 3])
    assert len(results(json.loads((out / "evaluation.json").read_text()))) == 2
    assert "Distillation (paper) from a teacher for each data set" in (out / "README.md").read_text()

    log = (out / "training.jsonl").read_text()
    train.main([str(path), *places, f"{out}-alone", "--set", "objective.distillation=null"])
    assert not Path(f"{out}-alone-teacher-tags").exists()
    assert (Path(f"{out}-alone") / "training.jsonl").read_text() != log


def test_another_seed_or_input_is_another_model(paper):
    path, places, out = paper
    settings = ["objective.distillation=null", 'datasets=["ratings"]']
    train.main([str(path), *places, str(out), "--set", *settings])
    train.main([str(path), *places, f"{out}-no_harmony", "--set", *settings, "model.use_harmony=false"])
    whole, no_harmony = (M2EForMusicEmotion.from_pretrained(folder) for folder in (out, f"{out}-no_harmony"))
    assert whole.config.use_harmony and not no_harmony.config.use_harmony
    assert not torch.equal(whole.va_branch[-1].weight, no_harmony.va_branch[-1].weight)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["none.yaml", "--data", "x"], "none.yaml cannot be read"),
        ([FINE_TUNE, "--data", "nowhere"], "nowhere holds no labels.csv"),
        ([FINE_TUNE, "--data", "nowhere", "--set", "start=nowhere"], "nowhere"),
        ([FINE_TUNE, "--data", "x", "--set", "training.epoch=1"], "unknown settings epoch:"),
        ([FINE_TUNE, "--data", "x", "--set", "task=key"], "task 'key': choose emotion or chords"),
        ([str(ROOT / "configuration" / "chords.yaml"), "--set", "gain=high"], "gain is 'high': give a number"),
        ([str(ROOT / "configuration" / "chords.yaml")], "features holds no validation-*.npz"),
        (
            [SMALL, "--data", "4q=x", "emopia=y", "emotify=z", "productions=p", "compositions=c"],
            "panda_dataset_taffc_metadata.csv nor metadata.csv: give the 4Q folder; y holds no midis",
        ),
    ],
)
def test_faults_end_in_one_sentence(tmp_path, arguments, expected):
    with pytest.raises(SystemExit) as ended:
        train.main([*arguments, "--out", str(tmp_path / "out"), "--features", str(tmp_path / "features")])
    message = str(ended.value)
    assert message.startswith("train: ") and expected in message and "\n" not in message
    assert not (tmp_path / "out").exists()


def test_a_chord_recogniser_needs_features(tmp_path):
    with pytest.raises(SystemExit, match="give their folders by --features"):
        train.main([str(ROOT / "configuration" / "chords.yaml"), "--out", str(tmp_path / "out")])


def test_options_that_are_repeated_add_up():
    arguments = ["r.yaml", "--out", "o", "--set", "a=1", "b=2", "--data", "x=1", "--set", "c=3", "--data", "y=2"]
    read = train.parser().parse_args(arguments)
    assert (read.set, read.data) == (["a=1", "b=2", "c=3"], ["x=1", "y=2"])
    assert train.parser().parse_args(arguments[:3]).set == []  # none is left from the call before


def test_data_folders_are_matched_by_name(fixtures):
    from m2e.training.recipe import read_recipe

    one = read_recipe(FINE_TUNE)
    assert train.data_folders(one, ["a/b"]) == {"mine": "a/b"} == train.data_folders(one, ["mine=a/b"])
    four = read_recipe(ROOT / "configuration" / "mert-95m.yaml")
    given = {"deam": "x", "pmemo": "y=z", "emomusic": "e", "mtg-jamendo": "j"}
    assert train.data_folders(four, [f"{name}={folder}" for name, folder in given.items()]) == given
    with pytest.raises(TrainingError, match="does not say which"):
        train.data_folders(four, ["x", "deam=y"])
    with pytest.raises(TrainingError, match="trained on emomusic, mtg-jamendo too"):
        train.data_folders(four, ["deam=x", "pmemo=y"])
    small = read_recipe(SMALL)
    folders = {"4q": "a", "emopia": "b", "emotify": "c", "productions": "d", "compositions": "e"}
    assert train.data_folders(small, [f"{name}={folder}" for name, folder in folders.items()]) == folders
    alone = read_recipe(ROOT / "configuration" / "m2e-small.yaml", settings={"datasets": ["4q"]})
    assert train.data_folders(alone, ["a"]) == {"4q": "a"}


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(SystemExit, match=r'needs accelerate: install it with pip install "m2e\[train\]"'):
        runpy.run_path(str(ROOT / "train.py"))
