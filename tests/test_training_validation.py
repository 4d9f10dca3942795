"""What is predicted, scored and called the best."""

import numpy as np
import pytest
import torch

from m2e.errors import TrainingError
from m2e.evaluation.data import Emotions
from m2e.evaluation.metrics import NO_QUADRANT
from m2e.training.packed import LabelledTracks, PackedFeatures
from m2e.training.validation import emotions, evaluate, predict, predict_excerpts, selection_score
from modeling_m2e import M2EConfig, M2EForMusicEmotion
from modeling_m2e.output_m2e import compose

nan = float("nan")


@pytest.fixture(scope="module")
def source():
    n, none = 600, torch.zeros(0)
    torch.manual_seed(0)
    features = PackedFeatures(
        embeddings=torch.randn(2 * n, 6),
        weights=torch.ones(2 * n),
        window_offsets=np.arange(0, 2 * n + 1, 2),
        roots=none,
        qualities=none,
        durations=none,
        chord_offsets=np.zeros(n + 1, int),
        modes=torch.zeros(n),
    )
    labels = Emotions(np.full((n, 2), nan), np.full((n, 2), nan), np.full(n, NO_QUADRANT))
    labels.va[::2] = 4.0, 6.0
    labels.va[::4] = 6.0, 2.0
    return LabelledTracks("x", features, labels, np.arange(0, n, 2))


def network(**fields):
    torch.manual_seed(1)
    return M2EForMusicEmotion(
        M2EConfig.default(["a", "b"], use_harmony=False, embedding_size=6, fusion_size=8, branch_size=4, **fields)
    )


def test_excerpts_are_predicted_from_their_middle_windows(source):
    model = network()
    found = predict_excerpts(model, source, (1, 2, 4))
    assert found.shape == (300, 3, 2) and np.isnan(found[:, 1:]).all()  # no track has more than two windows
    for row in (0, 255, 256, 299):
        first = model(embeddings=source.features.embeddings[2 * source.rows[row]][None])
        assert found[row, 0] == pytest.approx(first.va[0].detach().numpy(), abs=1e-5)


@pytest.mark.parametrize("quadrants", [0, 4])
def test_predictions_are_those_of_records(source, quadrants):
    model = network(num_quadrants=quadrants, mood_offset=[1.0, -2.0], mood_scale=[2.0, 1.0], neutral_valence=5.1)
    outputs = predict(model, source)
    found = emotions(outputs, model.config)
    assert len(found) == len(source) == 300 and ("quadrant_logits" in outputs) == bool(quadrants)
    for row in (0, 255, 256, 299):  # over the border of a batch
        record = compose(**{name: values[row] for name, values in outputs.items()}, config=model.config)
        scores = {mood.label: mood.score for mood in record.moods}
        assert found.moods[row].tolist() == pytest.approx([scores["a"], scores["b"]])
        assert found.va[row].tolist() == pytest.approx([record.valence, record.arousal])
        assert f"Q{found.quadrants[row] + 1}" == record.quadrant
    one = model(embeddings=source.features.embeddings[2 * source.rows[7] :][:2].mean(0, keepdim=True))
    assert outputs["va"][7] == pytest.approx(one.va[0].detach().numpy(), abs=1e-5)


def test_only_what_is_labelled_is_scored(source):
    scores = evaluate(network(), source).scores
    assert "r2_valence" in scores and "mood_roc_auc" not in scores and "quadrant_f1" not in scores


def test_the_best_is_a_mean_over_data_sets_and_their_tasks():
    both = {"r2_valence": 0.2, "r2_arousal": 0.6, "quadrant_f1": 0.8, "rmse_valence": 9.0}
    tags = {"mood_roc_auc": 0.7, "mood_pr_auc": 0.1, "mood_ece": 0.5}
    assert selection_score({"x": both}) == pytest.approx(0.6)
    assert selection_score({"x": both, "y": tags}) == pytest.approx(0.5)
    assert selection_score({"x": both | {"r2_valence": nan}}) == pytest.approx(0.7)
    assert selection_score({"x": both, "y": tags}, ("y.mood_ece", "x.rmse_valence")) == pytest.approx(4.75)
    assert np.isnan(selection_score({"x": {"mood_roc_auc": nan}})) and np.isnan(selection_score({}))
    with pytest.raises(TrainingError, match="names y.r2: there are x."):
        selection_score({"x": both}, ("y.r2",))
