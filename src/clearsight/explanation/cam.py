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
from clearsight.models.maps import as_maps
from clearsight.models.modes import evaluating
from clearsight.models.stages import entering_sides, prefix_tokens, stages

SMALLEST_MAP = 4


def grad_cam(
    model: nn.Module, images: Tensor, targets: Tensor | None = None, *, layer: str | None = None
) -> Tensor:
    """uint8 [N, H, W, 3] → float32 [N, H, W], 0–1: the evidence for class `targets` in each pixel.

    `targets`: int64 [N]; default: the classes the model predicts. `layer`: a module's dotted name,
    which gives maps in any layout that `as_maps` knows; default: `choose_layer`. The ReLU of the
    layer's channels, weighted by their mean gradient, is enlarged (bilinear) and stretched per
    image to 0–1; a map without contrast is 0 everywhere. The model, frozen or not, comes back as
    it was. Raises `UsageError` for an unfit layer.
    """
    name = choose_layer(model, tuple(images.shape[1:])) if layer is None else layer
    activations, gradients = _differentiate(model, images, targets, name)
    weights = gradients.mean((2, 3), keepdim=True)
    maps = (weights * activations).sum(1, keepdim=True).relu()
    maps = F.interpolate(maps, images.shape[1:3], mode="bilinear", align_corners=False)[:, 0]
    maps = maps - maps.amin((1, 2), keepdim=True)
    peaks = maps.amax((1, 2), keepdim=True)
    return torch.where(peaks > 0, maps / peaks, 0.0)


def choose_layer(model: nn.Module, image_shape: tuple[int, ...]) -> str:
    """Name of the module that is the last to give maps of at least 4 × 4 that the logits use.

    `image_shape`: (H, W, 3). One image is sent through; where several modules give the same map,
    the outermost is named. The last block of a transformer that reads its class token alone is
    passed over, for its other tokens have no gradient. A layer inside one of the backbone's blocks
    is taken only where no whole block has such a map: amid a block, before its norm and
    activation, values of both signs cancel, and many heatmaps come out empty. The stem is taken
    only where there is nothing else: it has not recognised anything yet. Raises `UsageError` where
    no map is large enough.
    """
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(256, (1, *image_shape), dtype=torch.uint8, generator=generator)
    image = image.to(device)
    candidates = _candidates(model, image)
    if not candidates:
        raise UsageError(
            f"Grad-CAM: no layer of the model gives a map of at least {SMALLEST_MAP} × "
            f"{SMALLEST_MAP} for images of {image_shape[0]} × {image_shape[1]} px; "
            "use larger images or name a layer"
        )
    for name in candidates:
        if _differentiate(model, image, None, name)[1].any():
            return name
    return candidates[0]


def _candidates(model: nn.Module, image: Tensor) -> list[str]:
    """Modules that give large enough maps: whole blocks, the last first, then what is in them."""
    backbone = getattr(model, "backbone", model)
    (_, stem), *later = stages(backbone)
    blocks = [part for _, parts in later for part in parts] or stem
    whole = {id(block) for block in blocks}
    inside = {id(module) for block in blocks for module in block.modules()} - whole
    of_stem = {id(module) for part in stem for module in part.modules()} if later else set()
    sides, prefix = entering_sides(model, image), prefix_tokens(model)
    outer: list[str] = []
    inner: list[str] = []
    channels: dict[str, int] = {}

    def watch(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, _args: object, output: object) -> None:
            maps = as_maps(module, output, sides, prefix)
            if maps is not None and min(maps.shape[2:]) >= SMALLEST_MAP:
                (inner if id(module) in inside else outer).append(name)
                channels[name] = maps.shape[1]

        return hook

    handles = []
    with _borrowed(model, image.device), torch.no_grad():
        try:
            for name, module in model.named_modules():
                known = backbone is model or name.startswith("backbone.")
                if name and known and id(module) not in of_stem:
                    handles.append(module.register_forward_hook(watch(name)))
            model(image)
        finally:
            for handle in handles:
                handle.remove()
    # Of other width than what is around them are the queries, keys and values of an attention.
    inner = [
        name
        for name in inner
        if all(
            channels.get(name[:end], channels[name]) == channels[name]
            for end, letter in enumerate(name)
            if letter == "."
        )
    ]
    return [*reversed(outer), *reversed(inner)]


def _differentiate(
    model: nn.Module, images: Tensor, targets: Tensor | None, name: str
) -> tuple[Tensor, Tensor]:
    """Maps of the layer `name`, float32 [N, C, H, W], and the gradient of the targets' logits."""
    module = dict(model.named_modules()).get(name)
    if module is None:
        raise UsageError(f"layer {name!r}: the model has none of that name; leave it to be chosen")
    sides, prefix = entering_sides(model, images), prefix_tokens(model)
    leaf: Tensor | None = None

    def begin(module: nn.Module, _args: object, output: object) -> Tensor:
        nonlocal leaf
        if as_maps(module, output, sides, prefix) is None:
            raise UsageError(
                f"layer {name!r}: its output is no map ([N, C, H, W], [N, H, W, C] or tokens "
                "[N, T, C] of a grid); name another layer, or leave it to be chosen"
            )
        assert isinstance(output, Tensor)
        # A leaf of its own: frozen layers before it need no gradients, and its clone may be
        # changed in place by the layers after it.
        leaf = output.detach().requires_grad_()
        return leaf.clone()

    with _borrowed(model, images.device), torch.inference_mode(False), torch.enable_grad():
        handle = module.register_forward_hook(begin)
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
    maps, slopes = (as_maps(module, t.float(), sides, prefix) for t in (leaf.detach(), gradient))
    assert maps is not None
    assert slopes is not None
    return maps, slopes


@contextmanager
def _borrowed(model: nn.Module, device: torch.device) -> Generator[None]:
    """Eval mode, fp32 and an own random state, until every module is given back as it was."""
    devices = [device] if device.type == "cuda" else []
    autocast = torch.autocast(device.type, enabled=False)
    with torch.random.fork_rng(devices), autocast, evaluating(model):
        yield
