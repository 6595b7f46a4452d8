"""Weight averaging, by hand on one weight."""

import pytest
import torch
from torch import nn

from clearsight.config.schema import TrainingConfig
from clearsight.training.averaging import Averaging


def scalar(value: float) -> nn.Linear:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, value)
    return layer


def put(layer: nn.Linear, value: float) -> None:
    with torch.no_grad():
        layer.weight.fill_(value)


def test_ema_averages_and_is_applied_only_inside_the_block() -> None:
    layer = scalar(0.0)
    averaging = Averaging(layer, TrainingConfig(averaging="ema", averaging_decay=0.5))
    put(layer, 1.0)
    averaging.update(100)
    put(layer, 3.0)
    averaging.update(101)
    with averaging.applied():
        assert layer.weight.item() == pytest.approx(0.5 * 0.5 + 0.5 * 3)
    assert layer.weight.item() == 3.0


def test_ema_forgets_the_random_start_quickly() -> None:
    layer = scalar(100.0)
    averaging = Averaging(layer, TrainingConfig(averaging="ema", averaging_decay=0.999))
    put(layer, 1.0)
    for step in range(1, 60):
        averaging.update(step)
    with averaging.applied():
        assert layer.weight.item() == pytest.approx(1.0, abs=0.01)


def test_lookahead_pulls_the_weights_back_every_few_steps() -> None:
    layer = scalar(0.0)
    config = TrainingConfig(averaging="lookahead", averaging_decay=0.5, averaging_every=5)
    averaging = Averaging(layer, config)
    put(layer, 1.0)
    averaging.update(4)
    assert layer.weight.item() == 1.0
    averaging.update(5)
    assert layer.weight.item() == 0.5


def test_none_keeps_no_second_weights() -> None:
    averaging = Averaging(scalar(1.0), TrainingConfig())
    averaging.update(1)
    assert averaging.slow == {}
