"""What an evaluation.json says comes out whole: as results, in the model-index, in the tables."""

import pytest
import yaml

from m2e.errors import PublishError
from m2e.publish.scores import eval_results, model_index, results, score_table, scores_section

SCORES = ("quadrant_f1", "quadrant_accuracy", "r2_valence", "r2_arousal", "mood_roc_auc", "mood_pr_auc")
PANDA4Q = {"name": "4q", "dataset": {"name": "Panda 4Q", "id": "panda-4q"}}
FOLDED = {
    "results": [
        PANDA4Q
        | {
            "split": "test",
            "scores": {name: 0.5 + index / 100 for index, name in enumerate(SCORES)} | {"mood_tags": 21},
        }
    ],
    "seeds": [0, 1],
    "over_seeds": {f"4q.{name}": {"mean": 0.6, "std": 0.02} for name in SCORES},
    "folds": {
        "number": 5,
        "results": [
            PANDA4Q
            | {
                "split": "folds",
                "scores": dict.fromkeys(SCORES, 0.65),
                "intervals": {name: [0.6, 0.7] for name in SCORES},
            }
        ],
        "over_seeds": {f"4q.{name}": {"mean": 0.7, "std": 0.01} for name in SCORES},
    },
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


@pytest.mark.parametrize("evaluation", [FOLDED, SEVERAL], ids=["folds", "several"])
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
    if "folds" in evaluation:
        for metric in SCORES:
            assert found["panda-4q", None, "test", metric] == evaluation["results"][0]["scores"][metric]
        assert len(found) == len(SCORES)  # neither counts nor scores out of fold
    else:
        assert found["deam", "clean", "test", "r2_valence"] == 0.5123
        assert found["pop909", None, "test", "key"] == 0.95
        assert found["deam", "clean, labels=published", "test", "r2_arousal"] == 0.4
        assert len(found) == 5  # neither undefined ones nor counts


def test_tables_show_the_same_scores():
    table = score_table(FOLDED, FOLDED["results"][0])
    assert "| | folds, one network | test, one network | folds | test, these weights |" in table
    assert "| Valence, R2 | 0.700 ± 0.010 | 0.600 ± 0.020 | 0.650 (0.600 – 0.700) | 0.520 |" in table
    assert table in scores_section(FOLDED)
    seeds = {name: FOLDED[name] for name in ("results", "seeds", "over_seeds")}
    assert "| Valence, R2 | 0.600 ± 0.020 | 0.520 |" in scores_section(seeds)
    text = scores_section(SEVERAL)
    assert "| DEAM | test, clean | Valence, R2 | 0.512 |  |" in text
    assert "| DEAM | test, clean, labels=published | Arousal, R2 | 0.400 | 0.300 – 0.500 |" in text
    assert "| POP909 | test | Chords, WCSR majmin | 0.900 |" in text


@pytest.mark.parametrize("damage", ["dataset", "split", "scores"])
def test_incomplete_evaluation(damage):
    broken = {name: value for name, value in (DEAM | {"scores": {"r2_valence": 0.5}}).items() if name != damage}
    with pytest.raises(PublishError, match="evaluation.json has a result without dataset, split or scores"):
        results({"results": [broken]})


def test_the_newer_form_of_scores_has_the_data_sets_that_are_on_the_hub():
    emomusic = DEAM | {
        "dataset": {"name": "EmoMusic", "id": "emomusic"},
        "scores": {"r2_valence": 0.61239, "tracks": 9},
    }
    mine = {"dataset": {"name": "Mine", "id": "me/songs"}, "split": "test", "scores": {"r2_arousal": 0.5}}
    files = eval_results({"results": [emomusic, mine, *SEVERAL["results"]]}, "me/model")
    assert list(files) == [".eval_results/m-a-p--EMO.yaml", ".eval_results/me--songs.yaml"]
    (entry,) = yaml.safe_load(files[".eval_results/m-a-p--EMO.yaml"])
    assert entry["dataset"] == {"id": "m-a-p/EMO", "task_id": "r2_valence"} and entry["value"] == 0.6124
    assert entry["source"]["url"] == "https://huggingface.co/me/model/blob/main/evaluation.json"
    assert entry["notes"] == "test, clean"
    assert eval_results(FOLDED, "me/model") == {} == eval_results({}, "me/model")
