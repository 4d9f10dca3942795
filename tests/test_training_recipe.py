"""Recipes: those that are shipped, their ablations, settings from the outside, and what is refused."""

import pytest

from m2e.errors import TrainingError

pytest.importorskip("yaml")

from m2e.training.recipe import Objective, PartDropout, parse_setting, read_recipe

SHIPPED = ("m2e-small", "mert-95m", "mert-95m-paper", "fine-tune", "leave-one-out")
LEAST = "name: a\nlicense: mit\nstart: m2e-small\ndatasets: {x: , y: {reader: folder}}\n"
LEAST += "training: {epochs: 2, batch_size: 4, learning_rate: 1e-4}\n"


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_recipes_and_all_their_ablations_are_read(fixtures, name):
    import yaml

    path = fixtures.parent.parent / "configuration" / f"{name}.yaml"
    assert read_recipe(path).name
    for ablation in yaml.safe_load(path.read_text()).get("ablations", {}):
        assert read_recipe(path, [ablation]) != read_recipe(path), ablation


def test_the_paper_is_followed(fixtures):
    recipe = read_recipe(fixtures.parent.parent / "configuration" / "mert-95m-paper.yaml")
    assert (recipe.objective.teacher_weight, recipe.objective.temperature, recipe.objective.va) == (0.8, 1.0, "mse")
    assert (recipe.training.batch_size, recipe.training.learning_rate, recipe.training.epochs) == (8, 1e-4, 200)
    assert recipe.encoder["layers"] == [6, 7] and recipe.protocol == "paper"
    alone = recipe.alone("deam")
    assert list(alone.datasets) == ["deam"] and alone.objective.distillation is None
    assert alone.datasets["deam"].options == {"labels": "published"} and alone.datasets["deam"].teacher is None


def test_defaults_and_types(file):
    recipe = read_recipe(file(LEAST))
    assert recipe.training.learning_rate == 1e-4  # a word to YAML
    assert recipe.datasets["x"].reader == "x" and recipe.datasets["y"].reader == "folder"
    assert recipe.objective == Objective() and recipe.seeds == (0,)


def test_ablations_and_settings_change_single_values(file):
    path = file(LEAST + "ablations:\n  half: {datasets: [x], training.epochs: 1}\n  ccc: {objective.va: ccc}\n")
    recipe = read_recipe(path, ["half", "ccc"], dict(map(parse_setting, ["seeds=[1, 2]", "model.dropout=0.1"])))
    assert list(recipe.datasets) == ["x"] and recipe.training.epochs == 1 and recipe.objective.va == "ccc"
    assert recipe.seeds == (1, 2) and recipe.model == {"dropout": 0.1} and recipe.name == "a-half-ccc"
    assert parse_setting("datasets.x.options.check=off") == ("datasets.x.options.check", "off")
    assert read_recipe(path, settings={"seeds": 3}).seeds == (3,)


def test_parts_that_are_dropped(file):
    part = "{of: embeddings, columns: [0, 200], share: 0.3}"
    for given in (part, f"[{part}]"):
        recipe = read_recipe(file(LEAST.replace("epochs: 2", f"epochs: 2, part_dropout: {given}")))
        assert recipe.training.part_dropout == (PartDropout("embeddings", 0.3, (0, 200)),)
    assert read_recipe(file(LEAST)).training.part_dropout == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- 1", "no recipe"),
        ("a: [", "not YAML"),
        (LEAST + "epochs: 3", "unknown settings epochs"),
        (LEAST.replace("epochs: 2", "epoch: 2"), "unknown settings epoch:"),
        (LEAST.replace("epochs: 2,", ""), "lacks epochs"),
        (LEAST.replace("epochs: 2", "epochs: two"), "epochs is 'two'"),
        (LEAST.replace("epochs: 2", "epochs: 2.5"), "epochs is 2.5"),
        (LEAST.replace("epochs: 2", "epochs: 0"), "above 0"),
        (LEAST.replace("epochs: 2", "epochs: 2, part_dropout: [{of: chords, share: 0.1}]"), "'chords'"),
        (LEAST.replace("epochs: 2", "epochs: 2, part_dropout: {of: embeddings, share: 2}"), "share is 2.0"),
        (LEAST.replace("epochs: 2", "epochs: 2, part_dropout: {of: embeddings}"), "part_dropout lacks share"),
        (
            LEAST.replace("epochs: 2", "epochs: 2, part_dropout: [{of: embeddings, share: 1, columns: [2, 2]}]"),
            "columns is [2, 2]",
        ),
        (LEAST.replace("epochs: 2", "epochs: 2, part_dropout: 3"), "holds 3"),
        (LEAST + "objective: {distillation: theirs}", "theirs"),
        (LEAST + "objective: {class_balanced: 3}", "true or false"),
        (LEAST + "encoder: {nets: []}", "one of the two"),
        (LEAST.replace("start: m2e-small", "encoder: {id: x}") + "moods: start", "no start"),
        (LEAST.replace("datasets: {x: , y: {reader: folder}}", ""), "no data set"),
        (LEAST.replace("x: ,", "x: 3,"), "datasets.x"),
        (LEAST.replace("x: ,", "x: {teacher: 3},"), "datasets.x, teacher is 3: give a word"),
        (LEAST + "model: paper", "model is 'paper': give settings"),
        (LEAST.replace("name: a", "name: {b: c}"), "name is {'b': 'c'}: give a word"),
    ],
)
def test_faults_are_named_in_a_sentence(file, text, expected):
    with pytest.raises(TrainingError) as error:
        read_recipe(file(text))
    assert expected in str(error.value) and str(error.value).endswith(".")


def test_unknown_names_are_refused(file, tmp_path):
    path = file(LEAST + "ablations: {other: {datasets: [z]}}")
    for ablations, expected in ((["none"], "'none': other"), (["other"], "no data set z: x, y")):
        with pytest.raises(TrainingError, match=expected):
            read_recipe(path, ablations)
    with pytest.raises(TrainingError, match="NAME=VALUE"):
        parse_setting("training.epochs")
    with pytest.raises(TrainingError, match="name is a value"):
        read_recipe(path, settings={"name.x": 1})
    with pytest.raises(TrainingError, match="cannot be read"):
        read_recipe(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("content", "words"), [(b"[" * 100_000, "is nested too deeply"), (b"\xff\xfe\x00", "is not YAML")]
)
def test_files_that_are_no_recipe_are_refused_in_a_sentence(tmp_path, content, words):
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=words) as error:
        read_recipe(path)
    assert "\n" not in str(error.value)
