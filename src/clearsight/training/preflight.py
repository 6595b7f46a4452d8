"""The pre-flight check: one batch goes through the model before hours do.

It looks for mistakes that leave training running but learning nothing: pixels scaled twice or not
at all, features that do not tell images apart, a head that starts far from guessing.
"""

import math
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clearsight.data.images import ImageSet
from clearsight.errors import TrainingError, UsageError
from clearsight.explanation.cam import SMALLEST_MAP, choose_layer
from clearsight.models.classifier import Classifier
from clearsight.models.modes import evaluating
from clearsight.models.stages import final_map, stages

IMAGES = 16  # enough to see a spread, and few enough for a large network on two cores
FLAT = 0.02  # standard deviation of pixels, 0–1, under which images are one constant
SPREAD = 0.03  # of features over images, relative to their size
# How far from ln(classes) the first loss may be: nats at least, and as a multiple of it. A deep
# residual network's random features are large: ResNet-110 starts at 5.9 on ten classes.
BAND_LEARNT, BAND_RANDOM = (1.5, 0.5), (4.0, 2.0)


@dataclass(frozen=True)
class Finding:
    """What the check found: `kind` is input, features, loss or map; an `error` stops the run."""

    level: Literal["error", "warning"]
    kind: Literal["input", "features", "loss", "map"]
    message: str


def check_run(
    model: Classifier, images: ImageSet, where: np.ndarray, *, force: bool
) -> list[Finding]:
    """`preflight` on a few of a run's training images, at positions `where` (int64 [N]).

    Raises `TrainingError` with what is wrong and the remedy, unless `force`d.
    """
    some = where[np.linspace(0, len(where) - 1, min(IMAGES, len(where)), dtype=np.int64)]
    device = model.preprocess.mean.device
    found = preflight(
        model,
        torch.from_numpy(images.images[some]).to(device),
        torch.from_numpy(images.labels[some]).to(device),
    )
    errors = [finding.message for finding in found if finding.level == "error"]
    if errors and not force:
        raise TrainingError(
            f"pre-flight check: {'; moreover '.join(errors)}; nothing was trained (--force trains "
            "all the same, and records it)"
        )
    return found


