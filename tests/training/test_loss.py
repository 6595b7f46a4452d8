"""The loss of a step: torch's to the last bit, and each image's."""

import pytest
import torch
import torch.nn.functional as F

from clearsight.training.loss import cross_entropy


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("shape", [(1, 2), (20, 3), (1000, 10), (32, 2100)])
def test_it_is_torchs_cross_entropy_to_the_last_bit(
    shape: tuple[int, int], smoothing: float, weighted: bool, soft: bool
) -> None:
    draw = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(shape, generator=draw)).requires_grad_()
    weights = torch.rand(shape[1], generator=draw) + 0.5 if weighted else None
    targets = torch.randint(shape[1], shape[:1], generator=draw)
    if soft:
        targets = torch.randn(shape, generator=draw).softmax(1)
    loss, of_each = cross_entropy(logits, targets, weights, smoothing)
    due = F.cross_entropy(logits, targets, weights, label_smoothing=smoothing)
    assert torch.equal(loss, due)
    (found,), (expected,) = (torch.autograd.grad(value, logits) for value in (loss, due))
    assert torch.equal(found, expected)
    due = F.cross_entropy(logits, targets, label_smoothing=smoothing, reduction="none")
    assert torch.equal(of_each, due.detach())
    assert not of_each.requires_grad


def test_with_smoothed_labels_too_sure_a_prediction_is_not_the_lowest_loss() -> None:
    logits = torch.tensor([[2.2, 0.0], [9.0, 0.0]])  # p of the label 0.9, as it asks for, and 1
    _, of_each = cross_entropy(logits, torch.tensor([0, 0]), None, 0.2)
    assert of_each[0] < of_each[1]
