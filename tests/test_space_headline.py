"""The one sentence about a track."""

import pytest
from space_records import full_record, record

pytest.importorskip("gradio", reason='gradio is in the extra "demo"')
from m2e.checkpoints.load import embedded_model  # noqa: E402
from m2e.space.headline import ADJECTIVES, headline  # noqa: E402
from m2e.storage import read_json  # noqa: E402


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"selected_moods": ["dark", "film", "sad", "slow"]}, "Dark and sad, C# minor"),
        ({"selected_moods": ["uplifting"], "key": None}, "Uplifting"),
        ({"selected_moods": ["film", "space"], "quadrant": "Q2"}, "Tense and angry, C# minor"),
        ({"selected_moods": [], "quadrant": "Q3", "key": None}, "Sad"),
    ],
)
def test_moods_and_key_make_a_sentence(changes, said):
    assert headline(record(**changes)) == said


def test_the_summary_of_a_record_comes_first():
    assert headline(full_record({"summary": "Dark and tense, F major, slow."})) == "Dark and tense, F major, slow"
    assert headline(full_record({"summary": None}, selected_moods=["calm"])) == "Calm, C# minor"


def test_the_adjectives_are_tags_of_the_model():
    labels = read_json(embedded_model() / "config.json", ValueError)["id2label"].values()
    assert ADJECTIVES < set(labels)
