"""The pre-flight check: a few images are looked at, and go through the model, before hours do.

It looks for mistakes that leave training running but learning nothing: damaged pixels, shuffled
labels, pixels scaled twice or for other weights, features that do not tell images apart, a head
that starts far from guessing.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clearsight.config.schema import Config
from clearsight.data.images import ImageSet
from clearsight.errors import TrainingError, UsageError
from clearsight.explanation.layers import SMALLEST_MAP, choose_layer
from clearsight.models.classifier import Classifier
from clearsight.models.modes import BATCH_NORMS, evaluating, keeping_statistics
from clearsight.models.preprocess import Expectation
from clearsight.models.stages import final_map, stages
from clearsight.training.findings import Finding
from clearsight.training.image_checks import check_images
from clearsight.training.normalisation import check_normalisation
from clearsight.training.trial import check_steps

IMAGES = 16  # enough to see a spread, and few enough for a large network on two cores
TOLERANCE = 0.02  # of what enters, relative to its size
SPREAD = 0.03  # of features over images, relative to their size
# How far from ln(classes) the first loss may be: nats at least, and as a multiple of it. A deep
# residual network's random features are large: ResNet-110 starts at 5.9 on ten classes.
BAND_LEARNT, BAND_RANDOM = (1.5, 0.5), (4.0, 2.0)


def check_run(
    model: Classifier, config: Config, images: ImageSet, indices: np.ndarray, *, force: bool
) -> list[Finding]:
    """Checks a run's training images, at `indices` (int64 [N]), its model, and both together.

    Raises `ConfigError` where the model can't take a step, and `TrainingError` with what is wrong
    and the remedy, unless `force`d.
    """
    few = indices[np.linspace(0, len(indices) - 1, min(IMAGES, len(indices)), dtype=np.int64)]
    device = model.preprocess.mean.device
    pixels = torch.from_numpy(images.images[few]).to(device)
    labels = torch.from_numpy(images.labels[few]).to(device)
    check_steps(model, config, pixels[:2], len(indices))
    found = check_images(images.images, images.labels, indices, images.classes)
    found += preflight(model, pixels, labels, fresh_head=not model.known)
    errors = [finding.message for finding in found if finding.level == "error"]
    if errors and not force:
        raise TrainingError(
            f"pre-flight check: {'; moreover '.join(errors)}; nothing was trained (--force trains "
            "all the same, and records it)"
        )
    return found


@torch.no_grad()
def preflight(
    model: Classifier, images: Tensor, labels: Tensor, *, fresh_head: bool = True
) -> list[Finding]:
    """Sends `images` (uint8 [N, H, W, 3], N ≥ 2, a few dozen) with `labels` (int64 [N]) through.

    What enters the backbone is compared with what `model.expects` (default: its first layer's own
    mean and standard deviation). The loss is looked at where the head is fresh. A backbone without
    pretrained weights runs on the batch's own statistics, as in training. The model is left as it
    was.
    """
    entering: list[Tensor] = []
    features: list[Tensor] = []

    def keep(_module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        entering.append(arguments[0])
        features.append(output)

    with evaluating(model), keeping_statistics(model):
        for module in model.modules():
            if model.origin is None and isinstance(module, BATCH_NORMS):
                module.train()
        handle = model.backbone.register_forward_hook(keep)
        try:
            logits = model(images)
        finally:
            handle.remove()
    pixels = model.preprocess.resampled(images)
    found = [
        check_input(entering[0], pixels, expected(model)) or check_normalisation(model, images),
        check_features(features[0]),
    ]
    if fresh_head:
        found.append(check_loss(logits, labels, random=model.origin is None))
    found.append(check_map(model, images[:1]))
    return [finding for finding in found if finding is not None]


def expected(model: Classifier) -> Expectation:
    """What the model's weights expect; what its first layer says where nothing else does."""
    layer = model.preprocess
    return model.expects or Expectation(
        mean=tuple(layer.mean.flatten().tolist()),
        std=tuple(layer.std.flatten().tolist()),
        channel_order=layer.channel_order,
    )


def check_input(entering: Tensor, pixels: Tensor, expects: Expectation) -> Finding | None:
    """Compares what enters the backbone with `pixels` normalised as its weights expect.

    Both are [N, 3, S, S], `pixels` RGB from 0 to 255 and resampled already: what resampling takes
    away from fine patterns is missing on both sides.
    """
    wanted = expects.normalised(pixels)
    found_mean, found_spread = _statistics(entering.float())
    wanted_mean, wanted_spread = _statistics(wanted)
    difference = float((entering.float() - wanted).square().mean().sqrt())
    if difference <= TOLERANCE * float(wanted.square().mean().sqrt()):
        return None
    ratio = found_spread / max(wanted_spread, 1e-12)
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
    elif 0.9 < ratio < 1.1 and abs(found_mean - wanted_mean) < 0.1:
        seen += "; the values differ all the same: check the order of the channels"
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
    shown = "gives no map"
    if size is not None:
        shown = f"has a map of {size[0]} × {size[1]}, too small for a heatmap"
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
        f"the last stage {shown}; {use} ({larger} a larger one)",
    )


def _statistics(x: Tensor) -> tuple[float, float]:
    """Mean of [N, 3, H, W], and the mean of its channels' standard deviations."""
    return float(x.mean()), float(x.std((0, 2, 3)).mean())
