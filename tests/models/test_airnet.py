"""airnet: whitening, size, initialisation."""

import pytest
import torch

from clearsight.errors import ConfigError
from clearsight.models.airnet import AirNet, ScaledLinear, dirac_conv
from clearsight.models.preprocess import Preprocess
from clearsight.models.registry import build, model_names


def test_whitened_patches_have_the_identity_as_covariance() -> None:
    draw = torch.Generator().manual_seed(0)
    # Neighbouring pixels are alike and channels differ in spread, as in photographs.
    images = torch.randn(500, 3, 17, 17, generator=draw).cumsum(3) * torch.tensor(
        [1.0, 2.0, 0.5]
    ).view(1, 3, 1, 1)
    net = AirNet((8, 8, 8))
    net.prepare(images)
    out = net.whiten(images)[:, :12].permute(0, 2, 3, 1).reshape(-1, 12)
    moment = (out.T @ out / len(out)).detach()
    assert torch.allclose(moment, torch.eye(12), atol=0.02)
    assert torch.equal(net.whiten.weight[:12], -net.whiten.weight[12:])
    assert not net.whiten.weight.requires_grad


def test_a_dirac_filter_passes_its_input_through() -> None:
    conv = dirac_conv(3, 8)
    x = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(conv(x)[:, :3], x)


def test_the_head_starts_with_small_logits() -> None:
    logits = ScaledLinear(256, 10)(torch.ones(1, 256))
    assert logits.abs().max() < 0.5


def test_airnet94_has_under_two_million_parameters() -> None:
    model = build("airnet94", tuple("abcdefghij"), Preprocess([0.5] * 3, [0.25] * 3))
    assert sum(p.numel() for p in model.parameters()) == 1_972_792
    assert model(torch.zeros(2, 32, 32, 3, dtype=torch.uint8)).shape == (2, 10)


def test_an_unknown_model_is_refused_with_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"model\.name: found 'resnet21'.*expected one of"):
        build("resnet21", ("a", "b"), Preprocess([0.5] * 3, [0.25] * 3))
    assert "wrn-28-10" in model_names()
