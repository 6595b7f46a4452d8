"""Maps in whatever layout a network keeps them: channels first, channels last, or tokens."""

import math

from torch import Tensor, nn

Sides = tuple[int, int]


def as_maps(module: nn.Module, output: object, image: Sides, prefix: int | None) -> Tensor | None:
    """What `module` gave as maps [N, C, H, W], a view of it; None where it holds no maps.

    `image`: height and width of the images, whose proportions maps share. That tells apart:

    - [N, C, H, W], of convolutional networks
    - [N, H, W, C], of networks such as Swin
    - [N, T, C]: T tokens, row by row, of transformers and mixers, after `prefix` tokens that are no
      patches (default: as many, up to two, as leave a grid)
    """
    if not isinstance(output, Tensor) or not output.is_floating_point():
        return None
    if output.ndim == 3:
        return _from_tokens(output, image, prefix)
    if output.ndim != 4:
        return None
    first, last = (_fits(*sides, image) for sides in (output.shape[2:], output.shape[1:3]))
    if first and last:  # as many channels as rows and columns
        last = not _holds(module, nn.Conv2d) and _holds(module, nn.Linear)
        first = not last
    if first:
        return output
    return output.permute(0, 3, 1, 2) if last else None


def _from_tokens(tokens: Tensor, image: Sides, prefix: int | None) -> Tensor | None:
    for skipped in (0, 1, 2) if prefix is None else (prefix,):
        count = tokens.shape[1] - skipped
        if count < 1:
            return None
        height = round(math.sqrt(count * image[0] / image[1]))
        if height and count % height == 0 and _fits(height, count // height, image):
            grid = tokens[:, skipped:].unflatten(1, (height, count // height))
            return grid.permute(0, 3, 1, 2)
    return None


def _fits(height: int, width: int, image: Sides) -> bool:
    """Whether a map of this size has the proportions of the image, up to rounding."""
    if image[0] == image[1]:
        return height == width
    return abs(height * image[1] - width * image[0]) < max(image)


def _holds(module: nn.Module, kind: type[nn.Module]) -> bool:
    return any(isinstance(inner, kind) for inner in module.modules())
