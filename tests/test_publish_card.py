"""The card says what configuration, evaluation and facts say."""

import json
import sys

import pytest
import tiny
import yaml

from m2e.checkpoints.load import embedded_model
from m2e.datasets.registry import DATASETS
from m2e.errors import PublishError
from m2e.publish.card import PACKAGES, card
from m2e.publish.facts import CONVERTED, Facts, is_noncommercial
from m2e.publish.scores import scores_section

EVALUATION = {
    "results": [
        {
            "name": "4q",
            "dataset": {"name": "Panda 4Q", "id": "panda-4q"},
            "split": "test",
            "scores": {"r2_valence": 0.52, "mood_tags": 21},
        },
        {
            "dataset": {"name": "DEAM", "id": "deam"},
            "split": "test",
            "protocol": "clean",
            "options": {"labels": "published"},
            "scores": {"r2_arousal": 0.4, "r2_valence": None, "rmse_arousal": float("nan")},
        },
    ],
    "seeds": [0, 1],
    "over_seeds": {"4q.r2_valence": {"mean": 0.6, "std": 0.02}},
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("card") / "tiny"
    tiny.pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    """A model folder of which the test may change the small files."""
    for path in saved.rglob("*"):
        if path.suffix in (".json", ".safetensors"):
            (tmp_path / path.relative_to(saved)).parent.mkdir(exist_ok=True)
            (tmp_path / path.relative_to(saved)).symlink_to(path)
    return tmp_path


def change(path, **entries) -> None:
    content = json.loads(path.read_text()) | entries
    path.unlink()
    path.write_text(json.dumps(content))


def metadata(text: str) -> dict:
    return yaml.safe_load(text.split("---")[1])


def model_index(text: str) -> dict:
    """(dataset id, protocol, split, metric) -> value."""
    return {
        (data["type"], data.get("config"), data["split"], metric["type"]): metric["value"]
        for entry in metadata(text).get("model-index", [])
        for each in entry["results"]
        for data in [each["dataset"]]
        for metric in each["metrics"]
    }


# --- results ---


def test_scores_stand_in_the_metadata_and_in_the_text(folder):
    Facts("tiny", "mit").save(folder)
    (folder / "evaluation.json").write_text(json.dumps(EVALUATION))
    text = card(folder)
    assert model_index(text) == {
        ("panda-4q", None, "test", "r2_valence"): 0.52,
        ("deam", "clean, labels=published", "test", "r2_arousal"): 0.4,
    }
    assert "## Results" in text and scores_section(EVALUATION) in text


def test_without_an_evaluation_there_is_no_model_index(folder):
    Facts("tiny", "mit").save(folder)
    text = card(folder)
    assert "These weights come without an evaluation" in text
    assert "model-index" not in metadata(text) and "model_name" not in metadata(text)


def test_on_the_hub_data_sets_have_their_ids_there(folder):
    Facts("tiny", "mit", datasets=["4q", "emomusic"]).save(folder)
    emomusic = EVALUATION["results"][0] | {"dataset": {"name": "EmoMusic", "id": "emomusic"}}
    (folder / "evaluation.json").write_text(json.dumps({"results": [emomusic, *EVALUATION["results"]]}))
    text = card(folder, "me/tiny")
    assert {data for data, *_ in model_index(text)} == {"m-a-p/EMO", "panda-4q", "deam"}  # the others have none
    assert metadata(text)["datasets"] == ["m-a-p/EMO"]
    assert {data for data, *_ in model_index(card(folder))} == {"emomusic", "panda-4q", "deam"}


def test_base_models(folder):
    Facts("tiny", "mit", base_models=["me/before"]).save(folder)
    assert metadata(card(folder))["base_model"] == "me/before"
    mert = {"type": "mert", "id": "m-a-p/MERT-v1-95M", "revision": "12af15fe", "layers": [6, 7]}
    change(folder / "processor_config.json", encoder_reference=mert)
    assert metadata(card(folder))["base_model"] == ["me/before", "m-a-p/MERT-v1-95M"]


# --- the rest ---


def test_metadata_and_sections(folder):
    facts = Facts(
        "m2e-teacher",
        "cc-by-nc-4.0",
        summary="The teacher of moods.",
        training=["Data: the train split."],
        limits="Not for speech.",
        license_notes=["The data are non-commercial."],
        datasets=["mtg-jamendo", "deam", "me/my-songs"],
        evaluation="m2e evaluate",
    )
    facts.save(folder)
    assert Facts.load(folder) == facts
    text = card(folder, "me/m2e-teacher")
    found = metadata(text)
    assert found["license"] == "cc-by-nc-4.0" and found["language"] == "en"
    assert found["library_name"] == "transformers" and found["pipeline_tag"] == "audio-classification"
    assert {"music", "mood", "m2e"} <= set(found["tags"]) and found["datasets"] == ["rkstgr/mtg-jamendo", "me/my-songs"]
    assert "base_model" not in found
    for line in (
        "# m2e-teacher\n",
        "The teacher of moods.",
        "**Not for commercial use.**",
        'm2e.load("me/m2e-teacher")',
        'pipeline("music-emotion", model="me/m2e-teacher", trust_remote_code=True)',
        'AutoProcessor.from_pretrained("me/m2e-teacher", trust_remote_code=True)',
        "m2e predict --model me/m2e-teacher song.mp3",
        "Encoder: musicnn_msd (frozen; MusiCNN (Pons & Serra, 2019), ISC)",
        "`LICENSE-musicnn.md`",
        "- Data: the train split.",
        f"- {DATASETS['mtg-jamendo']}",
        "run from 1 to 9, neutral near 5 and 5.",
        "The 56 moods: action, adventure,",
        "Not for speech.",
        "Evaluation command: `m2e evaluate`",
        "- The data are non-commercial.",
        "2502.03979",
    ):
        assert line in text, line
    assert "{" not in text.replace("{kang", "").replace("{park", "").split("```bibtex")[0]


def test_what_the_outputs_mean_follows_the_configuration(folder):
    Facts("tiny", "mit").save(folder)
    plain = card(folder)
    assert "the sigmoid of its logit, not calibrated" in plain and "those above 0.5." in plain
    assert "follow from valence and arousal" in plain and "Not for commercial use" not in plain
    assert "trust_remote_code=True)" not in plain  # it is not on the hub
    labels = {"0": "bright", "1": "gloomy"}
    change(folder / "config.json", mood_offset=[0, 0], mood_thresholds=[0.2, 0.3], num_quadrants=4, id2label=labels)
    text = card(folder)
    assert "a calibrated probability" in text and "the threshold of each mood." in text
    assert "A separate head predicts them" in text and "The 2 moods: bright, gloomy." in text
    line = {"source": [1, 5, 9], "target": [1, 5, 9]}
    answers = {
        "mood_base_rates": [0.1, 0.2],
        "calibration": {"valence": {"source": [1, 5.1, 9], "target": [1, 5, 9]}, "arousal": line},
        "intervals": {"level": 0.8},
        "percentiles": {"reference": "200 made tracks"},
    }
    change(folder / "config.json", answers=answers, neutral_valence=5.1)
    text = card(folder)
    assert "neutral at 5 and 5." in text and "by their lift over the base rate" in text
    assert "the labels of 80% of similar tracks" in text and "refer to 200 made tracks." in text


def test_encoder_that_is_not_for_commercial_use(folder):
    Facts("tiny", "apache-2.0").save(folder)
    mert = {"type": "mert", "id": "m-a-p/MERT-v1-95M", "revision": "12af15fe", "layers": [6, 7]}
    change(folder / "processor_config.json", encoder_reference=mert)
    text = card(folder, "me/student")
    assert metadata(text)["base_model"] == "m-a-p/MERT-v1-95M"
    assert "hidden states 6, 7" in text and "`12af15fe`" in text
    assert "under CC BY-NC 4.0. Predictions with this model are therefore not for commercial use." in text


def test_origin_of_a_chord_recogniser_alone_and_inside_a_model(folder):
    Facts("tiny", "mit").save(folder)
    assert "Harmony: BTC chord recogniser (`chords/`), 1 layers, 170 classes, smooth decoding" in card(folder)
    Facts("tiny-chords", "mit", training=["Trained on POP909."]).save(folder / "chords")
    assert "the key follows from the chords. Trained on POP909." in card(folder)
    alone = card(folder / "chords", "me/chords")
    assert 'm2e.load_chords("me/chords")' in alone and "m2e chords --model me/chords song.mp3" in alone
    assert "chord-recognition" in metadata(alone)["tags"]
    assert "The 170 classes: C:min, C," in alone and "kang2025" not in alone


def test_sample_tracks(folder):
    Facts("tiny", "mit").save(folder)
    text = card(folder, "me/tiny", clips=["examples/night_song.ogg"])
    address = "https://huggingface.co/me/tiny/resolve/main/examples/night_song.ogg"
    assert metadata(text)["widget"] == [{"example_title": "Night Song", "src": address}]
    assert f"Sample tracks (CC0): [Night Song]({address})." in text
    assert "https://colab.research.google.com/#fileId=https://huggingface.co/me/tiny/blob/main/notebook.ipynb" in text
    bare = card(folder, "me/tiny")
    assert "widget" not in metadata(bare) and "CC0" not in bare and "colab" not in bare


def test_licence_has_to_be_known(folder):
    with pytest.raises(PublishError, match=r"has no card.json with the licence of its weights: give --license."):
        card(folder)
    assert metadata(card(folder, license="mit"))["license"] == "mit"
    Facts("tiny", "cc-by-nc-4.0").save(folder)
    with pytest.raises(PublishError, match="is under cc-by-nc-4.0: omit --license mit."):
        card(folder, license="mit")


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"name": "a"}', '{"name": "a", "license": 1}', '{"name": "a", "license": "mit", "training": "b"}'],
)
def test_damaged_facts(folder, content):
    (folder / "card.json").write_text(content)
    with pytest.raises(PublishError, match="card.json does not hold the facts for a card"):
        card(folder)


