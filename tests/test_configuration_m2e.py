import csv
import json
import math
from collections import Counter

import pytest

from modeling_m2e.configuration_m2e import (
    JAMENDO_MOOD_COUNTS,
    JAMENDO_MOOD_FREQUENCIES,
    JAMENDO_MOODS,
    JAMENDO_TRAIN_TRACKS,
    M2EConfig,
    weighting_calibration,
)


def test_the_moods_are_the_published_ones_in_order(fixtures):
    assert list(JAMENDO_MOODS) == json.loads((fixtures / "head" / "mood_tags_56.json").read_text())
    assert M2EConfig().moods == list(JAMENDO_MOODS)


def test_the_counts_are_those_of_the_official_training_set(shared):
    file = shared / "data/annotations/mtg_jamendo/split-0_autotagging_moodtheme-train.tsv"
    rows = list(csv.reader(file.open(newline=""), delimiter="\t"))[1:]
    counts = Counter(tag.removeprefix("mood/theme---") for row in rows for tag in row[5:])
    assert len(rows) == JAMENDO_TRAIN_TRACKS
    assert dict(counts) == JAMENDO_MOOD_COUNTS


def test_calibration_undoes_the_weighting():
    """The logit of least weighted loss for a tag of true probability q, plus the offset, is the log-odds of q."""
    for p in (0.005, 0.03, 0.4, 1.0):
        (offset,), (threshold,) = weighting_calibration([p])
        for q in (0.01, 0.2, 0.9):
            positive, negative = 2 / (1 + p), 2 * p / (1 + p)
            minimum = math.log(positive * q / (negative * (1 - q)))  # root of the derivative
            assert 1 / (1 + math.exp(-(minimum + offset))) == pytest.approx(q, rel=1e-9)
        assert 1 / (1 + math.exp(-offset)) == pytest.approx(threshold, rel=1e-12)  # logit 0, the published rule


def test_paper_preset_carries_its_calibration():
    config = M2EConfig.paper()
    assert (config.embedding_size, config.chord_size, config.chord_heads, config.chord_ffn_size) == (1536, 8, 8, 64)
    assert config.mood_frequencies == list(JAMENDO_MOOD_FREQUENCIES)
    happy = config.label2id["happy"]
    assert config.mood_offset[happy] == pytest.approx(math.log(927 / 9949))
    assert config.mood_thresholds[happy] == pytest.approx(927 / (9949 + 927))
    assert M2EConfig.paper(embedding_size=2048).embedding_size == 2048


def test_default_preset_weighs_only_when_told_frequencies():
    assert M2EConfig.default().mood_frequencies is None
    config = M2EConfig.default(moods=["calm", "tense", "sad"], mood_frequencies=[0.5, 0.1, 0.2], dropout=0.4)
    assert config.moods == ["calm", "tense", "sad"] and config.num_labels == 3 and config.dropout == 0.4
    assert config.label2id == {"calm": 0, "tense": 1, "sad": 2}
    assert config.mood_thresholds == pytest.approx([1 / 3, 1 / 11, 1 / 6])
    own = M2EConfig.default(moods=["a", "b"], mood_frequencies=[0.5, 0.1], mood_offset=[0.0, 0.0])
    assert own.mood_offset == [0.0, 0.0]


@pytest.mark.parametrize(
    "config",
    [
        M2EConfig(),
        M2EConfig.paper(),
        M2EConfig.default(moods=["a", "b"], num_quadrants=4, mood_scale=[1.5, 0.5], max_chords=None),
        M2EConfig(num_labels=3, use_harmony=False),
    ],
    ids=["bare", "paper", "two moods", "unnamed moods"],
)
def test_saving_and_loading_keeps_every_field(config, tmp_path):
    config.save_pretrained(tmp_path)
    loaded = M2EConfig.from_pretrained(tmp_path)
    expected, got = config.to_dict(), loaded.to_dict()
    assert got == {**expected, "transformers_version": got["transformers_version"]}
    assert loaded.moods == config.moods
    stored = json.loads((tmp_path / "config.json").read_text())
    assert stored["model_type"] == "m2e" and len(stored["label2id"]) == config.num_labels


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"use_encoder": False, "use_harmony": False}, "no input"),
        ({"embedding_norm": "batch"}, "embedding_norm"),
        ({"chord_vocabulary": "btc"}, "chord_vocabulary"),
        ({"chord_size": 10, "chord_heads": 4}, "chord_size"),
        ({"chord_size": 9, "chord_heads": 3}, "chord_size"),
        ({"pad_chords_to_max": True, "max_chords": None}, "max_chords"),
        ({"num_quadrants": 3}, "num_quadrants"),
        ({"mood_offset": [0.0]}, "mood_offset has 1 numbers for 56 moods"),
        ({"mood_frequencies": [0.0] * 56}, "frequencies"),
        ({"mood_frequencies": [1.5] * 56}, "frequencies"),
        ({"id2label": {0: "calm", 1: "calm"}}, "same name"),
    ],
)
def test_contradictions_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        M2EConfig(**fields)
