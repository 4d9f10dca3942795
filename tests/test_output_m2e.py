import json
import math
from collections import namedtuple

import numpy as np
import pytest
import torch

from modeling_m2e.chord_labels_m2e import ChordSegment
from modeling_m2e.configuration_m2e import M2EConfig
from modeling_m2e.key_m2e import Key, KeySegment
from modeling_m2e.output_m2e import calibrate, compose
from modeling_m2e.record_m2e import CurvePoint, FailedTrack, Mood, MusicEmotion, record_of
from modeling_m2e.scale_m2e import quadrant

Span = namedtuple("Span", "start end")
FIELDS = "path duration valence arousal quadrant moods selected_moods key chords curve model error".split()


@pytest.fixture
def record():
    return MusicEmotion(
        path="söng.mp3",
        duration=183.20049,
        valence=6.123456,
        arousal=5.4,
        quadrant="Q1",
        moods=[Mood("happy", 0.834567), Mood("sad", 0.1)],
        selected_moods=["happy"],
        key=Key("C", "major", 0.81),
        chords=[ChordSegment(0.0, 1.92345, "C:maj")],
        curve=[CurvePoint(0.0, 30.0, 5.9, 5.1)],
        model="m2e-small",
    )


def test_the_record_is_the_contract(record):
    assert record.to_dict() == {
        "path": "söng.mp3",
        "duration": 183.2,
        "valence": 6.1235,
        "arousal": 5.4,
        "quadrant": "Q1",
        "moods": [{"label": "happy", "score": 0.8346}, {"label": "sad", "score": 0.1}],
        "selected_moods": ["happy"],
        "key": {"tonic": "C", "mode": "major", "confidence": 0.81},
        "chords": [{"start": 0.0, "end": 1.923, "label": "C:maj"}],
        "curve": [{"start": 0.0, "end": 30.0, "valence": 5.9, "arousal": 5.1}],
        "model": "m2e-small",
        "error": None,
    }
    assert list(record.to_dict()) == FIELDS


def test_json_is_one_line_in_field_order(record):
    text = record.to_json()
    assert "\n" not in text and "söng" in text
    assert list(json.loads(text)) == FIELDS and json.loads(text) == record.to_dict()


def test_a_record_is_a_mapping(record):
    assert dict(record) == record.to_dict() and {**record} == record.to_dict()
    assert record["valence"] == 6.1235 and record.valence == 6.123456
    assert record["moods"][0]["label"] == "happy"
    assert len(record) == 12 and "moods" in record and "mood" not in record and record.get("mood") is None
    with pytest.raises(KeyError):
        record["mood"]


def test_keys_over_time_are_a_field_only_where_they_were_asked_for(record):
    assert record.key_segments is None and "key_segments" not in record
    with pytest.raises(KeyError):
        record["key_segments"]
    record.key_segments = [
        KeySegment(0.0, 100.00049, "C major", 0.812345),
        KeySegment(100.00049, 183.2, "D major", 0.7),
    ]
    first = {"start": 0.0, "end": 100.0, "key": "C major", "confidence": 0.8123}
    assert record["key_segments"][0] == json.loads(record.to_json())["key_segments"][0] == first
    assert [name for name in record if name != "key_segments"] == FIELDS and len(record) == 13
    record.key_segments = []  # asked for, and no key decided
    assert record.to_dict()["key_segments"] == []


def test_a_failure_is_null_but_for_its_sentence():
    failed = FailedTrack("a.mp3", "a.mp3 holds no audio.", "m2e-small").to_dict()
    assert failed == {**dict.fromkeys(FIELDS), "path": "a.mp3", "model": "m2e-small", "error": "a.mp3 holds no audio."}
    assert list(failed) == FIELDS


@pytest.mark.parametrize(
    ("valence", "arousal", "expected"),
    [(7, 7, "Q1"), (3, 7, "Q2"), (3, 3, "Q3"), (7, 3, "Q4"), (5, 5, "Q1"), (4.999, 5, "Q2"), (5, 4.999, "Q4")],
)
def test_quadrants_are_russells(valence, arousal, expected):
    assert quadrant(valence, arousal) == expected


def test_quadrants_meet_where_the_scale_is_neutral():
    assert quadrant(5.5, 5.5, neutral_valence=6.0, neutral_arousal=5.0) == "Q2"


