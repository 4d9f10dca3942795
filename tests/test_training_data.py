"""Features with labels from recipes and folders: unreadable tracks, and the moods of the model."""

import pytest
import soundfile
import tiny

from m2e.errors import DataError, M2EError, TrainingError

pytest.importorskip("accelerate")
pytest.importorskip("datasets")

from m2e.datasets.schema import Track, to_dataset  # noqa: E402
from m2e.training import data as material  # noqa: E402
from m2e.training.loop import make_accelerator  # noqa: E402
from m2e.training.recipe import read_recipe

RECIPE = "name: a\nlicense: mit\nstart: m2e-small\ndatasets: {mine: {reader: folder}}\n"
RECIPE += "training: {epochs: 2, batch_size: 4, learning_rate: 1e-4}\n"


@pytest.fixture(scope="module")
def pipe():
    return tiny.pipeline()


@pytest.fixture
def dataset(tmp_path):
    """Three clips; the second is no audio."""
    for seed, name in enumerate("ac"):
        soundfile.write(tmp_path / f"{name}.wav", tiny.waveform(3.0, seed), tiny.SAMPLING_RATE)
    (tmp_path / "b.wav").write_bytes(b"words")
    moods = {"a": (["warm", "slow"], "train"), "b": (None, "train"), "c": (["odd"], "test")}
    tracks = [Track(id=k, audio=tmp_path / f"{k}.wav", moods=words, split=split) for k, (words, split) in moods.items()]
    return to_dataset("three clips", tracks)


def test_tracks_that_cannot_be_read_are_reported_by_all_processes(dataset, pipe, tmp_path, monkeypatch):
    monkeypatch.setattr(material, "gather_object", lambda own: [*own, "of another process"])
    said = []
    found = material.with_features("mine", dataset, pipe.processor, tmp_path / "f", make_accelerator(), said.append)
    assert len(said) == 2 and "b.wav" in said[0] and said[1] == "mine: skipped: of another process"
    assert found.dataset["id"][:] == ["a", "c"] and len(found.features) == 2
    assert found.rows("train").tolist() == [0] and found.rows("test").tolist() == [1]
    assert found.tracks(found.rows("train"), ["slow", "new"]).labels.moods[0].tolist()[0] == 1
    with pytest.raises(TrainingError, match="None of the 1 tracks of mine"):
        none = dataset.select([1])
        material.with_features("mine", none, pipe.processor, tmp_path / "g", make_accelerator(), said.append)


def test_moods_are_those_of_training_tracks_unless_the_recipe_says_others(dataset, pipe, tmp_path):
    (tmp_path / "recipe.yaml").write_text(RECIPE)

    def moods(choice, tracks=dataset):
        recipe = read_recipe(tmp_path / "recipe.yaml", settings={"moods": choice})
        return material.moods_of(recipe, [tracks], pipe.model)

    assert moods("data") == ["slow", "warm"]
    assert moods("start") == pipe.model.config.moods == moods("data", dataset.select([1]))
    assert moods(["z", "warm"]) == ["z", "warm"] and len(moods("jamendo")) == 56
    with pytest.raises(TrainingError, match="moods is 'mine'"):
        moods("mine")


def test_a_recipe_says_whether_silence_is_skipped(pipe, tmp_path, monkeypatch):
    asked = []

    def from_pretrained(name, **settings):
        asked.append((name, settings))
        return pipe.processor.encoder

    monkeypatch.setattr(material.MertEncoder, "from_pretrained", from_pretrained)
    text = RECIPE.replace("start: m2e-small", "encoder: {id: someone/mert, layers: [1]ADDED}")
    for added, expected in (("", False), (", skip_silence: true", True)):
        (tmp_path / "recipe.yaml").write_text(text.replace("ADDED", added))
        processor, start = material.load_parts(read_recipe(tmp_path / "recipe.yaml"), None, None)
        assert processor.feature_extractor.skip_silence is expected and start is None
    assert asked == [("someone/mert", {"layers": [1]})] * 2


def test_the_holes_of_all_copies_are_one_report(tmp_path):
    import miniatures

    for name in ("pmemo", "emomusic"):
        getattr(miniatures, name)(tmp_path / name)
    next((tmp_path / "pmemo").rglob("4.mp3")).unlink()
    (tmp_path / "recipe.yaml").write_text(
        RECIPE.replace("{mine: {reader: folder}}", "{pmemo: {}, emomusic: {}, deam: {}, folder: {}}")
    )
    recipe = read_recipe(tmp_path / "recipe.yaml")
    with pytest.raises(DataError) as raised:
        material.read_datasets(recipe, {name: str(tmp_path / name) for name in recipe.datasets})
    message = str(raised.value)
    for part in ("1 missing audio files (", "4.mp3", "EmoMusic in", "labels of 3 tracks, not 744", "deam holds no"):
        assert part in message
    assert "\n" not in message and message.endswith(
        "skip what is missing with --set datasets.pmemo.options.check=partial datasets.emomusic.options.check=partial."
    )


@pytest.mark.parametrize(
    ("encoder", "expected"),
    [
        ({"nets": ["fcn_msd"]}, "give their --encoder"),
        ({"layers": [1]}, "neither nets nor an id"),
        ({"type": "muq", "id": "x"}, "an unknown type: give m2e-encoder, mert or transformers"),
        ({"type": "transformers", "id": "x"}, "needs an id and layers"),
    ],
)
def test_encoders_that_cannot_be_made(tmp_path, encoder, expected):
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    recipe = read_recipe(tmp_path / "recipe.yaml", settings={"start": None, "encoder": encoder})
    with pytest.raises(M2EError, match=expected):
        material.load_parts(recipe, None, None)
