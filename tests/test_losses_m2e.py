import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from modeling_m2e.losses_m2e import class_weights, mood_loss, quadrant_loss, va_loss


def test_mood_loss_is_the_published_one():
    logits, labels = torch.randn(5, 3), torch.randint(0, 2, (5, 3)).float()
    p = torch.tensor([0.01, 0.2, 0.5])
    published = nn.BCEWithLogitsLoss(weight=2 / (1 + 1 / p), pos_weight=1 / p)
    torch.testing.assert_close(mood_loss(logits, labels, p), published(logits, labels))
    torch.testing.assert_close(mood_loss(logits, labels), F.binary_cross_entropy_with_logits(logits, labels))
    positive, negative = class_weights([0.25])
    assert (positive.item(), negative.item()) == pytest.approx((1.6, 0.4))


def test_mood_loss_takes_soft_labels():
    logits = torch.zeros(1, 1, requires_grad=True)
    loss = mood_loss(logits, torch.tensor([[0.3]]), [0.5])
    assert loss.item() == pytest.approx(math.log(2) * (0.3 * 4 / 3 + 0.7 * 2 / 3))
    loss.backward()
    assert logits.grad.item() == pytest.approx(0.5 * (0.7 * 2 / 3 - 0.3 * 4 / 3), abs=1e-6)


def test_missing_labels_count_neither_in_loss_nor_gradient():
    nan = math.nan
    logits, labels = torch.randn(3, 2, requires_grad=True), torch.tensor([[1.0, nan], [nan, nan], [0.0, 1.0]])
    loss = mood_loss(logits, labels, [0.1, 0.2])
    known = ~labels.isnan()
    alone = [mood_loss(logits[:, [i]], labels[:, [i]], [p]) * known[:, i].sum() for i, p in enumerate([0.1, 0.2])]
    torch.testing.assert_close(loss, sum(alone) / 3)
    loss.backward()
    assert torch.equal(logits.grad != 0, known)

    va = torch.tensor([[4.0, 6.0], [9.0, 9.0], [1.0, 2.0]], requires_grad=True)
    loss = va_loss(va, torch.tensor([[5.0, 4.0], [nan, nan], [nan, 2.5]]))
    assert loss.item() == pytest.approx((1 + 4 + 0.25) / 3)
    loss.backward()
    assert torch.equal(va.grad != 0, torch.tensor([[True, True], [False, False], [False, True]]))

    quadrants = torch.randn(3, 4, requires_grad=True)
    loss = quadrant_loss(quadrants, torch.tensor([2, -100, 0]))
    torch.testing.assert_close(loss, F.cross_entropy(quadrants[[0, 2]], torch.tensor([2, 0])))


def test_losses_without_any_label_are_zero_with_zero_gradient():
    logits = torch.randn(2, 4, requires_grad=True)
    nothing = torch.full((2, 4), math.nan)
    for loss in (
        mood_loss(logits, nothing),
        va_loss(logits, nothing),
        quadrant_loss(logits, torch.tensor([-100, -100])),
    ):
        assert loss.item() == 0
        logits.grad = None
        loss.backward()
        assert torch.equal(logits.grad, torch.zeros(2, 4))
