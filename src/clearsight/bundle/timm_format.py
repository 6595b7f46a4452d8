"""A bundle's network as a model of timm: the files that `timm.create_model` reads."""

from pathlib import Path
from typing import Any, Literal

import timm
import torch
from timm.data.config import resolve_model_data_config
from timm.models import save_for_hf, split_model_name_tag
from torch import nn

from clearsight.bundle.format import WEIGHTS, Bundle
from clearsight.data.images import Fit
from clearsight.errors import first_line
from clearsight.models.classifier import Classifier
from clearsight.models.factory import model_names
from clearsight.models.preprocess import Expectation
from clearsight.models.sizes import NETWORK_ERRORS

CONFIG = "config.json"
TOLERANCE = 1e-3  # of the largest logit
# The nearest of timm's ways; `border` pads with the mean colour of the weights' images.
CROP_MODES: dict[Fit, Literal["border", "center", "squash"]] = {
    "letterbox": "border",
    "crop": "center",
    "stretch": "squash",
}


def write_for_timm(bundle: Bundle, folder: Path) -> str | None:
    """Writes `config.json` and `model.safetensors`, by timm's names, into `folder`.

    timm then builds the network from the folder, and its logits are compared with the bundle's on
    noise of the network's input size. Returns None, or, with nothing written, why timm can't load
    the model: words that follow a colon.
    """
    reason = _foreign(bundle)
    if reason:
        return reason
    model, size = bundle.classifier(), side(bundle)
    try:
        network = _network(model, size, bundle.fit)
        options: dict[str, Any] = {"label_names": list(bundle.classes)}
        save_for_hf(network, str(folder), model_config=options, safe_serialization=True)
        difference = _difference(model, folder, size)
    except NETWORK_ERRORS as error:
        return _withdrawn(folder, f"it can't rebuild the network ({first_line(error)})")
    if not difference <= TOLERANCE:  # NaN where there is one
        return _withdrawn(folder, f"its logits differ there by {difference:.2g} of the largest")
    return None


def side(bundle: Bundle) -> int:
    """Side in px of the images that the network itself is given."""
    return bundle.preprocessing["size"] or bundle.size


def _foreign(bundle: Bundle) -> str | None:
    if bundle.architecture in model_names():
        return "it is a network of clearsight's own"
    if bundle.head != "linear":
        return f"its head (`{bundle.head}`) has several layers, and timm's have one"
    if bundle.preprocessing.get("channel_order", "rgb") != "rgb":
        return "it takes the channels in the order BGR, and timm gives RGB"
    if bundle.preprocessing.get("scaled_twice"):
        return "it divides pixels by 255 twice"
    return None


def _network(model: Classifier, size: int, fit: Fit) -> nn.Module:
    """timm's network with the weights of `model`, on the CPU in eval mode."""
    known = timm.get_pretrained_cfg(model.name)
    assert known is not None, model.name
    about: dict[str, Any] = model.preprocess.describe()
    config = {
        "input_size": (3, size, size),
        "fixed_input_size": known.fixed_input_size,
        "interpolation": about["interpolation"],
        "crop_pct": 1.0,
        "crop_mode": CROP_MODES[fit],
        "mean": tuple(about["mean"]),
        "std": tuple(about["std"]),
        "first_conv": known.first_conv,
        "classifier": known.classifier,
        "num_classes": len(model.classes),
    }
    options: dict[str, Any] = {"img_size": size} if known.fixed_input_size else {}
    network = timm.create_model(
        split_model_name_tag(model.name)[0],
        num_classes=len(model.classes),
        pretrained_cfg=config,
        **options,
    )
    tensors, expected = dict(model.backbone.state_dict()), network.state_dict()
    layers = (known.classifier,) if isinstance(known.classifier, str) else known.classifier or ()
    for layer in layers:
        for name, tensor in model.head.state_dict().items():
            # Some classifiers are a convolution of 1 × 1.
            tensors[f"{layer}.{name}"] = tensor.reshape(expected[f"{layer}.{name}"].shape)
    network.load_state_dict(tensors)
    return network.eval()


def _difference(model: Classifier, folder: Path, size: int) -> float:
    """The largest of the logits as a fraction of the largest, timm's from the files."""
    network = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    stated = resolve_model_data_config(network)
    expects = Expectation(mean=stated["mean"], std=stated["std"])
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, size, size, 3), generator=generator, dtype=torch.uint8)
    with torch.inference_mode():
        expected = model(images)
        found = network(expects.normalised(images.permute(0, 3, 1, 2)))
    return float((found - expected).abs().max() / expected.abs().max())


def _withdrawn(folder: Path, reason: str) -> str:
    for name in (CONFIG, WEIGHTS):
        (folder / name).unlink(missing_ok=True)
    return reason
