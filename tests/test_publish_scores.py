"""What an evaluation.json says comes out whole: as results, in the model-index, in the tables."""

import pytest

from m2e.errors import PublishError
from m2e.publish.scores import model_index, results, score_table, scores_section

SCORES = ("quadrant_f1", "quadrant_accuracy", "r2_valence", "r2_arousal", "mood_roc_auc", "mood_pr_auc")
EVALUATION = {
    "folds": {name: {"mean": 0.7, "std": 0.01} for name in SCORES},
    "test": {name: {"mean": 0.6, "std": 0.02} for name in SCORES} | {"mood_tags": {"mean": 21.0, "std": 0.0}},
    "shipped_folds": dict.fromkeys(SCORES, 0.65),
    "intervals": {"folds": {name: [0.6, 0.7] for name in SCORES}, "test": {}},
    "shipped_test": {name: 0.5 + index / 100 for index, name in enumerate(SCORES)} | {"mood_tags": 21},
}
DEAM = {"dataset": {"name": "DEAM", "id": "deam"}, "split": "test", "protocol": "clean"}
SEVERAL = {
    "results": [
        DEAM
        | {"options": {"labels": "published"}, "scores": {"r2_arousal": 0.4}, "intervals": {"r2_arousal": [0.3, 0.5]}},
        DEAM | {"scores": {"r2_valence": 0.512345, "r2_arousal": None, "rmse_arousal": float("nan"), "tracks": 7}},
        DEAM | {"protocol": "paper", "scores": {"r2_valence": 0.6}},
        {"dataset": {"name": "POP909", "id": "pop909"}, "split": "test", "scores": {"majmin": 0.9, "key": 0.95}},
    ]
}


@pytest.mark.parametrize("evaluation", [EVALUATION, SEVERAL, EVALUATION | SEVERAL], ids=["4q", "several", "both"])
def test_model_index_equals_the_evaluation(evaluation):
    found = {
        (each.dataset_type, each.dataset_config, each.dataset_split, each.metric_type): each.metric_value
        for each in model_index(evaluation, "Music emotion recognition")
    }
    assert found == {
        (each.dataset_id, each.setting or None, each.split, metric): value
        for each in results(evaluation)
        for metric, value in each.scores.items()
    }
    assert found
    if "shipped_test" in evaluation:
        for metric in SCORES:
            assert found["panda-4q", None, "test", metric] == evaluation["shipped_test"][metric]
    if "results" in evaluation:
        assert found["deam", "clean", "test", "r2_valence"] == 0.5123
        assert found["pop909", None, "test", "key"] == 0.95
        assert found["deam", "clean, labels=published", "test", "r2_arousal"] == 0.4
        assert len(found) == 5 + 6 * ("shipped_test" in evaluation)  # neither undefined ones nor counts


def test_tables_show_the_same_scores():
    text = scores_section(EVALUATION | SEVERAL)
    assert (
        "| Valence, R2 | 0.700 ± 0.010 | 0.600 ± 0.020 | 0.650 (0.600 – 0.700) | 0.520 |"
        in score_table(EVALUATION)
        in text
    )
    assert "| DEAM | test, clean | Valence, R2 | 0.512 |  |" in text
    assert "| DEAM | test, clean, labels=published | Arousal, R2 | 0.400 | 0.300 – 0.500 |" in text
    assert "| POP909 | test | Chords, WCSR majmin | 0.900 |" in text


@pytest.mark.parametrize("damage", ["dataset", "split", "scores"])
def test_incomplete_evaluation(damage):
    broken = {name: value for name, value in (DEAM | {"scores": {"r2_valence": 0.5}}).items() if name != damage}
    with pytest.raises(PublishError, match="evaluation.json has a result without dataset, split or scores"):
        results({"results": [broken]})
