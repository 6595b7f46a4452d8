"""Layers whose maps explain: which to take, their activations, and the gradients of logits."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from clearsight.errors import UsageError
from clearsight.models.maps import Sides, as_maps
from clearsight.models.modes import evaluating
from clearsight.models.stages import entering_sides, prefix_tokens, stages

SMALLEST_MAP = 4


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
    image = _trial_image(model, image_shape)
    outer, inner = _candidates(model, image)
    candidates = [name for name, _ in (*outer, *inner)]
    if not candidates:
        raise UsageError(
            f"heatmaps: no layer of the model gives a map of at least {SMALLEST_MAP} × "
            f"{SMALLEST_MAP} for images of {image_shape[0]} × {image_shape[1]} px; "
            "use larger images or name a layer"
        )
    return next((name for name in candidates if _used(model, image, name)), candidates[0])


def stage_layers(model: nn.Module, image_shape: tuple[int, ...]) -> list[str]:
    """For each size of map at the backbone's blocks, the last that the logits use; finest first.

    A transformer, whose maps all have one size, has one. Raises `UsageError` as `choose_layer`.
    """
    image = _trial_image(model, image_shape)
    found: dict[Sides, str] = {}
    for name, sides in _candidates(model, image)[0]:
        if sides not in found and _used(model, image, name):
            found[sides] = name
    return [*reversed(found.values())] or [choose_layer(model, image_shape)]


def differentiate(
    model: nn.Module, images: Tensor, targets: Tensor, names: Sequence[str]
) -> list[tuple[Tensor, Tensor]]:
    """For each layer, its maps and the gradient of the targets' logits, float32 [N, C, H, W] each.

    `images`: uint8 [N, H, W, 3]; `targets`: int64 [N]. Raises `UsageError` for an unfit layer.
    """
    modules = dict(model.named_modules())
    sides, prefix = entering_sides(model, images), prefix_tokens(model)
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., Tensor]:
        def hook(module: nn.Module, _args: object, output: object) -> Tensor:
            if as_maps(module, output, sides, prefix) is None:
                raise UsageError(
                    f"layer {name!r}: its output is no map ([N, C, H, W], [N, H, W, C] or tokens "
                    "[N, T, C] of a grid); name another layer, or leave it to be chosen"
                )
            assert isinstance(output, Tensor)
            # The first is a leaf of its own: frozen layers before it need no gradients.
            kept[name] = output if kept else output.detach().requires_grad_()
            return kept[name].clone()  # which the layers after it may change in place

        return hook

    handles = []
    with borrowed(model, images.device), torch.inference_mode(False), torch.enable_grad():
        try:
            for name in names:
                if name not in modules:
                    raise UsageError(
                        f"layer {name!r}: the model has none of that name; leave it to be chosen"
                    )
                handles.append(modules[name].register_forward_hook(keep(name)))
            logits = model(images)
        finally:
            for handle in handles:
                handle.remove()
        if unused := [name for name in names if name not in kept]:
            raise UsageError(
                f"layer {unused[0]!r}: the model does not run it; leave it to be chosen"
            )
        outputs = [kept[name] for name in names]
        indices = targets.to(logits.device)[:, None].clone()  # of inference mode, if given there
        # Images don't touch each other in eval mode: the sum's gradient is each image's own.
        score = logits.gather(1, indices).sum()
        gradients = torch.autograd.grad(score, outputs)
    pairs = []
    for name, output, gradient in zip(names, outputs, gradients, strict=True):
        maps, slopes = (
            as_maps(modules[name], tensor.float(), sides, prefix)
            for tensor in (output.detach(), gradient)
        )
        assert maps is not None
        assert slopes is not None
        pairs.append((maps, slopes))
    return pairs


@contextmanager
def borrowed(model: nn.Module, device: torch.device) -> Generator[None]:
    """Eval mode, fp32 and an own random state, until every module is given back as it was."""
    devices = [device] if device.type == "cuda" else []
    autocast = torch.autocast(device.type, enabled=False)
    with torch.random.fork_rng(devices), autocast, evaluating(model):
        yield


def _trial_image(model: nn.Module, image_shape: tuple[int, ...]) -> Tensor:
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(256, (1, *image_shape), dtype=torch.uint8, generator=generator)
    return image.to(device)


def _used(model: nn.Module, image: Tensor, name: str) -> bool:
    """Whether the logit of the predicted class depends on the layer's maps."""
    with borrowed(model, image.device), torch.no_grad():
        target = model(image).argmax(1)
    return bool(differentiate(model, image, target, [name])[0][1].any())


def _candidates(
    model: nn.Module, image: Tensor
) -> tuple[list[tuple[str, Sides]], list[tuple[str, Sides]]]:
    """Modules that give large enough maps, the last first: whole blocks, and what is in them."""
    backbone = getattr(model, "backbone", model)
    (_, stem), *later = stages(backbone)
    blocks = [part for _, parts in later for part in parts] or stem
    whole = {id(block) for block in blocks}
    inside = {id(module) for block in blocks for module in block.modules()} - whole
    of_stem = {id(module) for part in stem for module in part.modules()} if later else set()
    sides, prefix = entering_sides(model, image), prefix_tokens(model)
    outer: list[tuple[str, Sides]] = []
    inner: list[tuple[str, Sides]] = []
    channels: dict[str, int] = {}

    def watch(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, _args: object, output: object) -> None:
            maps = as_maps(module, output, sides, prefix)
            if maps is not None and min(maps.shape[2:]) >= SMALLEST_MAP:
                found = (name, (maps.shape[2], maps.shape[3]))
                (inner if id(module) in inside else outer).append(found)
                channels[name] = maps.shape[1]

        return hook

    handles = []
    with borrowed(model, image.device), torch.no_grad():
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
        (name, size)
        for name, size in inner
        if all(
            channels.get(name[:end], channels[name]) == channels[name]
            for end, letter in enumerate(name)
            if letter == "."
        )
    ]
    return outer[::-1], inner[::-1]
