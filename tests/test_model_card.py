"""The card says what the evaluation says."""

import yaml

from m2e.model_card import SCORES, card_data, score_table, write_card

RECIPE = {
    "name": "m2e-test",
    "seeds": [0, 1],
    "encoder": {"nets": ["fcn_msd"]},
    "targets": {"mood_teacher_share": 0.5, "va_teacher_share": {"valence": 0.0, "arousal": 0.2}},
    "model": {"neutral_valence": 5.1},
}
EVALUATION = {
    "folds": {name: {"mean": 0.7, "std": 0.01} for name in SCORES},
    "test": {name: {"mean": 0.6, "std": 0.02} for name in SCORES} | {"mood_tags": {"mean": 21.0, "std": 0.0}},
    "shipped_test": {name: 0.5 + index / 100 for index, name in enumerate(SCORES)},
}


def test_model_index_equals_the_evaluation():
    index = yaml.safe_load(card_data("m2e-test", EVALUATION).to_yaml())["model-index"]
    metrics = {metric["type"]: metric["value"] for metric in index[0]["results"][0]["metrics"]}
    assert metrics == EVALUATION["shipped_test"]


def test_card_is_complete(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"0" * 2_000_000)
    write_card(tmp_path, RECIPE, EVALUATION, clips=10, artists=7, chord_layers=4)
    card = (tmp_path / "README.md").read_text()
    assert "license: cc-by-nc-sa-4.0" in card and "CC BY-NC-SA 4.0" in card
    assert "2.0 MB" in card and "10 clips" in card and "by 7" in card and "{" not in card.split("```")[-1]
    assert "| Valence, R2 | 0.700 ± 0.010 | 0.600 ± 0.020 | 0.520 |" in score_table(EVALUATION)
    assert [path.name for path in tmp_path.glob("*.partial")] == []