def test_calibrate_is_a_scaled_shifted_sigmoid_without_overflow():
    got = calibrate([0.5, -2.0, 1000.0, -1000.0], [2.0, 1.0, 1.0, 1.0], [0.5, -0.5, 0.0, 0.0])
    np.testing.assert_allclose(got, [1 / (1 + math.exp(-1.5)), 1 / (1 + math.exp(2.5)), 1, 0], rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(calibrate([0.0, math.log(3)]), [0.5, 0.75])


def test_published_rule_is_reproduced(fixtures):
    """With the weighting undone, the selected moods are still those whose published score is above 0.5."""
    golden = np.load(fixtures / "head" / "forward.npz")
    config = M2EConfig.paper()
    for logits, va, published in zip(
        golden["classification"], golden["regression"], golden["probabilities"], strict=True
    ):
        answer = compose(logits, va, config=config)
        expected = {mood for mood, score in zip(config.moods, published, strict=True) if score > 0.5}
        assert expected and set(answer.selected_moods) == expected
        p = np.array(config.mood_frequencies)  # odds of the published score, times p
        odds = published / (1 - published) * p
        scores = {mood.label: mood.score for mood in answer.moods}
        np.testing.assert_allclose([scores[mood] for mood in config.moods], odds / (1 + odds), rtol=1e-4)


def test_compose_orders_selects_clips_and_keeps_harmony():
    config = M2EConfig.default(["calm", "tense", "sad"], mood_thresholds=[0.5, 0.95, 0.2], mood_scale=[1.0, 2.0, 1.0])
    answer = compose(
        torch.tensor([0.1, 1.0, -1.0], dtype=torch.bfloat16, requires_grad=True),
        torch.tensor([9.7, 0.2]),
        window_va=torch.tensor([[0.0, 5.0], [6.0, 12.0], [5.0, 5.0]]),  # the third is padding of a batch
        windows=[Span(0, 30), Span(30, 41.5)],
        config=config,
        path="a.wav",
        duration=41.5,
        key=Key("A", "minor", 0.5),
        chords=(ChordSegment(0.0, 41.5, "A:min"),),
        model="m",
    )
    assert [mood.label for mood in answer.moods] == ["tense", "calm", "sad"]
    assert answer.moods[0].score == pytest.approx(1 / (1 + math.exp(-2)))
    assert answer.selected_moods == ["calm", "sad"]  # tense is best, but below its own threshold
    assert (answer.valence, answer.arousal, answer.quadrant) == (9.0, 1.0, "Q4")
    assert answer.curve == [CurvePoint(0.0, 30.0, 1.0, 5.0), CurvePoint(30.0, 41.5, 6.0, 9.0)]
    assert answer.key.tonic == "A" and answer.chords == [ChordSegment(0.0, 41.5, "A:min")]
    assert (answer.path, answer.duration, answer.model, answer.error) == ("a.wav", 41.5, "m", None)
    json.loads(answer.to_json())


def test_quadrant_logits_decide_the_quadrant():
    config = M2EConfig.default(["calm"], num_quadrants=4)
    assert compose([0.0], [7.0, 7.0], [0.1, 0.3, 2.0, -1.0], config=config).quadrant == "Q3"
    assert compose([0.0], [7.0, 7.0], config=config).quadrant == "Q1"


def test_without_windows_and_harmony_the_parts_are_null():
    answer = compose([0.0], [5.0, 5.0], config=M2EConfig.default(["calm"]))
    assert answer.curve is None and answer.key is None and answer.chords is None and answer.duration is None
    assert compose([0.0], [5.0, 5.0], chords=[], config=M2EConfig.default(["calm"])).chords == []


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_values_that_are_not_finite_are_refused(poison):
    config = M2EConfig.default(["calm"])
    for outputs in ([poison], [5.0, 5.0]), ([0.0], [poison, 5.0]):
        with pytest.raises(ValueError, match="a.wav"):
            compose(*outputs, config=config, path="a.wav")
    with pytest.raises(ValueError, match="finite"):
        compose([0.0], [5.0, 5.0], window_va=[[5.0, poison]], windows=[Span(0, 1)], config=config)


def test_more_windows_than_values_are_refused():
    with pytest.raises(ValueError, match="2 windows"):
        compose(
            [0.0],
            [5.0, 5.0],
            window_va=[[5.0, 5.0]],
            windows=[Span(0, 1), Span(1, 2)],
            config=M2EConfig.default(["calm"]),
        )


def test_warnings_are_fields_only_where_there_are_any(record):
    record.seconds_used = 18.12345
    assert record.warnings == [] and list(record) == FIELDS
    record.warnings = ["The file is truncated."]
    assert list(record) == [*FIELDS, "seconds_used", "warnings"]
    assert json.loads(record.to_json())["warnings"] == ["The file is truncated."] and record["seconds_used"] == 18.123
    assert FailedTrack("a.mp3", "a.mp3: is empty.").warnings is None
    config = M2EConfig.default(["calm"])
    answer = compose([0.0], [5.0, 5.0], config=config, seconds_used=3.0, warnings=("One.",))
    assert (answer.seconds_used, answer.warnings) == (3.0, ["One."])


# --- answers ---


def test_the_head_and_the_place_agree_or_the_record_says_between():
    config = M2EConfig.default(["calm"], num_quadrants=4)
    clear = compose([0.0], [7.0, 7.0], [4.0, 0.0, 0.0, 0.0], config=config)
    assert clear.quadrant == "Q1" and clear.between is None and clear["between"] is None
    assert sum(clear["quadrant_scores"].values()) == pytest.approx(1.0, abs=1e-3)
    assert list(clear["quadrant_scores"]) == ["Q1", "Q2", "Q3", "Q4"] and clear["quadrant_scores"]["Q1"] > 0.9
    unsure = compose([0.0], [5.2, 4.0], [0.0, 0.0, 2.0, 0.0], config=config)
    assert unsure.quadrant == "Q3" and unsure.between == ["Q3", "Q4"]
    without = compose([0.0], [7.0, 7.0], config=M2EConfig.default(["calm"]))
    assert "quadrant_scores" not in without and "between" not in without


def test_the_answers_of_a_config_select_moods_and_calibrate():
    answers = {
        "mood_base_rates": [0.2, 0.4],
        "quadrant_temperature": 2.0,
        "calibration": {
            "valence": {"source": [1.0, 5.2, 9.0], "target": [1.0, 5.0, 9.0]},
            "arousal": {"source": [1.0, 4.0, 4.6, 5.2, 9.0], "target": [1.0, 3.5, 5.0, 6.5, 9.0]},
        },
    }
    config = M2EConfig.default(
        ["dark", "film"],
        mood_thresholds=[0.99, 0.99],
        num_quadrants=4,
        neutral_valence=5.2,
        neutral_arousal=4.6,
        answers=answers,
    )
    found = compose([0.5, 0.0], [5.1, 5.2], [0.0, 2.0, 0.0, 0.0], [[5.2, 4.6]], windows=[Span(0, 30)], config=config)
    assert found.selected_moods == ["dark"] and found.summary == "Dark and tense"
    assert (found.valence, found.arousal) == (pytest.approx(4.90476, abs=1e-4), pytest.approx(6.5))
    assert (found.curve[0].valence, found.curve[0].arousal) == (5.0, 5.0)  # neutral
    assert found.between is None and found.quadrant_scores["Q2"] == pytest.approx(math.e / (math.e + 3))
    plain = M2EConfig.default(["dark", "film"], mood_thresholds=[0.99, 0.99])
    assert compose([0.5, 0.0], [5.1, 5.2], config=plain).selected_moods == []  # without base rates: as before


def test_intervals_and_percentiles_are_around_the_calibrated_value():
    width = {"constant": 0.0, "spread": 1.0, "seconds": -0.5, "below": 1.0, "above": 2.0}
    answers = {
        "intervals": {"level": 0.8, "valence": width, "arousal": width},
        "percentiles": {"reference": "made tracks", "valence": [1, 5, 9], "arousal": [5, 6, 7]},
    }
    config = M2EConfig.default(["calm"], answers=answers)
    found = compose([0.0], [7.0, 5.3], va_spread=[0.45, 0.95], config=config, duration=30.0)
    assert found["valence_interval"] == [6.5, 8.0] and found["arousal_interval"] == [4.3, 7.3]
    assert found["valence_percentile"] == 75.0 and found["arousal_percentile"] == 15.0 and found["confidence"] == 1.0
    short = compose([0.0], [7.0, 5.3], va_spread=[0.45, 0.95], config=config, duration=7.5)
    assert short["valence_interval"] == [6.0, 9.0] and short["confidence"] == 0.5  # within the scale
    assert record_of(short.to_dict()).to_dict() == short.to_dict()
    assert "confidence" not in compose([0.0], [5.0, 5.0], config=M2EConfig.default(["calm"]))


def test_segments_have_the_means_and_the_moods_of_their_windows():
    config = M2EConfig.default(["calm", "energetic"])
    windows = [Span(30 * at, 30 * at + 30) for at in range(4)]
    answer = compose(
        [0.0, 0.0],
        [5.0, 5.0],
        window_va=[[5, 3], [5, 3.2], [5, 7], [5, 6.8], [9, 9]],
        window_mood_logits=[[2, -2], [2, -2], [-2, 2], [-2, 2], [9, 9]],
        windows=windows,
        config=config,
    )
    assert [(part.start, part.end, part.moods) for part in answer.segments] == [
        (0.0, 60.0, ["calm"]),
        (60.0, 120.0, ["energetic"]),
    ]
    assert [part.arousal for part in answer.segments] == pytest.approx([3.1, 6.9])
    assert answer["segments"][0] == {"start": 0.0, "end": 60.0, "valence": 5.0, "arousal": 3.1, "moods": ["calm"]}
    assert answer.highlight.end - answer.highlight.start == 30.0
    assert record_of(answer.to_dict()).to_dict() == answer.to_dict()


def test_a_track_that_is_no_music_has_a_warning_and_no_moods():
    config = M2EConfig(id2label={0: "sad", 1: "happy"}, descriptors=["energy", "music"])

    def record(music):
        return compose([9.0, -9.0], [5.0, 5.0], descriptor_logits=[0.0, music], config=config)

    assert record(3.0).selected_moods == ["sad"] and record(3.0).warnings == []
    assert record(3.0).attributes == {"energy": 0.5} and record(3.0).music > 0.9
    assert record(-3.0).selected_moods == [] and "music" in record(-3.0).warnings[0]
    assert record(-3.0).summary is None and len(record(-3.0).moods) == 2
    assert "music" not in compose([9.0, -9.0], [5.0, 5.0], config=config)
