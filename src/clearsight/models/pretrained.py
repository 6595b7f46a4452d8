"""Backbones of timm by their name there, with or without pretrained weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import timm
from timm.models import split_model_name_tag
from torch import Tensor, nn

from clearsight.config.parsing import did_you_mean
from clearsight.errors import ConfigError, WeightsError, first_line, shown
from clearsight.models.preprocess import Expectation, Interpolation
from clearsight.models.sizes import NETWORK_ERRORS, unfit_size
from clearsight.models.weights import Weights, from_file, from_hub, from_package


def is_known(name: str) -> bool:
    """Whether timm has a network of that name, such as `resnet18` or `resnet18.a1_in1k`."""
    architecture, tag = _split(name)
    if not architecture or not timm.is_model(architecture):
        return False
    return not tag or name in timm.list_pretrained(f"{architecture}.*")


def known_names() -> list[str]:
    """timm's architectures."""
    return timm.list_models()


def backbone(name: str, size: int | None) -> nn.Module:
    """The network without its classifier, normalised images [N, 3, S, S] → features [N, D].

    Random weights; no network is needed. `size`: the side S, which transformers must know. Raises
    `ConfigError` for a side it can't be built for.
    """
    try:
        return _create(name, size)
    except NETWORK_ERRORS as error:
        if size is None:
            raise
        raise unfit_size(name, size, expectation(name).size, error) from error


def feature_count(network: nn.Module) -> int:
    """D of the features."""
    return int(cast(Any, network).head_hidden_size)


def expectation(name: str) -> Expectation:
    """What the weights timm knows by that name expect of images."""
    about = timm.get_pretrained_cfg(name)
    assert about is not None, name
    interpolation: Interpolation = "bicubic" if about.interpolation == "bicubic" else "bilinear"
    return Expectation(
        mean=tuple(about.mean),
        std=tuple(about.std),
        size=about.input_size[-1],
        interpolation=interpolation,
    )


def find_weights(name: str, given: str | None) -> Weights:
    """The weights of timm's `name`: the file `given`, else a package's, else the hub's.

    Raises `WeightsError` where none of them has any.
    """
    expects = expectation(name)
    if given is not None:
        return from_file(Path(given).expanduser(), expects)
    packaged = from_package(split_model_name_tag(name)[0])
    if packaged is not None:
        return packaged
    about = timm.get_pretrained_cfg(name)
    assert about is not None, name
    if not about.hf_hub_id:
        raise WeightsError(
            f"weights of {name}: none are published; give a file (--model.weights FILE), name "
            "another network, or start from random weights (--model.weights none)"
        )
    repository = about.hf_hub_id.partition("@")[0]
    return from_hub(repository, about.license, expects, name)


def backbone_with(name: str, size: int | None, weights: Weights) -> nn.Module:
    """`backbone` with `weights`, every one of them. Raises `WeightsError` where they do not fit."""
    tensors = dict(weights.tensors)
    if weights.in_order:
        tensors = in_order(tensors, timm.create_model(name), weights.source)
    if all(key.startswith(("preprocess.", "backbone.", "head.")) for key in tensors):
        raise WeightsError(
            f"weights from {weights.source}: they are a clearsight classifier's, with its own head "
            f"and preprocessing; give the weights of {name} alone"
        )
    about = timm.get_pretrained_cfg(name)
    assert about is not None, name
    layers = (about.classifier,) if isinstance(about.classifier, str) else about.classifier or ()
    for layer in layers:
        tensors.pop(f"{layer}.weight", None)
        tensors.pop(f"{layer}.bias", None)
    try:
        # With no classes on either side timm wants every tensor to find its place.
        return _create(name, size, {"state_dict": tensors, "num_classes": 0, "label_offset": 0})
    except (RuntimeError, KeyError, ValueError) as error:
        why = difference(_create(name, size).state_dict(), tensors) or first_line(error)
        raise WeightsError(
            f"weights from {weights.source}: they are not those of {name} ({why}); name their "
            "network in --model.name"
        ) from error


def difference(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str | None:
    """The first tensor of a network that is missing, or of another shape; else one too many."""
    for name, tensor in wanted.items():
        if name not in found:
            return f"they lack {name}"
        if tensor.shape != found[name].shape:
            shape, own = list(found[name].shape), list(tensor.shape)
            return f"their {name} is {shape}, the network's is {own}"
    extra = next((name for name in found if name not in wanted), None)
    return None if extra is None else f"they have {shown(extra)}, the network has not"


def in_order(tensors: dict[str, Any], network: nn.Module, source: str) -> dict[str, Any]:
    """Tensors of another implementation by the network's own names, each in its place in order."""
    expected = network.state_dict()
    shapes = [tuple(t.shape) for t in tensors.values()]
    if shapes != [tuple(t.shape) for t in expected.values()]:
        raise WeightsError(f"weights from {source}: other shapes than expected; install it anew")
    return dict(zip(expected, tensors.values(), strict=True))


def _create(name: str, size: int | None, overlay: dict[str, Any] | None = None) -> nn.Module:
    about = timm.get_pretrained_cfg(name)
    options: dict[str, Any] = {"num_classes": 0}
    if about is not None and about.fixed_input_size and size is not None:
        options["img_size"] = size
    if overlay is None:
        return timm.create_model(name, pretrained=False, **options)
    return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **options)


def _split(name: str) -> tuple[str, str]:
    """Architecture and tag; both empty for a dot with nothing after it, which timm cuts off."""
    return ("", "") if name.endswith(".") else split_model_name_tag(name)


def check_name(name: str, own: list[str]) -> None:
    """Raises `ConfigError` unless timm has a network of that name; `own` are the others."""
    if is_known(name):
        return
    architecture, tag = _split(name)
    if tag and timm.is_model(architecture):
        tagged = timm.list_pretrained(f"{architecture}.*")
        raise ConfigError(
            f"model.name: timm knows no {name!r}; expected {architecture} or one of "
            f"{', '.join(tagged) or 'none'}"
        )
    # Names as the hub writes them have an owner before a slash: hf-hub:timm/resnet18.a1_in1k.
    bare = name.rpartition("/")[2].lower()
    hint = f" (did you mean {bare!r}?)" if is_known(bare) else ""
    hint = hint or did_you_mean(bare, [*own, *known_names()])
    raise ConfigError(
        f"model.name: found {name!r}{hint}, expected one of {', '.join(own)}, or any of timm's"
    )
