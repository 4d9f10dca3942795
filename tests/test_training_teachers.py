"""What teachers say, in the terms of the student: other label orders, other calibrations, tables, gaps."""

import numpy as np
import pytest
import tiny
import torch

from m2e.errors import TrainingError
from m2e.training import teachers
from m2e.training.teachers import ModelTeacher, TableTeacher, model_teacher, table_teacher, weighting_offsets
from modeling_m2e import M2EConfig, M2EForMusicEmotion, M2EProcessor
from modeling_m2e.feature_extraction_m2e import M2EFeatureExtractor

SMALL = {"use_harmony": False, "embedding_size": 6, "fusion_size": 8, "branch_size": 4}


def network(moods, **fields):
    torch.manual_seed(0)
    return M2EForMusicEmotion(M2EConfig.default(moods, **(SMALL | fields))).eval()


@pytest.fixture
def inputs():
    return {"embeddings": torch.randn(5, 6, generator=torch.Generator().manual_seed(1))}


def log_odds(model, inputs):
    config = model.config
    logits = model(**inputs).mood_logits.detach()
    if config.mood_scale is not None:
        logits = logits * torch.tensor(config.mood_scale)
    return logits if config.mood_offset is None else logits + torch.tensor(config.mood_offset)


def test_a_model_speaks_in_the_students_order_and_weighting(inputs):
    model = network(["a", "b", "c"], mood_scale=[2.0, 1.0, 0.5], mood_offset=[0.5, -1.0, 0.0], num_quadrants=4)
    student = M2EConfig.default(["c", "new", "a"], mood_frequencies=[0.5, 0.1, 0.01], num_quadrants=4, **SMALL)
    teacher = ModelTeacher(model, student)
    assert teacher.tasks == ("mood", "va", "quadrant")
    taught = teacher(np.arange(5), inputs)
    expected = log_odds(model, inputs)
    # a student that says this has the teacher's probabilities once its own weighting is undone
    assert torch.allclose(taught["mood"][:, 0] + np.log(0.5), expected[:, 2], atol=1e-6)
    assert torch.allclose(taught["mood"][:, 2] + np.log(0.01), expected[:, 0], atol=1e-6)
    assert taught["mood"][:, 1].isnan().all()
    assert torch.equal(taught["va"], model(**inputs).va)
    assert not any(values.requires_grad for values in taught.values())


def test_a_teacher_of_the_same_weighting_speaks_in_raw_logits(inputs):
    model = network(["a", "b"], mood_frequencies=[0.2, 0.05])  # as the paper's teachers and student
    taught = ModelTeacher(model, model.config)(np.arange(5), inputs)
    assert torch.allclose(taught["mood"], model(**inputs).mood_logits, atol=1e-6)


def test_a_model_teaches_what_it_was_trained_on_and_what_the_student_has(inputs):
    student = M2EConfig.default(["a"], **SMALL)
    assert ModelTeacher(network(["a"], trained_tasks=["va"]), student).tasks == ("va",)
    assert ModelTeacher(network(["z"]), student).tasks == ("va",)
    assert ModelTeacher(network([]), student).tasks == ("va",)
    assert ModelTeacher(network(["a"], num_quadrants=4), student).tasks == ("mood", "va")
    assert list(ModelTeacher(network(["a"], trained_tasks=["mood"]), student)(np.arange(5), inputs)) == ["mood"]


def test_a_table_is_matched_by_file_names(tmp_path, inputs):
    (tmp_path / "soft.csv").write_text("path,mood_a,valence,arousal\nelsewhere/2.mp3,0.8,6.5,\n1.mp3,0,4,3\n")
    student = M2EConfig.default(["b", "a"], mood_frequencies=[0.5, 0.25], **SMALL)
    audio = ["x/1.mp3", "x/2.mp3", {"bytes": b"", "path": "3.mp3"}]
    teacher = table_teacher(tmp_path / "soft.csv", ["one", "two", "three"], audio, student)
    assert teacher.tasks == ("mood", "va")
    taught = teacher(np.array([1, 0, 2]), inputs)
    probability = torch.sigmoid(taught["mood"][:2, 1] + np.log(0.25))
    assert probability.tolist() == pytest.approx([0.8, teachers.LEAST_PROBABILITY / 2], rel=1e-4)  # 0 was rounded
    assert taught["mood"][:, 0].isnan().all() and taught["mood"][2].isnan().all()
    assert taught["va"][1].tolist() == [4, 3] and taught["va"][0, 0] == 6.5 and taught["va"][0, 1].isnan()


def test_a_table_is_matched_by_ids(tmp_path):
    (tmp_path / "soft.csv").write_text("id,valence,arousal\n007,1,2\n8,3,4\n")
    teacher = table_teacher(tmp_path / "soft.csv", ["8", "007"], ["a", "a"], M2EConfig.default(["a"], **SMALL))
    assert teacher.tasks == ("va",) and teacher(np.array([0, 1]), {})["va"].tolist() == [[3, 4], [1, 2]]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("a,b\n1,2\n", "neither a column id nor a column path"),
        ("id,valence,arousal\n1,2,3\n1,2,3\n", "several rows for 1"),
        ("id,valence,arousal\n9,2,3\n", "says nothing of these tracks"),
        ("id,valence,arousal\n1,high,3\n", "soft.csv holds soft labels that are no numbers"),
        ("id,mood_a\n1,55\n", "no probabilities"),
        ("", "cannot be read"),
    ],
)
def test_tables_that_cannot_be_meant(tmp_path, content, told):
    (tmp_path / "soft.csv").write_text(content)
    with pytest.raises(TrainingError, match=told):
        table_teacher(tmp_path / "soft.csv", ["1"], ["a"], M2EConfig.default(["a"], **SMALL))


def test_a_teacher_that_hears_other_features_is_refused(tmp_path):
    network(["a"]).save_pretrained(tmp_path)
    (tmp_path / "processor_config.json").write_text('{"encoder_reference": {"type": "mert", "id": "x"}}')
    student = M2EConfig.default(["a"], **SMALL)
    for reference, width in (({"type": "taggers"}, 6), ({"type": "mert", "id": "x"}, 7)):
        processor = M2EProcessor(M2EFeatureExtractor(16000, 3.0), reference)
        with pytest.raises(TrainingError, match="hears other features"):
            model_teacher(tmp_path, processor, M2EConfig.default(["a"], **SMALL | {"embedding_size": width}))
    same = M2EProcessor(M2EFeatureExtractor(16000, 3.0), {"type": "mert", "id": "x"})
    assert model_teacher(tmp_path, same, student).tasks == ("mood", "va")


def test_taggers_of_other_weights_hear_other_features(tmp_path):
    pipe = tiny.pipeline()
    pipe.save_pretrained(tmp_path)
    assert "mood" in model_teacher(tmp_path, pipe.processor, pipe.model.config).tasks
    with torch.no_grad():
        next(pipe.processor.encoder.model.parameters()).add_(0.1)
    with pytest.raises(TrainingError, match="hears other features"):
        model_teacher(tmp_path, pipe.processor, pipe.model.config)


def test_offsets_of_the_weighting():
    assert weighting_offsets(M2EConfig.default(["a", "b"], [0.5, 0.1])).tolist() == pytest.approx(np.log([0.5, 0.1]))
    assert weighting_offsets(M2EConfig.default(["a", "b"])).tolist() == [0, 0]
    assert TableTeacher(np.full((1, 1), np.nan), np.full((1, 2), 5.0), M2EConfig.default(["a"])).tasks == ("va",)
