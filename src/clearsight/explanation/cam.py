"""Grad-CAM: which parts of an image speak for a class.

R. R. Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", ICCV 2017 (arXiv:1610.02391), equations 1 and 2.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clearsight.errors import UsageError
from clearsight.models.modes import evaluating
from clearsight.models.stages import stages

SMALLEST_MAP = 4


def grad_cam(
    model: nn.Module, images: Tensor, targets: Tensor | None = None, *, layer: str | None = None
) -> Tensor:
    """uint8 [N, H, W, 3] → float32 [N, H, W], 0–1: the evidence for class `targets` in each pixel.

    `targets`: int64 [N]; default: the classes the model predicts. `layer`: a module's dotted name;
    default: `choose_layer`. The ReLU of the layer's channels, weighted by their mean gradient, is
    enlarged (bilinear) and stretched per image to 0–1; a map without contrast is 0 everywhere.
    The model, frozen or not, comes back as it was. Raises `UsageError` for an unfit layer.
    """
    name = choose_layer(model, tuple(images.shape[1:])) if layer is None else layer
    module = dict(model.named_modules()).get(name)
    if module is None:
        raise UsageError(f"layer {name!r}: the model has none of that name; leave it to be chosen")
    leaf: Tensor | None = None

    def differentiate(_module: nn.Module, _args: object, output: object) -> Tensor:
        nonlocal leaf
        if not isinstance(output, Tensor) or output.ndim != 4:
            raise UsageError(
                f"layer {name!r}: its output is no map [N, C, H, W]; name a convolutional layer"
            )
        # A leaf of its own: frozen layers before it need no gradients, and its clone may be
        # changed in place by the layers after it.
        leaf = output.detach().requires_grad_()
        return leaf.clone()

    with _borrowed(model, images.device), torch.inference_mode(False), torch.enable_grad():
        handle = module.register_forward_hook(differentiate)
        try:
            logits = model(images)
        finally:
            handle.remove()
        if leaf is None:
            raise UsageError(f"layer {name!r}: the model does not run it; leave it to be chosen")
        if targets is None:
            targets = logits.argmax(1)
        scores = logits.gather(1, targets.to(logits.device)[:, None])
        # Images don't touch each other in eval mode: the sum's gradient is each image's own.
        (gradient,) = torch.autograd.grad(scores.sum(), leaf)
    weights = gradient.float().mean((2, 3), keepdim=True)
    maps = (weights * leaf.detach().float()).sum(1, keepdim=True).relu()
    maps = F.interpolate(maps, images.shape[1:3], mode="bilinear", align_corners=False)[:, 0]
    maps = maps - maps.amin((1, 2), keepdim=True)
    peaks = maps.amax((1, 2), keepdim=True)
    return torch.where(peaks > 0, maps / peaks, 0.0)


def choose_layer(model: nn.Module, image_shape: tuple[int, ...]) -> str:
    """Name of the module that is the last to give a map [N, C, H, W] of at least 4 × 4.

    `image_shape`: (H, W, 3). One image of zeros is sent through; where several modules give the
    same map, the outermost is named. A layer inside one of the backbone's blocks is taken only
    where no whole block has such a map: amid a block, before its norm and activation, values of
    both signs cancel, and many heatmaps come out empty. Raises `UsageError` where no map is large
    enough.
    """
    chosen = chosen_inside = ""
    blocks = [part for _, parts in stages(getattr(model, "backbone", model)) for part in parts]
    inside = {id(module) for block in blocks for module in block.modules() if module is not block}

    def watch(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, _args: object, output: object) -> None:
            nonlocal chosen, chosen_inside
            is_map = isinstance(output, Tensor) and output.ndim == 4
            if is_map and min(output.shape[2:]) >= SMALLEST_MAP:
                if id(module) in inside:
                    chosen_inside = name
                else:
                    chosen = name

        return hook

    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    handles = []
    with _borrowed(model, device), torch.no_grad():
        try:
            for name, module in model.named_modules():
                if name:
                    handles.append(module.register_forward_hook(watch(name)))
            model(torch.zeros((1, *image_shape), dtype=torch.uint8, device=device))
        finally:
            for handle in handles:
                handle.remove()
    if not (chosen or chosen_inside):
        raise UsageError(
            f"Grad-CAM: no layer of the model gives a map of at least {SMALLEST_MAP} × "
            f"{SMALLEST_MAP} for images of {image_shape[0]} × {image_shape[1]} px; "
            "use larger images or name a layer"
        )
    return chosen or chosen_inside


@contextmanager
def _borrowed(model: nn.Module, device: torch.device) -> Generator[None]:
    """Eval mode, fp32 and an own random state, until every module is given back as it was."""
    devices = [device] if device.type == "cuda" else []
    autocast = torch.autocast(device.type, enabled=False)
    with torch.random.fork_rng(devices), autocast, evaluating(model):
        yield
