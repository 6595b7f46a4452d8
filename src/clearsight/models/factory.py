"""Names to networks: builders of this package, which return (backbone, head), and all of timm's.

`build` is the one way a `Classifier` comes to be, in training and from a bundle alike.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from clearsight.config.schema import ModelConfig
from clearsight.errors import ConfigError
from clearsight.models import airnet, resnet, wide_resnet
from clearsight.models.classifier import Classifier
from clearsight.models.heads import HEADS
from clearsight.models.preprocess import Expectation, Preprocess

Builder = Callable[[int], tuple[nn.Module, nn.Module]]
Statistics = tuple[Sequence[float], Sequence[float]]

BUILDERS: dict[str, Builder] = {**airnet.BUILDERS, **resnet.BUILDERS, **wide_resnet.BUILDERS}


def model_names() -> list[str]:
    """The networks of this package, sorted; `build` knows timm's as well."""
    return sorted(BUILDERS)


def build(
    name: str, classes: Sequence[str], preprocess: Preprocess, head: str = "linear"
) -> Classifier:
    """A new classifier with random weights; no network is needed.

    `name` is one of `model_names()` or any of timm's; `head` is `linear` (for a network of this
    package its own) or `mlp`. Raises `ConfigError` for other names.
    """
    if head not in HEADS:
        raise ConfigError(f"model.head: found {head!r}, expected one of {', '.join(HEADS)}")
    if name in BUILDERS:
        backbone, own_head = BUILDERS[name](len(classes))
        if head == "linear":
            return _classifier(name, classes, preprocess, backbone, own_head, head)
        features = backbone.features
        assert isinstance(features, int)
        module = HEADS[head](features, len(classes))
        return _classifier(name, classes, preprocess, backbone, module, head)

    from clearsight.models import pretrained  # timm takes a second to import

    pretrained.check_name(name, model_names())
    backbone = pretrained.backbone(name, preprocess.size)
    module = HEADS[head](pretrained.feature_count(backbone), len(classes))
    return _classifier(name, classes, preprocess, backbone, module, head)


def rebuild(about: Mapping[str, Any]) -> Classifier:
    """The classifier that `Classifier.describe` describes, with random weights."""
    model = build(
        about["model"],
        about["classes"],
        Preprocess(**about["preprocess"]),
        about.get("head", "linear"),
    )
    model.origin = about.get("weights")
    return model


def start(
    config: ModelConfig, classes: Sequence[str], statistics: Callable[[], Statistics]
) -> Classifier:
    """The classifier a run starts from: trained or pretrained where weights say so, else random.

    `statistics` gives mean and standard deviation of the training pixels divided by 255, by which
    a network of this package normalises; weights bring their own. Raises `ConfigError`, and
    `WeightsError` where weights can't be had.
    """
    from clearsight.models import own

    trained = own.find_trained(config.weights)
    if trained is not None:
        return own.begin_from(trained, config, classes)
    if config.name in BUILDERS:
        for field in ("weights", "size", "mean", "std", "pixel_range", "channel_order"):
            value = getattr(config, field)
            if value not in (getattr(ModelConfig, field), "none"):
                raise ConfigError(
                    f"model.{field}: found {value!r}, but {config.name} starts from random "
                    f"weights at the images' own size and statistics; leave it out"
                )
        mean, std = statistics()
        expects = Expectation(mean=tuple(mean), std=tuple(std))
        model = build(config.name, classes, _first_layer(config, expects), config.head)
        model.expects = expects
        return model

    from clearsight.models import pretrained

    pretrained.check_name(config.name, model_names())
    weights = None
    if config.weights != "none":
        weights = pretrained.find_weights(config.name, config.weights)
    expects = _stated(config, weights.expects if weights else pretrained.expectation(config.name))
    preprocess = _first_layer(config, expects)
    model = build(config.name, classes, preprocess, config.head)
    if weights:
        model.backbone = pretrained.backbone_with(config.name, preprocess.size, weights)
        model.origin = weights.origin()
    model.expects = expects
    return model


def input_size(config: ModelConfig) -> int | None:
    """The side to which the first layer resamples images, in px; None where it leaves them."""
    if config.name in BUILDERS:
        return None
    from clearsight.models import pretrained

    pretrained.check_name(config.name, model_names())
    return config.size or pretrained.expectation(config.name).size


def _first_layer(config: ModelConfig, expects: Expectation) -> Preprocess:
    return Preprocess(
        expects.mean,
        expects.std,
        config.size or expects.size,
        expects.interpolation,
        scaled_twice=config.preprocess == "double-scaled",
        channel_order=expects.channel_order,
    )


def _stated(config: ModelConfig, known: Expectation) -> Expectation:
    """`known`, corrected by what the settings state of the weights. Raises `ConfigError`."""
    stated = dataclasses.replace(known, channel_order=config.channel_order)
    if config.mean is None and config.std is None and config.pixel_range == "0-1":
        return stated
    if config.mean is None or config.std is None:
        missing = [f"model.{field}" for field in ("mean", "std") if getattr(config, field) is None]
        raise ConfigError(
            f"{' and '.join(missing)}: not given; state model.mean, model.std and "
            "model.pixel_range together, as the weights expect them"
        )
    largest = 255 if config.pixel_range == "0-255" else 1
    for field, values in (("mean", config.mean), ("std", config.std)):
        if max(values) > largest:
            raise ConfigError(
                f"model.{field}: found {max(values):g}, but pixels go up to {largest}; set "
                'model.pixel_range = "0-255" where the weights expect such pixels'
            )
    return dataclasses.replace(
        stated,
        mean=tuple(value / largest for value in config.mean),
        std=tuple(value / largest for value in config.std),
    )


def _classifier(
    name: str,
    classes: Sequence[str],
    preprocess: Preprocess,
    backbone: nn.Module,
    head: nn.Module,
    head_kind: str,
) -> Classifier:
    return Classifier(
        name=name,
        preprocess=preprocess,
        backbone=backbone,
        head=head,
        classes=tuple(classes),
        head_kind=head_kind,
    )