def test_licences_that_forbid_commercial_use():
    assert is_noncommercial("cc-by-nc-sa-4.0") and is_noncommercial("CC BY-NC 4.0")
    assert not any(map(is_noncommercial, ("apache-2.0", "mit", "cc-by-sa-4.0", "other", "")))
    assert [is_noncommercial(CONVERTED[name].license) for name in ("BTC-ISMIR19", "Music2Emo")] == [False, False]


def test_packages_are_those_that_the_code_imports():
    from transformers.dynamic_module_utils import get_imports

    found = {name for path in (tiny.ROOT / "modeling_m2e").glob("*.py") for name in get_imports(path)}
    found -= set(sys.stdlib_module_names) | {
        "fsspec",
        "huggingface_hub",
        "numpy",
        "safetensors",
    }  # torch and transformers bring these
    assert found == set(PACKAGES.split())


# --- the model inside the package ---


def test_embedded_card_is_what_is_written_today():
    assert (embedded_model() / "README.md").read_text() == card(embedded_model())
    index = model_index(card(embedded_model()))
    evaluation = json.loads((embedded_model() / "evaluation.json").read_text())
    expected = {
        (each["dataset"]["id"], each["protocol"], each["split"], name): round(value, 4)
        for each in evaluation["results"]
        for name, value in each["scores"].items()
        if name != "mood_tags"
    }
    assert {
        (data, protocol.split(",")[0], *rest): value for (data, protocol, *rest), value in index.items()
    } == expected


def test_chords_of_the_embedded_model_have_the_scores_of_their_evaluation():
    folder = embedded_model() / "chords"
    evaluated = json.loads((folder / "evaluation.json").read_text())["results"]
    index = model_index(card(folder, "me/m2e-chords"))
    assert index == {
        ("pop909", each["protocol"], "test", metric): value
        for each in evaluated
        for metric, value in each["scores"].items()
    }
