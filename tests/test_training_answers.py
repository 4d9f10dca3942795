"""What is fitted on predictions for held-out tracks, recovered from planted errors."""

import json

import numpy as np
import pytest

pytest.importorskip("sklearn")

from m2e.errors import TrainingError  # noqa: E402
from m2e.training import answers, held_out  # noqa: E402
from m2e.training.held_out import HeldOut  # noqa: E402
from modeling_m2e.answers_m2e import Answers, Width  # noqa: E402
from modeling_m2e.configuration_m2e import M2EConfig  # noqa: E402

N = 4000
CONFIG = M2EConfig.default(["calm", "dark"], num_quadrants=4, neutral_valence=5.1, neutral_arousal=4.8)


def tracks(n=N, seed=0) -> HeldOut:
    """Errors that grow with the spread of the members, and of excerpts with the root of 30 s over their length."""
    rng = np.random.default_rng(seed)
    labels = rng.normal(5.0, 1.5, (n, 2))
    spread = rng.uniform(0.1, 0.6, (n, 2))
    excerpts = np.array([5.0, 10.0, 40.0])
    noise = (spread + 0.05) * rng.normal(0, 2.0, (n, 2))
    shorter = np.sqrt(30 / excerpts)[None, :, None] * (spread + 0.05)[:, None] * rng.normal(0, 2.0, (n, 3, 2))
    shorter[:, 2] = np.nan  # none is longer than 40 s
    quadrants = rng.integers(-1, 4, n)
    logits = 3 * np.log(rng.dirichlet(np.ones(4), n))
    for row, label in enumerate(quadrants):
        if label >= 0:  # drawn from what the logits, three times too sure, should say
            quadrants[row] = rng.choice(4, p=np.exp(logits[row] / 3))
    return HeldOut(
        mood_logits=rng.normal([-2.0, 0.0], 1.0, (n, 2)),
        va=labels + noise,
        labels=labels,
        quadrants=quadrants,
        quadrant_logits=logits,
        seconds=np.full(n, 30.0),
        spread=spread,
        excerpt_va=labels[:, None] + shorter,
        excerpt_spread=np.repeat(spread[:, None], 3, 1),
        excerpt_seconds=excerpts,
    )


@pytest.fixture(scope="module")
def held():
    return {"clips": tracks()}


@pytest.fixture(scope="module")
def fitted(held):
    return answers.fit(CONFIG, held, level=0.8)


def test_intervals_hold_their_share_of_new_tracks_of_every_spread_and_length(fitted):
    new = tracks(seed=1)
    for axis, width in enumerate((fitted.intervals.valence, fitted.intervals.arousal)):
        assert isinstance(width, Width) and width.spread == pytest.approx(1.0, abs=0.1)
        assert width.seconds == pytest.approx(-0.5, abs=0.05)
        groups = {"few doubts": new.spread[:, axis] < 0.25, "doubts": new.spread[:, axis] > 0.45}
        for rows in groups.values():
            assert covered(width, new.va[rows, axis], new, rows, axis, 30.0) == pytest.approx(0.8, abs=0.04)
        for place, seconds in enumerate((5.0, 10.0)):
            rows = np.full(N, True)
            assert covered(width, new.excerpt_va[:, place, axis], new, rows, axis, seconds) == pytest.approx(
                0.8, abs=0.04
            )


def covered(width, values, new, rows, axis, seconds) -> float:
    scale = width.scale(new.spread[rows, axis], seconds)
    errors = new.labels[rows, axis] - values
    return float(((-width.below * scale <= errors) & (errors <= width.above * scale)).mean())


def test_less_audio_is_less_certain(fitted):
    certainty = [fitted.intervals.certainty(seconds) for seconds in (3.0, 15.0, 30.0, 300.0)]
    assert (
        certainty == sorted(certainty) and certainty[2:] == [1.0, 1.0] and certainty[0] == pytest.approx(0.32, abs=0.03)
    )


def test_rates_temperature_and_percentiles(fitted, held):
    probabilities = 1 / (1 + np.exp(-held["clips"].mood_logits))
    assert fitted.mood_base_rates == pytest.approx(probabilities.mean(0))
    assert fitted.quadrant_temperature == pytest.approx(3.0, rel=0.1)
    assert fitted.percentiles.of("valence", float(np.median(held["clips"].va[:, 0]))) == pytest.approx(50.0, abs=0.1)
    assert "4000 tracks of clips" in fitted.percentiles.reference
    assert Answers.read(json.loads(json.dumps(fitted.to_dict())), 2) == fitted


