"""What a model says of a class for many images: the one place where explanations ask it."""

import torch
from torch import Tensor, nn

from clearsight.evaluation.metrics import batch_size
from clearsight.explanation.layers import borrowed
from clearsight.models.classifier import Classifier, calibrated
from clearsight.models.stages import entering_sides
from clearsight.runtime.device import Precision, autocast


def class_probabilities(
    model: nn.Module, images: Tensor, targets: Tensor, *, precision: Precision = "fp32"
) -> Tensor:
    """Images uint8 or float 0–255 [N, H, W, 3] → float32 [N], the probability of each's target."""
    return _ask(model, images, targets, precision, probabilities=True)


def class_logits(
    model: nn.Module, images: Tensor, targets: Tensor, *, precision: Precision = "fp32"
) -> Tensor:
    """As `class_probabilities`, before the softmax."""
    return _ask(model, images, targets, precision, probabilities=False)


def image_features(model: Classifier, images: Tensor, *, precision: Precision = "fp32") -> Tensor:
    """uint8 [N, H, W, 3] → float32 [N, D], what the head is given of each, of length 1."""
    with borrowed(model, images.device), torch.no_grad(), autocast(images.device, precision):
        features = model.backbone(model.preprocess(images)).float()
    return nn.functional.normalize(features, dim=1)


def _ask(
    model: nn.Module, images: Tensor, targets: Tensor, precision: Precision, *, probabilities: bool
) -> Tensor:
    found, temperature = [], getattr(model, "temperature", 1.0)
    batch = batch_size(entering_sides(model, images)[0])
    with borrowed(model, images.device), torch.no_grad(), autocast(images.device, precision):
        for some, of in zip(images.split(batch), targets.split(batch), strict=True):
            logits = model(some).float()
            scores = calibrated(logits, temperature) if probabilities else logits
            found.append(scores.gather(1, of[:, None])[:, 0])
    return torch.cat(found)
