"""Transfer between miniature data sets: each is left out in turn, with harmony and without."""

import json
import sys

import miniatures
import numpy as np
import pytest
import tiny

pytest.importorskip("accelerate")
pytest.importorskip("datasets")

sys.path.insert(0, str(tiny.ROOT / "benchmarks"))
import leave_one_out  # noqa: E402

from m2e.datasets.emotify import EMOTIONS  # noqa: E402
from m2e.evaluation import paired  # noqa: E402
from m2e.evaluation.data import Emotions  # noqa: E402

RECIPE = tiny.ROOT / "configuration" / "leave-one-out.yaml"
SETS = {
    "4q": {},
    "emotify": {"options": {"moods": {"sadness": "sad", "power": "heavy"}}},  # no quadrants
    "merge": {"train_only": True, "options": {"check": "partial"}},
}
SETTINGS = ["training.epochs=2", "seeds=[0, 1]", "model.fusion_size=16", "model.branch_size=8", "model.chord_layers=1"]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Folder by data set. Of MERGE's four songs two are of 4Q too, and one of an artist of Emotify."""
    root = tmp_path_factory.mktemp("sets")
    rows = []
    for number in range(8):
        shares = np.random.default_rng(number).uniform(0, 0.6, len(EMOTIONS)).round(3)
        rows.append((str(number + 1), "rock", "Cyd" if number == 0 else f"Band {number}", 1.0, *shares))
        sound = miniatures.sound(root / "emotify" / "audio" / f"{number + 1:03d}.wav", 1 + number / 10)
        sound.rename(sound.with_suffix(".opus"))
    miniatures.table(root / "emotify" / "labels.csv", f"track_id,genre,artist,duration,{','.join(EMOTIONS)}", rows)
    miniatures.panda4q_table(root / "4q")
    miniatures.merge(root / "merge")
    return {name: root / name for name in SETS}


@pytest.fixture
def command(places, tmp_path, monkeypatch):
    """What runs the benchmark, and the folder of its results."""
    pipe = tiny.pipeline()
    monkeypatch.setattr(leave_one_out, "load_parts", lambda recipe, encoder, chords: (pipe.processor, None))
    monkeypatch.setattr(paired, "MIN_POSITIVES", 1)

    def run(*more):
        data = [f"{name}={place}" for name, place in places.items()]
        settings = [f"datasets={json.dumps(SETS)}", *SETTINGS, *more]
        folders = ["--out", str(tmp_path / "out"), "--features", str(tmp_path / "features")]
        leave_one_out.main([str(RECIPE), "--data", *data, *folders, "--set", *settings, "--resamples", "20"])

    return run, tmp_path / "out"


def test_every_set_is_left_out_in_turn(command, monkeypatch):
    run, out = command
    trained, real = [], leave_one_out.Trainer.train

    def watched(trainer, learnt, held_out, seed, folder):
        sizes = {name: len(rows) for name, rows in learnt.items()}
        trained.append((sizes, trainer.recipe.model.get("use_harmony", True), seed, held_out))
        return real(trainer, learnt, held_out, seed, folder)

    monkeypatch.setattr(leave_one_out.Trainer, "train", watched)
    run()
    order = [(True, 0), (True, 1), (False, 0), (False, 1)]
    assert len(trained) == 3 * 2 * 2 and [each[1:3] for each in trained[:4]] == order
    content = json.loads((out / "leave-one-out.json").read_text())
    rows = {(row["left_out"], row["score"]): row for row in content["rows"]}
    assert ("merge", "quadrant_f1") in rows and ("emotify", "quadrant_f1") not in rows  # which has none
    assert {left_out for left_out, score in rows if score == "r2_valence"} == set(SETS)
    learnt = trained[-1][0]
    assert learnt.keys() == {"4q", "emotify"} and learnt["4q"] == 8  # of 9: MERGE has MT1; MT3 is in 4Q's test split
    assert trained[0][0]["merge"] == 0  # MT1 and MT3 are in 4Q, and A2 is of the artist of MT3
    assert rows["4q", "r2_valence"]["learnt"] == {"emotify": 7, "merge": 0}
    for row in content["rows"]:
        low, high = row["with"]["interval"]
        assert row["left_out"] not in row["learnt"]
        assert row["tracks"] == {"4q": 12, "emotify": 8, "merge": 4}[row["left_out"]]
        if np.isfinite([low, high]).all():
            assert low <= row["with"]["value"] <= high
    assert any(row["with"]["value"] != row["without"]["value"] for row in content["rows"])
    text = (out / "leave-one-out.md").read_text()
    assert "| left out | tracks | learnt | score | with harmony | without | difference | harmony helps |" in text
    assert "| 4q | 12 | emotify 7, merge 0 | Arousal, Pearson |" in text

    run()  # all networks are there: nothing is learnt again, and the table stays
    assert (out / "leave-one-out.md").read_text() == text


def test_faults(command, capsys):
    run, _ = command
    with pytest.raises(SystemExit, match="has one data set: to leave one out"):
        run('datasets={"4q": null}')
    with pytest.raises(SystemExit, match="trained on emopia too"):
        run('datasets={"4q": null, "emopia": null}')


def test_only_what_both_sides_know_is_scored():
    moods = np.array([[1.0, 0.0], [0.0, 1.0]])
    labels = Emotions(moods, np.array([[3.0, 4.0], [5.0, 6.0]]), np.array([0, 3]))
    learnt = [Emotions(np.array([[1.0, 0.0], [np.nan, np.nan]]), labels.va, labels.quadrants)]
    found = leave_one_out.comparable(labels, learnt, ("mood", "va"))
    assert np.isnan(found.moods[:, 1]).all() and found.moods[:, 0].tolist() == [1, 0]
    assert leave_one_out.scored_names(found) == [*leave_one_out.SCORES["va"], *leave_one_out.SCORES["mood"]]
    found = leave_one_out.comparable(labels, learnt, ("quadrant",))
    assert leave_one_out.scored_names(found) == ["quadrant_f1"]


def test_the_shipped_recipe_is_read():
    recipe = leave_one_out.read_recipe(RECIPE)
    assert list(recipe.datasets) == ["4q", "emopia", "emotify"] and recipe.objective.distillation is None
    alone = leave_one_out.case(recipe, "4q", leave_one_out.HARMONY["without"])
    assert list(alone.datasets) == ["emopia", "emotify"] and alone.model["use_harmony"] is False
