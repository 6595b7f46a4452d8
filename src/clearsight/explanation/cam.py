"""Class activation maps: the evidence for a class in a layer's maps.

All give uint8 images [N, H, W, 3] and `targets` int64 [N] → float32 [N, H, W] ≥ 0, the maps
enlarged (bilinear) to the images. `layer` is a module's dotted name, which gives maps in any layout
that `as_maps` knows; default: `choose_layer`. The model, frozen or not, comes back as it was. An
unfit layer is a `UsageError`.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clearsight.explanation.heatmaps import heatmaps
from clearsight.explanation.layers import choose_layer, differentiate
from clearsight.explanation.scores import class_logits

CHANNELS_AT_ONCE = 64


def grad_cam(
    model: nn.Module, images: Tensor, targets: Tensor, *, layer: str | None = None
) -> Tensor:
    """The ReLU of the channels, each weighted by its mean gradient.

    R. R. Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
    Localization", ICCV 2017 (arXiv:1610.02391), equations 1 and 2.
    """
    return _cam(
        model, images, targets, layer,
        lambda maps, slopes: (slopes.mean((2, 3), keepdim=True) * maps).sum(1).relu(),
    )  # fmt: skip


def hires_cam(
    model: nn.Module, images: Tensor, targets: Tensor, *, layer: str | None = None
) -> Tensor:
    """The ReLU of the channels, each position weighted by its own gradient.

    R. L. Draelos and L. Carin, "Use HiResCAM instead of Grad-CAM for faithful explanations of
    convolutional neural networks", 2020 (arXiv:2011.08891).
    """
    return _cam(model, images, targets, layer, lambda maps, slopes: (slopes * maps).sum(1).relu())


def layer_cam(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    layer: str | Sequence[str] | None = None,
) -> Tensor:
    """The channels, each position weighted by its own gradient where that is positive.

    P.-T. Jiang et al., "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization",
    IEEE TIP 2021. Several layers are fused: the mean of their maps, each stretched to 0–1.
    """
    return _cam(
        model, images, targets, layer, lambda maps, slopes: (slopes.relu() * maps).sum(1).relu()
    )


def score_cam(
    model: nn.Module, images: Tensor, targets: Tensor, *, layer: str | None = None
) -> Tensor:
    """The ReLU of the channels, weighted by the softmax of the logits that each of them leaves.

    A channel, scaled to 0–1 and enlarged (corners aligned), multiplies the pixels. One forward
    pass per channel: slow. H. Wang et al., "Score-CAM: Score-Weighted Visual Explanations for
    Convolutional Neural Networks", CVPR workshops 2020 (arXiv:1910.01279).
    """
    name = choose_layer(model, images.shape[1:]) if layer is None else layer
    ((maps, _),) = differentiate(model, images, targets, [name])
    size = (images.shape[1], images.shape[2])
    scores = []
    for some in maps.split(CHANNELS_AT_ONCE, 1):
        masks = F.interpolate(some, size, mode="bilinear", align_corners=True)
        low, high = (reduce(masks, (2, 3), keepdim=True) for reduce in (torch.amin, torch.amax))
        masks = torch.where(high > low, (masks - low) / (high - low), 0.0)
        masked = images[:, None] * masks[..., None]  # [N, C, H, W, 3]
        logits = class_logits(model, masked.flatten(0, 1), targets.repeat_interleave(some.shape[1]))
        scores.append(logits.view(len(images), -1))
    weights = torch.cat(scores, 1).softmax(1)[..., None, None]
    return _enlarged((weights * maps).sum(1).relu(), size)


def _cam(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    layer: str | Sequence[str] | None,
    combine: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """The evidence that `combine` makes of a layer's maps and gradients; of several, the mean."""
    chosen = choose_layer(model, images.shape[1:]) if layer is None else layer
    names = [chosen] if isinstance(chosen, str) else list(chosen)
    size = (images.shape[1], images.shape[2])
    found = [combine(*pair) for pair in differentiate(model, images, targets, names)]
    if len(found) == 1:
        return _enlarged(found[0], size)
    return torch.stack([_enlarged(heatmaps(maps), size) for maps in found]).mean(0)


def _enlarged(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]
