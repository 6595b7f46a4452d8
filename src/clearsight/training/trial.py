"""A step on trial: whether a network takes images of this size, and batches as small as these."""

import torch
from torch import Tensor

from clearsight.config.schema import Config, PhaseConfig
from clearsight.errors import ConfigError, first_line
from clearsight.models.classifier import Classifier
from clearsight.models.modes import evaluating, keeping_statistics
from clearsight.models.sizes import NETWORK_ERRORS, too_small
from clearsight.training.freezing import freeze, selected, set_modes


def check_steps(model: Classifier, config: Config, images: Tensor, count: int) -> None:
    """One forward and backward pass of every phase, with as few images as training may have.

    `images`: uint8 [N, H, W, 3], one or two of the `count` training images. The model is left as
    it was. Raises `ConfigError` that names `model.size` (`data.size` for networks that take images
    as they are) or `training.batch`.
    """
    least = images[: min(config.training.batch, count)]
    allowed = {name for name, p in model.named_parameters() if p.requires_grad}
    devices = [images.device] if images.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices), evaluating(model), keeping_statistics(model):
            _check_forward(model, images)
            for number, phase in enumerate(config.phases):
                names = selected(model, phase.trainable, f"phases.{number}.trainable")
                freeze(model, names, allowed)
                _check_step(model, phase, least)
    finally:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in allowed)
            parameter.grad = None


@torch.no_grad()
def _check_forward(model: Classifier, images: Tensor) -> None:
    try:
        features = model.backbone(model.preprocess(images))
        model.head(features)
    except NETWORK_ERRORS as error:
        raise too_small(model, images.shape[1], error) from error
    if features.shape != (len(images), features.shape[-1]):
        raise ConfigError(
            f"model.name: {model.name} gives features of shape {list(features.shape)} for "
            f"{len(images)} images, expected [{len(images)}, D]; choose another network"
        )


def _check_step(model: Classifier, phase: PhaseConfig, images: Tensor) -> None:
    set_modes(model, phase)
    side = round(phase.progressive_resizing * images.shape[1])
    small = images[:, :side, :side]
    try:
        logits = model(small)
        if logits.requires_grad:
            logits.float().sum().backward()
    except NETWORK_ERRORS as error:
        if len(images) == 1:
            raise ConfigError(
                f"training.batch: {model.name} can't train on one image per step at this size "
                f"({first_line(error)}); set training.batch to 2 or more"
            ) from error
        raise too_small(model, side, error) from error
