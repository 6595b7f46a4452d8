"""Names to networks: builders of this package, which return (backbone, head), and all of timm's.

`build` is the one way a `Classifier` comes to be, in training and from a bundle alike.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from clearsight.config.schema import ModelConfig
from clearsight.errors import ConfigError
from clearsight.models import airnet, resnet, wide_resnet
from clearsight.models.classifier import Classifier
from clearsight.models.heads import HEADS
from clearsight.models.preprocess import Preprocess

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
    """The classifier a run starts from: pretrained where timm's name says so, else random.

    `statistics` gives mean and standard deviation of the training pixels divided by 255, by which
    a network of this package normalises; weights bring their own. Raises `ConfigError`, and
    `WeightsError` where weights can't be had.
    """
    twice = config.preprocess == "double-scaled"
    if config.name in BUILDERS:
        for field, value in (("weights", config.weights), ("size", config.size)):
            if value not in (None, "none"):
                raise ConfigError(
                    f"model.{field}: found {value!r}, but {config.name} starts from random "
                    f"weights at the images' own size; leave it out"
                )
        preprocess = Preprocess(*statistics(), scaled_twice=twice)
        return build(config.name, classes, preprocess, config.head)

    from clearsight.models import pretrained

    pretrained.check_name(config.name, model_names())
    weights = None
    if config.weights != "none":
        weights = pretrained.find_weights(config.name, config.weights)
    expects = weights.expects if weights else pretrained.expectation(config.name)
    preprocess = Preprocess(
        expects.mean, expects.std, config.size or expects.size, expects.interpolation, twice
    )
    model = build(config.name, classes, preprocess, config.head)
    if weights:
        model.backbone = pretrained.backbone_with(config.name, preprocess.size, weights)
        model.origin = weights.origin()
    return model


def input_size(config: ModelConfig) -> int | None:
    """The side to which the first layer resamples images, in px; None where it leaves them."""
    if config.name in BUILDERS:
        return None
    from clearsight.models import pretrained

    pretrained.check_name(config.name, model_names())
    return config.size or pretrained.expectation(config.name).size


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
