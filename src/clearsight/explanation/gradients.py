"""Evidence by the gradients of pixels: integrated gradients, and these focused on a region.

Both give uint8 images [N, H, W, 3] and `targets` int64 [N] → float32 [N, H, W]. The model, frozen
or not, comes back as it was.
"""

from contextlib import suppress

import torch
from torch import Tensor, nn

from clearsight.errors import UsageError
from clearsight.explanation.cam import layer_cam
from clearsight.explanation.heatmaps import heatmaps, pixel_ranks
from clearsight.explanation.layers import borrowed
from clearsight.explanation.references import blurred, mean_colour, smoothed
from clearsight.runtime.device import Precision, autocast

STEPS = 16
# Of `focused_gradients`, all chosen on validation images: docs/trust.md says which.
FEW_STEPS = 4
TAKEN_OUT = (0.04, 0.12)
SHARPNESS, FLOOR = 4, 0.1
SMOOTHING = 1.5 / 32


def integrated_gradients(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    steps: int = STEPS,
    reference: Tensor | None = None,
    precision: Precision = "fp32",
) -> Tensor:
    """What each pixel adds to the logit, positive or negative.

    The gradient in the mean over a straight path from `reference`, float [N, H, W, 3] (default: the
    image blurred), times the difference to it, summed over colours. All pixels together make up
    the difference of the two logits, up to the error of `steps` midpoints. M. Sundararajan et al.,
    "Axiomatic Attribution for Deep Networks", ICML 2017 (arXiv:1703.01365).
    """
    start = blurred(images) if reference is None else reference
    difference = images.float() - start
    points = [start + (step + 0.5) / steps * difference for step in range(steps)]
    total = sum(_gradient(model, point, targets, precision) for point in points)
    return (total * difference / steps).sum(3)


def focused_gradients(
    model: nn.Module, images: Tensor, targets: Tensor, *, precision: Precision = "fp32"
) -> Tensor:
    """Where the class is seen, times which pixels there carry it; ≥ 0.

    Coherent maps (LayerCAM, occlusion) find the region, and are beaten by noise at deletion;
    gradients of pixels win at deletion, and lose to a blob at insertion. Their product wins both.
    The region is the mean rank of a pixel by LayerCAM, where the model has a layer for it, and by
    smoothed absolute integrated gradients. The pixels are those with positive integrated gradients,
    and those whose removal lowers the logit further once the best few are gone: gradients where a
    first map's best pixels were replaced by the mean colour.
    """
    behind = mean_colour(images)
    straight = integrated_gradients(
        model, images, targets, steps=FEW_STEPS, reference=behind, precision=precision
    )
    spread = smoothed(straight.abs()[:, None], SMOOTHING * max(images.shape[1:3]))[:, 0]
    region = pixel_ranks(spread) / spread[0].numel()
    with suppress(UsageError):  # no layer with a large enough map
        region = (region + pixel_ranks(layer_cam(model, images, targets)) / spread[0].numel()) / 2
    carried = heatmaps(straight) + FLOOR
    first = region**SHARPNESS * carried
    order = pixel_ranks(first)
    removed = torch.zeros_like(straight)
    for fraction in TAKEN_OUT:
        gone = order >= (1 - fraction) * spread[0].numel()
        left = torch.where(gone[..., None], behind, images.float())
        gradient = _gradient(model, left, targets, precision)
        removed += (gradient * (left - behind)).sum(3)
    # The root keeps the order of pixels, and makes more of them than the best few visible.
    return region**2 * (carried + heatmaps(removed)) ** (2 / SHARPNESS)


def _gradient(model: nn.Module, points: Tensor, targets: Tensor, precision: Precision) -> Tensor:
    """Of the targets' logits, at float images [N, H, W, 3] of 0–255; the same shape."""
    with borrowed(model, points.device), torch.inference_mode(False), torch.enable_grad():
        points = points.clone().requires_grad_()
        with autocast(points.device, precision):
            logits = model(points).float()
        score = logits.gather(1, targets[:, None].clone()).sum()
        return torch.autograd.grad(score, points)[0]
