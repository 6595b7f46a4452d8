"""Optimizers: groups, Muon's update, rates."""

import pytest
import torch
from torch import nn

from clearsight.config.schema import PhaseConfig
from clearsight.errors import TrainingError
from clearsight.models.factory import build
from clearsight.models.preprocess import Preprocess
from clearsight.training.optimizers import Muon, build_optimizers, orthogonalise, set_rate


def small():
    return build("resnet20", ("a", "b"), Preprocess([0.5] * 3, [0.25] * 3))


def test_every_trained_parameter_is_in_exactly_one_group() -> None:
    for name in ("sgd", "adam", "adamw", "muon"):
        model = build("airnet94", ("a", "b"), Preprocess([0.5] * 3, [0.25] * 3))
        optimizers = build_optimizers(model, PhaseConfig(optimizer=name))
        held = [id(p) for o in optimizers for g in o.param_groups for p in g["params"]]
        trained = [id(p) for p in model.parameters() if p.requires_grad]
        assert sorted(held) == sorted(trained)
        assert id(model.backbone.whiten.weight) not in held  # ty: ignore


def test_weight_decay_spares_biases_and_normalisation() -> None:
    model = small()
    (sgd,) = build_optimizers(model, PhaseConfig(weight_decay=0.1))
    decayed = {id(p) for g in sgd.param_groups if g["weight_decay"] for p in g["params"]}
    for name, p in model.named_parameters():
        assert (id(p) in decayed) == (p.ndim > 1), name


def test_nothing_to_train_is_an_error_that_names_the_phase() -> None:
    model = small().requires_grad_(False)
    with pytest.raises(TrainingError, match="phase 'warm': nothing to train"):
        build_optimizers(model, PhaseConfig(name="warm"))


def test_rates_follow_the_factor_and_respect_the_floor() -> None:
    optimizers = build_optimizers(small(), PhaseConfig(lr=0.2, head_lr=0.4))
    assert set_rate(optimizers, 0.2, 0.5) == pytest.approx(0.1)
    assert {g["lr"] for g in optimizers[0].param_groups} == {0.1, 0.2}
    assert set_rate(optimizers, 0.2, 1e-9, floor=1e-6) == 1e-6


@pytest.mark.parametrize("shape", [(16, 100), (100, 16)])
def test_orthogonalise_brings_singular_values_near_one(shape: tuple[int, int]) -> None:
    matrix = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(matrix, steps=5).float())
    assert values.min() > 0.4
    assert values.max() < 1.4


def test_muon_keeps_filters_at_the_norm_of_their_number_and_steps_by_the_rate() -> None:
    filters = nn.Parameter(torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(0)))
    filters.grad = torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(1))
    optimizer = Muon([filters], lr=0.0, momentum=0.6)
    optimizer.step()
    assert filters.norm().item() == pytest.approx(8**0.5)
    before = filters.detach().clone()
    optimizer.param_groups[0]["lr"] = 0.1
    optimizer.step()
    # An orthogonal [8, 36] update has norm √8; the singular values are only near 1.
    assert (filters - before).norm().item() == pytest.approx(0.1 * 8**0.5, rel=0.35)
    assert torch.sum((filters - before) * filters.grad) < 0
