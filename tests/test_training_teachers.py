"""Teacher outputs on the student's scale: other label orders, other calibrations, tables, gaps."""

import numpy as np
import pytest
import tiny
import torch

from m2e.errors import TrainingError
from m2e.training import teachers
from m2e.training.teachers import ModelTeacher, TableTeacher, model_teacher, weighting_offsets
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


def test_outputs_have_the_students_order_and_weighting(inputs):
    model = network(["a", "b", "c"], mood_scale=[2.0, 1.0, 0.5], mood_offset=[0.5, -1.0, 0.0], num_quadrants=4)
    student = M2EConfig.default(["c", "new", "a"], mood_frequencies=[0.5, 0.1, 0.01], num_quadrants=4, **SMALL)
    teacher = ModelTeacher(model, student)
    assert teacher.tasks == ("mood", "va", "quadrant")
    outputs = teacher(np.arange(5), inputs)
    expected = log_odds(model, inputs)
    # a student that says this has the teacher's probabilities once its own weighting is undone
    assert torch.allclose(outputs["mood"][:, 0] + np.log(0.5), expected[:, 2], atol=1e-6)
    assert torch.allclose(outputs["mood"][:, 2] + np.log(0.01), expected[:, 0], atol=1e-6)
    assert outputs["mood"][:, 1].isnan().all()
    assert torch.equal(outputs["va"], model(**inputs).va)
    assert not any(values.requires_grad for values in outputs.values())


def test_a_teacher_of_the_same_weighting_gives_raw_logits(inputs):
    model = network(["a", "b"], mood_frequencies=[0.2, 0.05])  # as the paper's teachers and student
    outputs = ModelTeacher(model, model.config)(np.arange(5), inputs)
    assert torch.allclose(outputs["mood"], model(**inputs).mood_logits, atol=1e-6)


def test_a_model_teaches_what_it_was_trained_on_and_what_the_student_has(inputs):
    student = M2EConfig.default(["a"], **SMALL)
    assert ModelTeacher(network(["a"], trained_tasks=["va"]), student).tasks == ("va",)
    assert ModelTeacher(network(["z"]), student).tasks == ("va",)
    assert ModelTeacher(network([]), student).tasks == ("va",)
    assert ModelTeacher(network(["a"], num_quadrants=4), student).tasks == ("mood", "va")
    assert list(ModelTeacher(network(["a"], trained_tasks=["mood"]), student)(np.arange(5), inputs)) == ["mood"]


def test_a_table_is_on_the_scale_of_the_student(inputs):
    student = M2EConfig.default(["b", "a"], mood_frequencies=[0.5, 0.25], **SMALL)
    moods = np.array([[np.nan, 0.0], [np.nan, 0.8], [np.nan, np.nan]])
    teacher = TableTeacher(moods, np.array([[4.0, 3], [6.5, np.nan], [np.nan, np.nan]]), student)
    assert teacher.tasks == ("mood", "va")
    outputs = teacher(np.array([1, 0, 2]), inputs)
    probability = torch.sigmoid(outputs["mood"][:2, 1] + np.log(0.25))
    assert probability.tolist() == pytest.approx([0.8, teachers.LEAST_PROBABILITY / 2], rel=1e-4)  # 0 was rounded
    assert outputs["mood"][:, 0].isnan().all() and outputs["mood"][2].isnan().all()
    assert outputs["va"][1].tolist() == [4, 3] and outputs["va"][0, 0] == 6.5 and outputs["va"][0, 1].isnan()


def test_a_teacher_that_uses_other_features_is_refused(tmp_path):
    network(["a"]).save_pretrained(tmp_path)
    (tmp_path / "processor_config.json").write_text('{"encoder_reference": {"type": "mert", "id": "x"}}')
    student = M2EConfig.default(["a"], **SMALL)
    for reference, width in (({"type": "taggers"}, 6), ({"type": "mert", "id": "x"}, 7)):
        processor = M2EProcessor(M2EFeatureExtractor(16000, 3.0), reference)
        with pytest.raises(TrainingError, match="uses other features"):
            model_teacher(tmp_path, processor, M2EConfig.default(["a"], **SMALL | {"embedding_size": width}))
    same = M2EProcessor(M2EFeatureExtractor(16000, 3.0), {"type": "mert", "id": "x"})
    assert model_teacher(tmp_path, same, student).tasks == ("mood", "va")


def test_taggers_of_other_weights_are_other_features(tmp_path):
    pipe = tiny.pipeline()
    pipe.save_pretrained(tmp_path)
    assert "mood" in model_teacher(tmp_path, pipe.processor, pipe.model.config).tasks
    with torch.no_grad():
        next(pipe.processor.encoder.model.parameters()).add_(0.1)
    with pytest.raises(TrainingError, match="uses other features"):
        model_teacher(tmp_path, pipe.processor, pipe.model.config)


def test_offsets_of_the_weighting():
    assert weighting_offsets(M2EConfig.default(["a", "b"], [0.5, 0.1])).tolist() == pytest.approx(np.log([0.5, 0.1]))
    assert weighting_offsets(M2EConfig.default(["a", "b"])).tolist() == [0, 0]
    assert TableTeacher(np.full((1, 1), np.nan), np.full((1, 2), 5.0), M2EConfig.default(["a"])).tasks == ("va",)
