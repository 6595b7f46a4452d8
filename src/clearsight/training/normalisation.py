"""Whether pretrained weights get the pixels they were trained on: their batch norms remember.

A batch norm keeps mean and variance of what entered it in training (Ioffe and Szegedy 2015,
arXiv:1502.03167). Images of other subjects, drawings and scans included, change these by a small
factor; pixels of another scale change them by its square.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from clearsight.models.classifier import Classifier
from clearsight.models.modes import BATCH_NORMS, evaluating
from clearsight.models.preprocess import Expectation
from clearsight.training.findings import Finding

# Variances of channels as a fraction of those remembered. Measured on EfficientNet-Lite0 at 32 to
# 224 px with photographs, digits, sketches, text, scans, flat icons and noise, also darkened to a
# fifth: 0.04 to 9 for the 90th percentile, 0.02 to 2 for the median. Weights for 0-255 used with
# pixels normalised: at most 0.003; the other way round: at least 300.
LEAST, MOST = 0.008, 50.0
EDGE = 2  # pixels of a map that zero padding reaches

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
COMMON: Mapping[str, Expectation] = {
    'mean = [0, 0, 0], std = [1, 1, 1], pixel_range = "0-255"': Expectation(
        mean=(0.0,) * 3, std=(1 / 255,) * 3
    ),
    'mean = [103.939, 116.779, 123.68], std = [1, 1, 1], pixel_range = "0-255", '
    'channel_order = "bgr"': Expectation(
        mean=(103.939 / 255, 116.779 / 255, 123.68 / 255), std=(1 / 255,) * 3, channel_order="bgr"
    ),
    "mean = [0, 0, 0], std = [1, 1, 1]": Expectation(mean=(0.0,) * 3, std=(1.0,) * 3),
    "mean = [0.5, 0.5, 0.5], std = [0.5, 0.5, 0.5]": Expectation(mean=(0.5,) * 3, std=(0.5,) * 3),
    f"mean = {list(IMAGENET[0])}, std = {list(IMAGENET[1])}": Expectation(
        mean=IMAGENET[0], std=IMAGENET[1]
    ),
}


class _ReachedError(Exception):
    """The first batch norm has its input: the rest of the network need not run."""


@torch.no_grad()
def check_normalisation(model: Classifier, images: Tensor) -> Finding | None:
    """Compares what enters the first batch norm with what it remembers.

    `images`: uint8 [N, H, W, 3], at least a few. None where the weights have learnt nothing yet, or
    the network has no batch norm: then nothing can be told.
    """
    if model.origin is None:
        return None
    found = _variances(model.backbone, model.preprocess(images))
    if found is None or _fits(found[0]):
        return None
    spread = float(found[0].median().sqrt())
    pixels = model.preprocess.resampled(images)
    scored = []
    for setting, expects in COMMON.items():
        tried = _variances(model.backbone, expects.normalised(pixels))
        assert tried is not None
        if _fits(tried[0]):
            scored.append((tried[1], setting))
    advice = "state what they expect (model.mean, model.std, model.pixel_range)"
    if scored:
        advice = f"they fit pixels with {min(scored)[1]}: set these in [model]"
    return Finding(
        "error",
        "weights",
        "the weights were made for pixels of another scale: the network's first layer gives "
        f"values that spread {spread:.2g} times as far as its first batch norm remembers from "
        "training; "
        f"{advice}",
    )


def _fits(ratios: Tensor) -> bool:
    return float(ratios.quantile(0.9)) > LEAST and float(ratios.median()) < MOST


def _variances(backbone: nn.Module, x: Tensor) -> tuple[Tensor, float] | None:
    """Variances of the channels [C] that enter the first batch norm, as fractions of those it
    remembers, and how far all of it is from that: the median divergence (Kullback-Leibler)."""
    entered: list[tuple[nn.Module, Tensor]] = []

    def keep(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        entered.append((module, arguments[0].float()))
        raise _ReachedError

    norms = [m for m in backbone.modules() if isinstance(m, BATCH_NORMS) and m.track_running_stats]
    handles = [norm.register_forward_pre_hook(keep) for norm in norms]
    try:
        with evaluating(backbone):
            backbone(x)
    except _ReachedError:
        pass
    finally:
        for handle in handles:
            handle.remove()
    if not entered:
        return None
    norm, values = entered[0]
    if values.ndim == 4 and min(values.shape[2:]) > 4 * EDGE:
        values = values[..., EDGE:-EDGE, EDGE:-EDGE]
    channels = values.transpose(0, 1).flatten(1)
    mean, variance = norm.running_mean, norm.running_var
    assert isinstance(mean, Tensor)
    assert isinstance(variance, Tensor)
    alive = variance > 1e-3 * variance.median()  # a channel may have died in training
    ratios = (channels.var(1) / variance)[alive].clamp_min(1e-12)
    shifts = ((channels.mean(1) - mean).square() / variance)[alive]
    return ratios, float((ratios + shifts - 1 - ratios.log()).median() / 2)