@torch.no_grad()
def preflight(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    fresh_head: bool = True,
    expects: tuple[Sequence[float], Sequence[float]] | None = None,
) -> list[Finding]:
    """Sends `images` (uint8 [N, H, W, 3], N ≥ 2, a few dozen) with `labels` (int64 [N]) through.

    `expects`: mean and standard deviation, of pixels divided by 255, by which the backbone's
    weights want pixels normalised; default: those of the model's first layer. The loss is looked
    at where the head is fresh. A backbone without pretrained weights runs on the batch's own
    statistics, as in training. The model is left as it was.
    """
    if expects is None:
        layer = model.preprocess
        expects = layer.mean.flatten().tolist(), layer.std.flatten().tolist()
    entering: list[Tensor] = []
    features: list[Tensor] = []

    def keep(_module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        entering.append(arguments[0])
        features.append(output)

    with _prepared(model):
        handle = model.backbone.register_forward_hook(keep)
        try:
            logits = model(images)
        finally:
            handle.remove()
    found = [check_input(entering[0], images, expects), check_features(features[0])]
    if fresh_head:
        found.append(check_loss(logits, labels, random=model.origin is None))
    found.append(check_map(model, images[:1]))
    return [finding for finding in found if finding is not None]


def check_input(
    entering: Tensor, images: Tensor, expects: tuple[Sequence[float], Sequence[float]]
) -> Finding | None:
    """Compares what enters the backbone, [N, 3, S, S], with the pixels normalised once."""
    pixels = images.float() / 255.0
    if pixels.std() < FLAT:
        top = int(images.max())
        cause = "they look scaled to 0–1 before they were stored" if top <= 1 else "look at them"
        return Finding(
            "error",
            "input",
            f"the images hardly have contrast: pixels from {int(images.min())} to {top} of 255, "
            f"standard deviation {float(images.float().std()):.2g}; {cause}, give pixels from 0 "
            "to 255",
        )
    mean, std = (torch.tensor(list(v), device=pixels.device) for v in expects)
    wanted_mean, wanted_spread = _statistics(((pixels - mean) / std).permute(0, 3, 1, 2))
    found_mean, found_spread = _statistics(entering.float())
    ratio = found_spread / wanted_spread
    if 0.7 < ratio < 1.4 and abs(found_mean - wanted_mean) < 0.5:
        return None
    seen = (
        f"what enters the backbone has mean {found_mean:.3g} and spread {found_spread:.2g}, its "
        f"weights expect {wanted_mean:.3g} and {wanted_spread:.2g}"
    )
    if 0.5 < ratio * 255 < 2:
        seen += (
            ": pixels were scaled to 0–1 and then divided by 255 once more, so that every image "
            'becomes almost the same constant; scale them once (model.preprocess = "weights")'
        )
    elif 0.5 < ratio / 255 < 2:
        seen += ": pixels were left at 0–255; divide them by 255 before they are normalised"
    else:
        seen += "; normalise pixels as the weights' own preprocessing does, and nowhere else"
    return Finding("error", "input", seen)


def check_features(features: Tensor) -> Finding | None:
    """Looks at how much features [N, D] differ between images."""
    spread = relative_spread(features)
    if spread >= SPREAD:
        return None
    return Finding(
        "error",
        "features",
        f"the features hardly differ between images: they spread by {spread:.2g} of their size, "
        f"expected {SPREAD:g} or more; a head can't tell such images apart: look at how pixels "
        "are scaled and whether the weights were loaded",
    )


def relative_spread(features: Tensor) -> float:
    """Features [N, D]: root mean square distance from their mean, divided by that from zero."""
    features = features.float()
    size = features.square().sum(1).mean().sqrt()
    distance = (features - features.mean(0)).square().sum(1).mean().sqrt()
    return float(distance / size) if float(size) > 0 else 0.0


def check_loss(logits: Tensor, labels: Tensor, *, random: bool) -> Finding | None:
    """Looks at the loss before the first step, which is about that of guessing, ln(classes).

    `random`: the backbone has learnt nothing yet; its features may be of another size.
    """
    guessing = math.log(logits.shape[1])
    least, share = BAND_RANDOM if random else BAND_LEARNT
    loss = float(F.cross_entropy(logits.float(), labels.to(logits.device)))
    low, high = 0.5 * guessing, guessing + max(least, share * guessing)
    if low < loss < high:
        return None
    return Finding(
        "error",
        "loss",
        f"the first loss is {loss:.3g}, a fresh head should start near guessing, ln "
        f"{logits.shape[1]} = {guessing:.3g}; look at the scale of features and head",
    )


def check_map(model: Classifier, image: Tensor) -> Finding | None:
    """Looks whether the last stage has a map large enough for a heatmap."""
    size = final_map(model, image)
    if size is not None and min(size) >= SMALLEST_MAP:
        return None
    shown = "has no map" if size is None else f"has a map of {size[0]} × {size[1]}"
    try:
        layer = choose_layer(model, tuple(image.shape[1:]))
    except UsageError:
        use = "heatmaps can't be drawn"
    else:
        # Inside the last stage the map may be large enough. A network that takes images as they
        # are was made for their size: that it pools to less in its last stage is its design.
        near = 1 if model.preprocess.size is not None else 2
        if any(f"backbone.{name}." in f"{layer}." for name, _ in stages(model.backbone)[-near:]):
            return None
        use = f"heatmaps show {layer} instead"
    larger = "larger images give" if model.preprocess.size is None else "a larger model.size gives"
    return Finding(
        "warning",
        "map",
        f"the last stage {shown}, too small for a heatmap; {use} ({larger} a larger one)",
    )


def _statistics(x: Tensor) -> tuple[float, float]:
    """Mean of [N, 3, H, W], and the mean of its channels' standard deviations."""
    return float(x.mean()), float(x.std((0, 2, 3)).mean())


@contextmanager
def _prepared(model: Classifier) -> Generator[None]:
    """Eval mode; where nothing was learnt yet, batch norms take the batch's statistics instead."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    kept = [{name: buffer.clone() for name, buffer in norm.named_buffers()} for norm in norms]
    with evaluating(model):
        if model.origin is None:
            for norm in norms:
                norm.train()
        try:
            yield
        finally:
            for norm, buffers in zip(norms, kept, strict=True):
                for name, buffer in norm.named_buffers():
                    buffer.copy_(buffers[name])
