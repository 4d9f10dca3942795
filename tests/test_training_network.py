"""Networks to begin with: new ones that know the features' statistics, and continued ones that forget nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from m2e.errors import TrainingError
from m2e.evaluation.data import Emotions
from m2e.training.network import continued, ensemble, fit_scale, neutralise_untrained_va, new_network
from m2e.training.packed import LabelledTracks, PackedFeatures
from m2e.training.validation import predict
from modeling_m2e import M2EConfig, M2EForMusicEmotion
from modeling_m2e.output_m2e import calibrate

SMALL = {"use_harmony": False, "fusion_size": 8, "branch_size": 4}


@pytest.fixture(scope="module")
def source():
    n = 9
    none = torch.zeros(0)
    features = PackedFeatures(
        embeddings=torch.randn(n, 6, generator=torch.Generator().manual_seed(0)) * 3 + 2,
        weights=torch.ones(n),
        window_offsets=np.arange(n + 1),
        roots=none,
        qualities=none,
        durations=none,
        chord_offsets=np.zeros(n + 1, int),
        modes=torch.zeros(n),
    )
    labels = Emotions(np.zeros((n, 2)), np.full((n, 2), 5.0), np.zeros(n, int))
    return LabelledTracks("x", features, labels, np.arange(n))


@pytest.fixture(scope="module", params=[1, 3])
def start(request):
    torch.manual_seed(0)
    calibration = {"mood_scale": [2.0, 0.5], "mood_offset": [1.0, -1.0], "mood_thresholds": [0.3, 0.7]}
    fields = SMALL | calibration | {"num_quadrants": 4, "neutral_valence": 5.2, "num_members": request.param}
    return M2EForMusicEmotion(M2EConfig.default(["a", "b"], embedding_size=6, **fields)).eval()


def probabilities(model, inputs):
    config = model.config
    scores = calibrate(model(**inputs).mood_logits, config.mood_scale, config.mood_offset)
    return dict(zip(config.moods, scores.T, strict=True))


def test_a_new_network_knows_statistics_labels_and_weighting(source):
    model = new_network(SMALL, ["a", "b"], [0.5, 0.1], [source])
    embeddings = source.features.embeddings
    assert torch.allclose(model.m2e.embedding_mean, embeddings.mean(0), atol=1e-5)
    assert torch.allclose(model.m2e.embedding_std, embeddings.std(0), atol=1e-5)
    assert model.config.moods == ["a", "b"] and model.config.mood_frequencies == [0.5, 0.1]
    paper = new_network({"preset": "paper"}, ["a"], None, [source])
    assert paper.config.chord_vocabulary == "paper" and paper.config.mood_frequencies is None


def test_settings_that_there_are_not(source):
    for settings, expected in (({"preset": "big"}, "'big'"), ({"fusion": 3}, "fusion"), ({"num_quadrants": 3}, "3")):
        with pytest.raises(TrainingError, match=expected):
            new_network(settings, ["a"], None, [source])


@pytest.mark.parametrize("frequencies", [None, [0.2, 0.1, 0.4]])
def test_a_continued_network_says_the_same_of_what_it_knows(start, frequencies):
    inputs = {"embeddings": torch.randn(4, 6)}
    model = continued(start, {}, ["b", "new", "a"], frequencies).eval()
    before, after = probabilities(start, inputs), probabilities(model, inputs)
    for mood in ("a", "b"):
        assert after[mood] == pytest.approx(before[mood], abs=1e-6)
    assert torch.equal(model(**inputs).va, start(**inputs).va)
    assert torch.equal(model(**inputs).quadrant_logits, start(**inputs).quadrant_logits)
    assert model.config.mood_thresholds[0] == 0.7 and model.config.mood_thresholds[2] == 0.3
    assert model.config.neutral_valence == 5.2


def test_a_continued_network_may_get_a_branch_but_no_other_shape(start):
    torch.manual_seed(0)
    plain = M2EForMusicEmotion(M2EConfig.default(["a"], embedding_size=6, **SMALL))
    assert continued(plain, {"num_quadrants": 4}, ["z"], None).config.num_quadrants == 4
    with pytest.raises(TrainingError, match="fusion"):
        continued(start, {"fusion_size": 16}, ["a"], None)
    with pytest.raises(TrainingError, match="leave its sizes"):
        continued(start, {"num_quadrants": 0}, ["a"], None)


def test_valence_and_arousal_begin_on_the_scale_of_the_labels(start, source):
    said = predict(start, source)["va"].astype(float)
    labels = np.column_stack([2 + 0.5 * said[:, 0], 9 - said[:, 1]])  # another scale; the wrong way round
    labels[3] = np.nan
    model = continued(start, {}, ["a"], None)
    fit_scale(model, [replace(source, labels=Emotions(source.labels.moods, labels, source.labels.quadrants))])
    found = predict(model, source)["va"]
    assert found[:, 0] == pytest.approx(2 + 0.5 * said[:, 0], abs=1e-4)
    assert found[:, 1] == pytest.approx(np.full(len(found), np.nanmean(labels[:, 1])), abs=1e-4)
    unlabelled = Emotions(source.labels.moods, np.full((9, 2), np.nan), source.labels.quadrants)
    before = model.va_branch[-1].weight.clone()
    fit_scale(model, [replace(source, labels=unlabelled)])
    assert torch.equal(model.va_branch[-1].weight, before)


def test_what_was_not_learnt_is_neutral(start):
    model = continued(start, {}, ["a"], None).eval()
    neutralise_untrained_va(model, ("mood", "quadrant"))
    assert model(embeddings=torch.randn(3, 6)).va.flatten().tolist() == pytest.approx([5.2, 5.0] * 3)
    assert model.config.trained_tasks == ["mood", "quadrant"]
    kept = continued(start, {}, ["a"], None)
    neutralise_untrained_va(kept, ("va",))
    assert torch.equal(kept.va_branch[-1].weight, start.va_branch[-1].weight)


def test_networks_become_the_members_of_one(source):
    models = []
    for seed in range(3):
        torch.manual_seed(seed)
        models.append(new_network(SMALL | {"num_quadrants": 4}, ["a", "b"], None, [source]).eval())
    said, apart = predict(ensemble(models), source), [predict(model, source) for model in models]
    for name, values in said.items():
        assert values == pytest.approx(np.mean([each[name] for each in apart], 0), abs=1e-5)
    assert models[0].config.num_members == 1 and len(models[0].others) == 0
    assert np.array_equal(predict(ensemble(models[:1]), source)["va"], apart[0]["va"])
