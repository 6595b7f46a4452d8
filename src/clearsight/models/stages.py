"""Stages: where a backbone can be frozen, cached and cut, found from its structure alone.

A backbone that can be cut is a chain: its parts, run one after the other, are its forward. timm's
convolutional networks and those of this package are such chains.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from clearsight.models.classifier import Classifier
from clearsight.models.maps import as_maps
from clearsight.models.modes import evaluating
from clearsight.models.sizes import NETWORK_ERRORS

Stage = tuple[str, list[nn.Module]]


def stages(backbone: nn.Module) -> list[Stage]:
    """The backbone's modules in the order they run, grouped: `stem`, then (name, modules) each.

    A stage begins at a part that holds layers with weights inside it (`layer4`, `blocks.6`); what
    is a layer itself (a norm, a last 1 × 1 convolution, the pooling) belongs to the stage before
    it. Parameters that sit on the backbone itself, as the position embedding of a transformer
    does, are in none.
    """
    groups: list[Stage] = [("stem", [])]
    for name, part in _parts(backbone):
        if _holds_layers(part) and any(_holds_weights(module) for module in groups[-1][1]):
            groups.append((name, []))
        groups[-1][1].append(part)
    return groups


def run_prefix(classifier: Classifier, images: Tensor, depth: int) -> Tensor:
    """uint8 [N, H, W, 3] → what the first `depth` stages make of them: maps [N, C, H', W'].

    With `depth` = 0 the preprocessed images, with the number of stages the features [N, D].
    """
    return _run(classifier, classifier.preprocess(images), 0, depth)


def run_rest(classifier: Classifier, maps: Tensor, depth: int) -> Tensor:
    """What `run_prefix` gave at `depth` → logits [N, K], by the other stages and the head."""
    count = len(stages(classifier.backbone))
    return classifier.head(_run(classifier, maps, depth, count))


@torch.no_grad()
def can_cut(classifier: Classifier, image: Tensor) -> bool:
    """Whether the backbone is a chain, tried with one image (uint8 [1, H, W, 3]).

    Where it is none, `run_prefix` and `run_rest` take 0 and the number of stages only.
    """
    try:
        with evaluating(classifier):
            pixels = classifier.preprocess(image)
            whole, chained = classifier.backbone(pixels), pixels
            for _, modules in stages(classifier.backbone):
                for module in modules:
                    chained = module(chained)
    except (*NETWORK_ERRORS, AttributeError):  # parts that do not fit one another
        return False
    return (
        isinstance(chained, Tensor)
        and whole.shape == chained.shape
        and torch.allclose(whole, chained, rtol=1e-3, atol=1e-5)
    )


@torch.no_grad()
def final_map(classifier: Classifier, image: Tensor) -> tuple[int, int] | None:
    """Height and width of the last stage's map for one image (uint8 [1, H, W, 3]).

    The grid of a transformer's tokens is such a map. None where the last stage gives none.
    """
    found: list[tuple[int, int] | None] = []
    last = stages(classifier.backbone)[-1][1][0]

    def keep(module: nn.Module, _arguments: object, output: object) -> None:
        maps = as_maps(module, output, entering_sides(classifier, image), prefix_tokens(classifier))
        found.append(None if maps is None else (maps.shape[2], maps.shape[3]))

    handle = last.register_forward_hook(keep)
    try:
        with evaluating(classifier):
            classifier(image)
    finally:
        handle.remove()
    return found[-1] if found else None


def entering_sides(model: nn.Module, images: Tensor) -> tuple[int, int]:
    """Height and width of what enters the backbone for uint8 images [N, H, W, 3]."""
    size = getattr(getattr(model, "preprocess", None), "size", None)
    return (images.shape[1], images.shape[2]) if size is None else (size, size)


def prefix_tokens(model: nn.Module) -> int | None:
    """How many of a transformer's tokens are no patches; None where it does not say."""
    return getattr(getattr(model, "backbone", model), "num_prefix_tokens", None)


def _run(classifier: Classifier, x: Tensor, start: int, stop: int) -> Tensor:
    groups = stages(classifier.backbone)
    if start == 0 and stop == len(groups):  # holds for a backbone that is no chain as well
        return classifier.backbone(x)
    for _, modules in groups[start:stop]:
        for module in modules:
            x = module(x)
    return x


def _parts(backbone: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The children; a sequence inside which `feature_info` finds stages as its own children."""
    named = [str(info["module"]) for info in getattr(backbone, "feature_info", [])]
    for name, child in backbone.named_children():
        if isinstance(child, nn.Sequential) and any(n.startswith(f"{name}.") for n in named):
            yield from ((f"{name}.{key}", part) for key, part in child.named_children())
        else:
            yield name, child


def _holds_layers(part: nn.Module) -> bool:
    """Whether layers with matrices or filters sit inside: it is a block, not a layer itself."""
    return any(p.ndim > 1 for child in part.children() for p in child.parameters())


def _holds_weights(part: nn.Module) -> bool:
    return any(True for _ in part.parameters())
