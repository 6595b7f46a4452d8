"""The methods by name, and one way to call them all."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clearsight.errors import UsageError, shown
from clearsight.evaluation.metrics import batch_size
from clearsight.explanation.cam import grad_cam, hires_cam, layer_cam, score_cam
from clearsight.explanation.gradients import focused_gradients, integrated_gradients
from clearsight.explanation.layers import choose_layer, stage_layers
from clearsight.explanation.perturbation import occlusion, rise
from clearsight.models.stages import entering_sides
from clearsight.runtime.device import Precision, pick_precision

Explainer = Callable[[np.ndarray, np.ndarray], Tensor]
"""Images uint8 [N, H, W, 3] and classes int64 [N] → evidence float32 [N, H, W], on the device."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """How to explain: its name for readers, and its function.

    `layers` chooses what to look at, for a method that takes `layer`; `seeded` is whether it draws
    at random, and takes `seed`; `reduced` whether it may compute in bf16, and takes `precision`.
    """

    title: str
    function: Callable[..., Tensor]
    layers: Callable[[nn.Module, tuple[int, ...]], Any] | None = None
    seeded: bool = False
    reduced: bool = False


METHODS = {
    "focused-gradients": Method(
        title="focused gradients", function=focused_gradients, reduced=True
    ),
    "grad-cam": Method(title="Grad-CAM", function=grad_cam, layers=choose_layer),
    "hires-cam": Method(title="HiResCAM", function=hires_cam, layers=choose_layer),
    "layer-cam": Method(title="LayerCAM", function=layer_cam, layers=choose_layer),
    "fused-layer-cam": Method(title="fused LayerCAM", function=layer_cam, layers=stage_layers),
    "score-cam": Method(title="Score-CAM", function=score_cam, layers=choose_layer),
    "integrated-gradients": Method(
        title="integrated gradients", function=integrated_gradients, reduced=True
    ),
    "occlusion": Method(title="occlusion", function=occlusion, reduced=True),
    "rise": Method(title="RISE", function=rise, seeded=True, reduced=True),
}
DEFAULT = "focused-gradients"
"""What won on validation images, of a network from scratch and a pretrained one: docs/trust.md."""


def explainer(
    model: nn.Module,
    image_shape: tuple[int, ...],
    *,
    method: str = DEFAULT,
    layer: str | None = None,
    seed: int = 0,
    precision: Precision | None = None,
) -> Explainer:
    """What explains images of `image_shape` (H, W, 3) by a method, in batches.

    `precision`: default bf16 where the device multiplies it, and the method allows it. Raises
    `UsageError` for an unknown method, a `layer` it has no use for, or a model without a fit one.
    """
    check_method(method, layer)
    chosen = METHODS[method]
    device = next(model.parameters()).device
    options: dict[str, Any] = {}
    if chosen.layers is not None:
        options["layer"] = layer or chosen.layers(model, image_shape)
    if chosen.seeded:
        options["seed"] = seed
    if chosen.reduced:
        options["precision"] = precision or pick_precision("auto", device)
    sample = torch.empty(1, *image_shape, dtype=torch.uint8)
    batch = batch_size(entering_sides(model, sample)[0])

    def explain(images: np.ndarray, classes: np.ndarray) -> Tensor:
        # Copies, for an array may be read-only and tensors are not.
        pixels, targets = (torch.from_numpy(np.array(a)).to(device) for a in (images, classes))
        parts = zip(pixels.split(batch), targets.split(batch), strict=True)
        return torch.cat([chosen.function(model, *part, **options) for part in parts])

    return explain


def check_method(method: str, layer: str | None = None) -> None:
    """Raises `UsageError` for an unknown method, or a `layer` it has no use for."""
    if method not in METHODS:
        raise UsageError(f"method: found {shown(method)}, expected one of {', '.join(METHODS)}")
    if layer is not None and METHODS[method].layers is None:
        of_layers = ", ".join(name for name, each in METHODS.items() if each.layers)
        raise UsageError(
            f"layer: found {shown(layer)}, but {method} looks at no single layer; leave it out or "
            f"choose one of {of_layers}"
        )
