"""Convolutions that train in bf16 on a CPU: other ways where its library's gradients are slow."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_input
from torch.overrides import TorchFunctionMode

# Sides of the map given, up to which the gradient of the weights is a matrix product: measured with
# 1,000 images of 256 channels (torch 2.15, AVX512). oneDNN needs 1.2 to 2.4 times as long there.
# It pads faster than we do, so a convolution that pads is left to it sooner.
SMALL_MAP, SMALL_PADDED_MAP = 6, 3

# What `torch.conv2d` takes after images and weights, in its order.
DEFAULTS: dict[str, Any] = {"bias": None, "stride": 1, "padding": 0, "dilation": 1, "groups": 1}


class TrainingConvolutions(TorchFunctionMode):
    """Within autocast to bf16 on a CPU, some convolutions that train compute in another way.

    - Depthwise ones in float32; their result has autocast's precision. In bf16 their gradients fall
      back to slow code (torch 2.15, AVX512), which took most of a step of EfficientNet-Lite0; that
      is 2 to 3 times faster so.
    - Where maps are small, the gradient of the weights is a matrix product, and for maps of 2 × 2
      the whole convolution is one: at 24 px a step of airnet94 is some 8 % faster so, at 32 px
      no slower.
    Measured by benchmarks/convolutions.py.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        # Modules give images and weights by position; who names them gets the library's own way.
        if func is not torch.conv2d or len(args) < 2 or not torch.is_grad_enabled():
            return func(*args, **kwargs)
        images, weight = args[:2]
        if not (images.requires_grad or weight.requires_grad):
            return func(*args, **kwargs)
        given = DEFAULTS | dict(zip(DEFAULTS, args[2:], strict=False)) | kwargs
        if given["groups"] > 1 and weight.shape[1] == 1:
            with torch.autocast("cpu", enabled=False):
                return func(images.float(), weight.float(), *args[2:], **kwargs).bfloat16()
        padding = _small_map_padding(images, weight, given)
        if padding is None:
            return func(*args, **kwargs)
        if padding == 1 and images.shape[2:] == (2, 2) and weight.shape[2:] == (3, 3):
            return _dense(images.bfloat16(), weight.bfloat16())
        return _SmallMaps.apply(images.bfloat16(), weight.bfloat16(), padding)


def _small_map_padding(images: Tensor, weight: Tensor, given: dict[str, Any]) -> int | None:
    """The padding of a plain convolution of several pixels that gives a small map; else None."""
    padding = given["padding"]
    if isinstance(padding, tuple) and len(set(padding)) == 1:
        padding = padding[0]
    plain = all(given[name] in (1, (1, 1)) for name in ("stride", "dilation", "groups"))
    plain = plain and given["bias"] is None and images.ndim == 4
    if not plain or not isinstance(padding, int):
        return None
    kernel = max(weight.shape[2:])
    side = max(images.shape[2:]) + 2 * padding - kernel + 1
    if kernel == 1 or side > (SMALL_PADDED_MAP if padding else SMALL_MAP):
        return None
    return padding


def _dense(images: Tensor, weight: Tensor) -> Tensor:
    """A padded 3 × 3 convolution of a 2 × 2 map, in which every pixel reaches every other.

    Images bf16 [N, C, 2, 2], weights bf16 [D, C, 3, 3] → bf16 [N, D, 2, 2]. As a fully connected
    layer it has less than half of the products, for the padding has none.
    """
    side = torch.arange(2)
    # Where in the kernel the weight from pixel j to pixel i stands, along one axis and along both.
    tap = 1 + side - side[:, None]
    taps = (3 * tap[:, None, :, None] + tap[None, :, None, :]).flatten()
    chosen = F.one_hot(taps, 9).to(weight.dtype)  # a product, for indexing is slow backwards
    full = (weight.flatten(2) @ chosen.T).unflatten(2, (4, 4))  # [D, C, to, from]
    full = full.permute(2, 0, 3, 1).reshape(4 * len(weight), -1)
    flat = images.permute(0, 2, 3, 1).reshape(len(images), -1)
    out = F.linear(flat, full).view(len(images), 2, 2, -1)
    return out.permute(0, 3, 1, 2)


class _SmallMaps(torch.autograd.Function):
    """A convolution whose weights' gradient is the product of its patches and what comes back.

    Images bf16 [N, C, H, W], weights bf16 [D, C, K, L] → bf16 [N, D, H′, W′].
    """

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, padding: int) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.padding = padding
        return F.conv2d(images, weight, padding=padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        images, weight = ctx.saved_tensors
        (out,) = gradients
        of_images = of_weight = None
        if ctx.needs_input_grad[0]:
            of_images = conv2d_input(images.shape, weight, out, padding=ctx.padding)
        if ctx.needs_input_grad[1]:
            kernel = weight.shape[2:]
            # A map's channels lie side by side, so each row of a patch is one stretch of memory.
            maps = F.pad(images, (ctx.padding,) * 4).permute(0, 2, 3, 1).contiguous()
            patches = maps.unfold(1, kernel[0], 1).unfold(2, kernel[1], 1)  # [N, H′, W′, C, K, L]
            rows = out.permute(0, 2, 3, 1).reshape(-1, len(weight))
            product = rows.T @ patches.permute(0, 1, 2, 4, 5, 3).reshape(len(rows), -1)
            of_weight = product.view(len(weight), *kernel, -1).permute(0, 3, 1, 2)
        return of_images, of_weight, None
