"""Class activation maps: by hand, against pytorch-grad-cam, and the model given back as it was."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import pytorch_grad_cam
import torch
from torch import nn

from clearsight.errors import UsageError
from clearsight.explanation.cam import grad_cam, hires_cam, layer_cam, score_cam
from clearsight.explanation.heatmaps import heatmaps
from clearsight.explanation.layers import choose_layer, stage_layers
from clearsight.models.classifier import Classifier
from clearsight.models.factory import build
from clearsight.models.preprocess import Preprocess
from tests.explanation.small import MEAN, STD, ChannelsFirst, Flat, random_images, small_model

ORACLES = {
    "GradCAM": grad_cam, "HiResCAM": hires_cam, "LayerCAM": layer_cam, "ScoreCAM": score_cam,
}  # fmt: skip


def oracle(
    model: nn.Module,
    images: torch.Tensor,
    targets: list[int],
    layer: str | Sequence[str],
    *,
    method: str = "GradCAM",
    reshape: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> np.ndarray:
    """The maps of pytorch-grad-cam; the score is scaled up, for it adds 1e-7 to what it divides."""
    scale = 1.0 if method == "ScoreCAM" else 1e4  # a softmax of scores follows
    scores = [lambda logits, k=k: scale * logits[..., k] for k in targets]
    pixels = images.permute(0, 3, 1, 2).float()
    layers = [model.get_submodule(name) for name in ([layer] if isinstance(layer, str) else layer)]
    kind: Any = getattr(pytorch_grad_cam, method)
    with kind(ChannelsFirst(model), layers, reshape_transform=reshape) as cam:
        return cam(input_tensor=pixels, targets=scores)


def test_map_of_a_linear_convolution_is_as_computed_by_hand() -> None:
    # One 1 × 1 convolution: channel 0 is red, channel 1 is green; logits are sums of weights
    # (2, -1) and (-1, 1) times the channels' means. The gradient of a logit at each of the 16
    # positions of a channel is weight / 16, so the map is relu(2 · red - green) / 16, up to scale.
    conv = nn.Conv2d(3, 2, 1, bias=False)
    head = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]).view(2, 3, 1, 1))
        head.weight.copy_(torch.tensor([[2.0, -1.0], [-1.0, 1.0]]))
    model = Classifier(
        name="linear",
        preprocess=Preprocess((0, 0, 0), (1, 1, 1)),
        backbone=nn.Sequential(conv, Flat()),
        head=head,
        classes=("red", "green"),
    )
    image = torch.zeros(1, 4, 4, 3, dtype=torch.uint8)
    image[0, 0, 0] = torch.tensor([200, 0, 0])  # 2 · 200 - 0 = 400: the peak
    image[0, 1, 2] = torch.tensor([100, 100, 0])  # 200 - 100 = 100: a quarter of it
    image[0, 3, 3] = torch.tensor([0, 50, 0])  # -50: no evidence for red
    expected = torch.zeros(1, 4, 4)
    expected[0, 0, 0], expected[0, 1, 2] = 1.0, 0.25
    assert choose_layer(model, (4, 4, 3)) == "backbone.0"
    torch.testing.assert_close(heatmaps(grad_cam(model, image, torch.tensor([0]))), expected)
    # For green: relu(green - red) is 0 but at the green pixel.
    expected = torch.zeros(1, 4, 4)
    expected[0, 3, 3] = 1.0
    torch.testing.assert_close(heatmaps(grad_cam(model, image, torch.tensor([1]))), expected)


@pytest.mark.parametrize("method", ORACLES)
def test_a_small_network_agrees_with_pytorch_grad_cam(method: str) -> None:
    model, images = small_model(), random_images(5)
    targets = [0, 1, 2, 3, 1]
    for layer in ("backbone.2", "backbone.5"):
        maps = heatmaps(ORACLES[method](model, images, torch.tensor(targets), layer=layer))
        expected = oracle(model, images, targets, layer, method=method)
        np.testing.assert_allclose(maps, expected, atol=1e-4)


@pytest.mark.parametrize("name", ["airnet94", "resnet20"])
def test_real_networks_agree_with_pytorch_grad_cam(name: str) -> None:
    torch.manual_seed(0)
    model = build(name, ("a", "b", "c"), Preprocess(MEAN, STD)).eval()
    images, targets = random_images(2, 32), torch.tensor([0, 2])
    layer, layers = choose_layer(model, (32, 32, 3)), stage_layers(model, (32, 32, 3))
    for method in ("GradCAM", "HiResCAM", "LayerCAM"):
        maps = heatmaps(ORACLES[method](model, images, targets))
        assert maps.shape == (2, 32, 32)
        assert maps.max() == 1
        expected = oracle(model, images, [0, 2], layer, method=method)
        np.testing.assert_allclose(maps, expected, atol=1e-4)
    fused = heatmaps(layer_cam(model, images, targets, layer=layers))
    expected = oracle(model, images, [0, 2], layers, method="LayerCAM")
    np.testing.assert_allclose(fused, expected, atol=1e-4)


# (network, side, its layer, prefix tokens; None for maps with channels first, -1 for last)
TOKENS = [
    ("swin_tiny_patch4_window7_224", 128, "backbone.norm", -1),
    ("vit_tiny_patch16_224", 80, "backbone.blocks.10", 1),
    ("mixer_s32_224", 224, "backbone.norm", 0),
    ("convnext_atto", 64, "backbone.stages.2", None),
    ("pit_ti_224", 224, "backbone.transformers.2.blocks.3.norm1", 1),
]


@pytest.mark.parametrize(("name", "size", "layer", "prefix"), TOKENS)
def test_networks_of_other_layouts_agree_with_pytorch_grad_cam(
    name: str, size: int, layer: str, prefix: int | None
) -> None:
    torch.manual_seed(0)
    model = build(name, ("a", "b", "c"), Preprocess(MEAN, STD, size)).eval()
    images = random_images(2, 32)
    assert choose_layer(model, (32, 32, 3)) == layer

    def reshape(output: torch.Tensor) -> torch.Tensor:
        if prefix == -1:
            return output.permute(0, 3, 1, 2)
        tokens = output[:, prefix:].transpose(1, 2)
        return tokens.unflatten(2, (math.isqrt(tokens.shape[2]), -1))

    maps = heatmaps(grad_cam(model, images, torch.tensor([0, 2])))
    assert maps.any()
    reshaped = None if prefix is None else reshape
    expected = oracle(model, images, [0, 2], layer, reshape=reshaped)
    np.testing.assert_allclose(maps, expected, atol=1e-3)


def test_maps_are_per_image() -> None:
    model, images = small_model(), random_images(4)
    together = grad_cam(model, images, torch.tensor([0, 1, 2, 3]))
    alone = grad_cam(model, images[2:3], torch.tensor([2]))
    torch.testing.assert_close(together[2:3], alone, atol=1e-5, rtol=0)


def test_a_map_without_evidence_stays_zero() -> None:
    model = small_model()
    nn.init.zeros_(model.get_parameter("head.weight"))
    assert not grad_cam(model, random_images(2), torch.tensor([0, 1])).any()


@pytest.mark.parametrize("frozen", [False, True])
def test_the_model_comes_back_as_it_was(frozen: bool) -> None:
    model, images = small_model(), random_images(3)
    model.requires_grad_(not frozen)
    model.get_submodule("backbone.1").eval()  # one part frozen in eval mode, as in fine-tuning
    modes = [module.training for module in model.modules()]
    state = {key: value.clone() for key, value in model.state_dict().items()}
    random_state = torch.get_rng_state()
    targets = torch.tensor([0, 1, 2])
    assert grad_cam(model, images, targets).any()
    with pytest.raises(UsageError):
        grad_cam(model, images, targets, layer="head")
    assert [module.training for module in model.modules()] == modes
    assert not any(module._forward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(parameter.requires_grad is not frozen for parameter in model.parameters())
    for key, value in model.state_dict().items():
        assert value.numpy().tobytes() == state[key].numpy().tobytes(), key
    assert torch.equal(torch.get_rng_state(), random_state)


def test_works_inside_inference_mode() -> None:
    model, images, targets = small_model(), random_images(2), torch.tensor([1, 3])
    expected = grad_cam(model, images, targets)
    with torch.inference_mode():
        torch.testing.assert_close(grad_cam(model, images, targets), expected)


def test_unfit_layers_are_refused_by_name() -> None:
    model, images, targets = small_model(), random_images(1), torch.tensor([0])
    with pytest.raises(UsageError, match=r"layer 'backbone\.9': the model has none of that name"):
        grad_cam(model, images, targets, layer="backbone.9")
    with pytest.raises(UsageError, match="layer 'head': its output is no map"):
        grad_cam(model, images, targets, layer="head")
    model.unused = nn.Conv2d(3, 3, 1)
    with pytest.raises(UsageError, match="layer 'unused': the model does not run it"):
        grad_cam(model, images, targets, layer="unused")
