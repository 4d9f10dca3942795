"""The losses against independent definitions, without labels, and what they leave untouched."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, Categorical, kl_divergence

from m2e.evaluation.metrics import dimension_scores
from m2e.training.objectives import (
    at_level_of,
    bernoulli_divergence,
    ccc_loss,
    softmax_divergence,
    teacher_loss,
    training_loss,
)
from m2e.training.recipe import Objective
from modeling_m2e import M2EConfig, M2EForMusicEmotion
from modeling_m2e.losses_m2e import mood_loss, va_loss
from modeling_m2e.modeling_m2e import M2EOutput

nan = float("nan")


@pytest.fixture
def logits():
    torch.manual_seed(0)
    return torch.randn(5, 4) * 2, torch.randn(5, 4) * 2


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_divergences_are_those_of_the_distributions(logits, temperature):
    student, teacher = logits
    expected = kl_divergence(Categorical(logits=teacher / temperature), Categorical(logits=student / temperature))
    assert softmax_divergence(student, teacher, temperature) == pytest.approx(temperature**2 * expected.mean().item())
    expected = kl_divergence(Bernoulli(logits=teacher / temperature), Bernoulli(logits=student / temperature))
    found = bernoulli_divergence(student, teacher, temperature)
    assert found.item() == pytest.approx(temperature**2 * expected.mean().item(), rel=1e-5)
    assert softmax_divergence(teacher, teacher, temperature) == pytest.approx(0, abs=1e-6)
    assert bernoulli_divergence(teacher, teacher, temperature) == pytest.approx(0, abs=1e-6)


def test_what_a_teacher_does_not_know_takes_no_part(logits):
    student, teacher = logits
    student.requires_grad_()
    gaps = teacher.clone()
    gaps[:, 1] = nan
    kept = [0, 2, 3]
    assert softmax_divergence(student, gaps).item() == pytest.approx(
        softmax_divergence(student[:, kept], teacher[:, kept]).item()
    )
    loss = bernoulli_divergence(student, gaps)
    assert loss.item() == pytest.approx(bernoulli_divergence(student[:, kept], teacher[:, kept]).item())
    gaps[2] = nan
    (softmax_divergence(student, gaps) + bernoulli_divergence(student, gaps)).backward()
    assert student.grad.isfinite().all() and (student.grad[:, 1] == 0).all() and (student.grad[2] == 0).all()
    nothing = torch.full_like(teacher, nan)
    for loss in (softmax_divergence(student, nothing), bernoulli_divergence(student, nothing)):
        assert loss.item() == 0


def test_ccc_loss_is_one_less_the_metric():
    rng = np.random.default_rng(0)
    labels, va = rng.uniform(1, 9, (20, 2)), rng.uniform(1, 9, (20, 2))
    labels[3:7, 1] = nan
    expected = [1 - dimension_scores(labels[:, column], va[:, column])["ccc"] for column in range(2)]
    found = ccc_loss(torch.tensor(va), torch.tensor(labels))
    assert found.item() == pytest.approx(np.mean(expected), rel=1e-5)


def test_ccc_loss_of_too_few_labels_or_no_spread():
    va = torch.full((3, 2), 5.0, requires_grad=True)
    labels = torch.tensor([[4.0, nan], [4.0, nan], [4.0, 2.0]])
    loss = ccc_loss(va, labels)  # constant valence, one arousal
    loss.backward()
    assert loss.item() == pytest.approx(1) and va.grad.isfinite().all() and (va.grad[:, 1] == 0).all()
    assert ccc_loss(va, torch.full((3, 2), nan)).item() == 0


def test_labels_at_the_level_of_a_prediction_keep_their_differences():
    va, labels = torch.tensor([[5.0, 3.0], [6.0, 4.0], [9.0, 9.0]]), torch.tensor([[1.0, nan], [4.0, nan], [nan, nan]])
    moved = at_level_of(va, labels)
    assert moved[:2, 0].tolist() == [4.0, 7.0]  # 3 apart, as labelled, around the mean of the two that have a label
    assert moved[2].isnan().all() and moved[:, 1].isnan().all()


def test_the_paper_loses_the_level_of_valence_and_arousal_and_ours_does_not():
    output = M2EOutput(va=torch.tensor([[5.0, 5.0]]))
    soft = torch.tensor([[8.0, 8.0]])
    assert teacher_loss("va", output, soft, Objective(distillation="paper")).item() == pytest.approx(0)
    assert teacher_loss("va", output, soft, Objective(distillation="ours")).item() == pytest.approx(9)


def test_labels_and_teacher_are_mixed_by_the_weight(logits):
    student, teacher = logits
    output = M2EOutput(mood_logits=student, va=student[:, :2])
    config = SimpleNamespace(mood_frequencies=None, mood_loss_weight=2.0, va_loss_weight=0.5)
    labels = {"mood": (teacher > 0).float()}
    soft = {"mood": teacher, "va": teacher[:, :2]}
    total, parts = training_loss(output, labels, soft, config, Objective(distillation="ours", teacher_weight=0.25))
    hard, soft = mood_loss(student, labels["mood"]), bernoulli_divergence(student, teacher)
    assert parts["mood"].item() == pytest.approx((0.75 * hard + 0.25 * soft).item())
    assert parts["va"].item() == pytest.approx(va_loss(student[:, :2], teacher[:, :2]).item())  # by the teacher alone
    assert total.item() == pytest.approx((2 * parts["mood"] + 0.5 * parts["va"]).item())


def test_a_batch_updates_only_the_tasks_that_it_has_labels_of():
    config = M2EConfig.default(["a", "b"], use_harmony=False, embedding_size=6, fusion_size=8, branch_size=4)
    model = M2EForMusicEmotion(config)
    output = model(embeddings=torch.randn(3, 6))
    loss, parts = training_loss(output, {"va": torch.full((3, 2), 6.0)}, {}, config, Objective())
    loss.backward()
    assert list(parts) == ["va"]
    assert all(parameter.grad is None for parameter in model.mood_branch.parameters())
    assert all(parameter.grad is not None for parameter in (*model.va_branch.parameters(), *model.m2e.parameters()))


def test_labels_without_a_branch_take_no_part(logits):
    output = M2EOutput(mood_logits=logits[0], va=torch.zeros(5, 2))
    labels = {"va": torch.ones(5, 2), "quadrant": torch.tensor([0, 1, 2, 3, 0])}
    config = SimpleNamespace(va_loss_weight=1.0, mood_frequencies=None)
    loss, parts = training_loss(output, labels, {}, config, Objective())
    assert loss.item() == 1.0 and set(parts) == {"va"}