def test_nothing_is_said_about_what_was_not_learnt(held):
    config = M2EConfig.default(["calm", "dark"])
    config.trained_tasks = ["quadrant"]
    found = answers.fit(config, {"clips": HeldOut(**{**vars(held["clips"]), "labels": np.full((N, 2), np.nan)})})
    assert found.mood_base_rates is None and found.percentiles is None and found.intervals is None


def test_few_labels_give_no_interval():
    few = tracks(answers.MIN_LABELS - 1)
    assert answers.fit(CONFIG, {"few": few}).intervals is None


@pytest.mark.parametrize(("level", "expected"), [(0.8, (8.0, 8.0)), (0.5, (5.0, 5.0))])
def test_conformal_tails_have_their_share(level, expected):
    assert answers.conformal(np.arange(-9.0, 10.0), level) == expected
    assert answers.conformal(np.array([1.0, 2.0, 3.0]), level) == (0.0, 3.0)  # too few: the whole range


# --- the scale ---


def test_nothing_is_moved_unless_it_is_asked_for(held, fitted):
    assert fitted.calibration is None
    assert answers.calibration(M2EConfig.default(["calm"]), list(held.values()), center=True, stretch=0.0) is None


@pytest.mark.parametrize("stretch", [0.0, 1.0])
def test_the_centre_is_five_and_lost_deviation_is_given_back(stretch):
    rng = np.random.default_rng(0)
    labels = rng.normal([5.1, 4.8], [1.5, 1.0], (N, 2))
    shrunk = [5.1, 4.8] + 0.6 * (labels - [5.1, 4.8])
    each = HeldOut(**{**vars(tracks()), "va": shrunk, "labels": labels})
    found = Answers(calibration=answers.calibration(CONFIG, [each], center=True, stretch=stretch))
    assert found.calibrated(np.array([5.1, 4.8])) == pytest.approx([5.0, 5.0])
    assert found.calibrated(np.array([[1.0, 1.0], [9.0, 9.0]])) == pytest.approx(np.array([[1.0, 1.0], [9.0, 9.0]]))
    deviations = found.calibrated(shrunk).std(0)
    assert deviations == pytest.approx(labels.std(0) if stretch else shrunk.std(0), rel=0.04)
    many = np.linspace(1, 9, 999)
    assert (np.diff(found.calibrated(np.stack([many, many], 1)), axis=0) > 0).all()
    first = answers.report(CONFIG, {"clips": each}, found)[0]
    assert "clips, valence: R2 0.83" in first or "clips, valence: R2 0.84" in first
    same_scale = float(first.partition("(")[2][:5])
    assert same_scale > 0.98 if stretch else same_scale == pytest.approx(0.84, abs=0.02)


def test_a_share_beyond_one_is_refused(held):
    with pytest.raises(TrainingError, match="stretch is 2"):
        answers.fit(CONFIG, held, stretch=2)


# --- the command ---


def test_the_command_writes_what_a_model_loads(tmp_path, held, capsys):
    CONFIG.save_pretrained(tmp_path)
    held_out.save(tmp_path, held)
    records = tmp_path / "reference.jsonl"
    row = {
        "path": "a",
        "duration": 9.0,
        "quadrant": "Q1",
        "moods": [],
        "selected_moods": [],
        "model": "m",
        "error": None,
    }
    values = [row | {"valence": 1 + at / 25, "arousal": 5.0} for at in range(200)]
    records.write_text("".join(json.dumps(each) + "\n" for each in values))
    answers.main([str(tmp_path), "--center", "--reference", str(records), "--name", "made tracks"])
    found = Answers.read(M2EConfig.from_pretrained(tmp_path).answers, 2)
    assert found.calibration is not None and found.percentiles.reference == "made tracks"
    assert found.percentiles.of("valence", 4.98) == pytest.approx(50, abs=0.5)
    assert capsys.readouterr().out.count("clips, ") == 2
    assert held_out.load(tmp_path)["clips"].va == pytest.approx(held["clips"].va)


def test_a_folder_without_predictions_is_named(tmp_path):
    CONFIG.save_pretrained(tmp_path)
    with pytest.raises(SystemExit, match="held_out.npz cannot be read"):
        answers.main([str(tmp_path)])
