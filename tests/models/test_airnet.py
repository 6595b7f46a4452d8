"""airnet: whitening, size, initialisation."""

import pytest
import torch

from clearsight.errors import ConfigError
from clearsight.models.airnet import AirNet, Group, ResidualGroup, ScaledLinear, dirac_conv
from clearsight.models.factory import build, model_names
from clearsight.models.preprocess import Preprocess
from clearsight.runtime.seeds import seeded


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


# Whitening 312; convolutions 9 · in · out and norms 2 · out, per group; head 10 · width.
@pytest.mark.parametrize(("name", "count"), [("airnet94", 1_972_792), ("airnet96", 9_918_776)])
def test_parameter_counts(name: str, count: int) -> None:
    model = build(name, tuple("abcdefghij"), Preprocess([0.5] * 3, [0.25] * 3))
    assert sum(p.numel() for p in model.parameters()) == count
    assert model(torch.zeros(2, 32, 32, 3, dtype=torch.uint8)).shape == (2, 10)


@pytest.mark.parametrize("sides", [(8, 8), (7, 7), (6, 5)])
def test_what_the_pool_drops_is_not_computed(sides: tuple[int, int]) -> None:
    group = Group(3, 8)
    x = torch.randn(2, 3, *sides, generator=torch.Generator().manual_seed(0))
    whole = torch.nn.functional.conv2d(x, group.conv1.weight, padding=1)
    expected = torch.nn.functional.max_pool2d(whole, 2)
    seen: list[torch.Size] = []
    group.conv1.register_forward_hook(lambda _, __, out: seen.append(out.shape[2:]))
    assert torch.allclose(group.pooled(x), expected, atol=1e-6)
    assert seen == [(sides[0] // 2 * 2, sides[1] // 2 * 2)]


def test_a_residual_group_adds_what_its_last_two_convolutions_make() -> None:
    group = ResidualGroup(3, 8).eval()
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.nn.init.zeros_(group.conv3.weight)
    first = group.activation(group.norm1(group.pooled(x)))
    assert first.shape == (2, 8, 4, 4)
    # Nothing is added, and the sum is activated once more.
    assert torch.equal(group(x), group.activation(first))


def test_residual_groups_learn_a_few_images_by_heart() -> None:
    with seeded(0, "weights"):
        net, head = AirNet((8, 12, 16), ResidualGroup), ScaledLinear(16, 4)
        images = torch.randn(16, 3, 24, 24)
    labels = torch.arange(16) % 4
    net.prepare(images)
    parameters = [p for p in (*net.parameters(), *head.parameters()) if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=0.05)
    losses = []
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(head(net(images)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 1
    assert losses[-1] < 0.1


def test_an_unknown_model_is_refused_with_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"model\.name: found 'resnet21'.*expected one of"):
        build("resnet21", ("a", "b"), Preprocess([0.5] * 3, [0.25] * 3))
    assert "wrn-28-10" in model_names()
