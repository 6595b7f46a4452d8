"""Names to networks. A builder returns (backbone, head) for a number of classes.

`build` is the one way a `Classifier` comes to be, in training and from a bundle alike.
"""

from collections.abc import Callable, Sequence

from torch import nn

from clearsight.errors import ConfigError
from clearsight.models import airnet, resnet, wide_resnet
from clearsight.models.classifier import Classifier
from clearsight.models.preprocess import Preprocess

Builder = Callable[[int], tuple[nn.Module, nn.Module]]

BUILDERS: dict[str, Builder] = {**airnet.BUILDERS, **resnet.BUILDERS, **wide_resnet.BUILDERS}


def model_names() -> list[str]:
    """All names `build` knows, sorted."""
    return sorted(BUILDERS)


def build(name: str, classes: Sequence[str], preprocess: Preprocess) -> Classifier:
    """A new classifier with random weights. Raises `ConfigError` for an unknown name."""
    if name not in BUILDERS:
        raise ConfigError(f"model.name: found {name!r}, expected one of {', '.join(model_names())}")
    backbone, head = BUILDERS[name](len(classes))
    return Classifier(
        name=name,
        preprocess=preprocess,
        backbone=backbone,
        head=head,
        classes=tuple(classes),
    )
