"""How files name what was evaluated."""

import pytest

from m2e.evaluation.report import dataset_names, result
from m2e.evaluation.score import Evaluation


@pytest.mark.parametrize(
    ("data", "folder", "names"),
    [
        ("deam", "/data/DEAM", {"name": "DEAM", "id": "deam"}),
        ("4q", "x", {"name": "Panda 4Q", "id": "panda-4q"}),
        ("hub", "somebody/music", {"name": "somebody/music", "id": "somebody/music"}),
    ],
)
def test_data_sets_that_all_have(data, folder, names):
    assert dataset_names(data, folder) == names


@pytest.mark.parametrize("data", ["folder", "hub"])
def test_a_folder_of_ones_own_has_its_name_but_not_its_place(tmp_path, monkeypatch, data):
    (tmp_path / "music").mkdir()
    monkeypatch.chdir(tmp_path)
    for folder in ("music", str(tmp_path / "music") + "/"):
        assert dataset_names(data, folder) == {"name": "music", "id": data}


def test_files_among_the_options_are_named_without_their_place(tmp_path):
    (tmp_path / "labels.csv").write_text("id\n")
    options = {"table": str(tmp_path / "labels.csv"), "labels": "published", "check": False}
    entry = result("m", "folder", str(tmp_path), "test", None, options, Evaluation(0, {}, {}, {}, [], None, 0, 0.95, 0))
    assert entry["options"] == {"table": "labels.csv", "labels": "published", "check": False}
