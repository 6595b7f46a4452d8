"""A network compiled by torch.compile, its failures told in one sentence."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from clearsight.errors import ConfigError, TrainingError, first_line
from clearsight.runtime.device import Precision


def compiled(
    model: nn.Module, device: torch.device, precision: Precision
) -> Callable[[Tensor], Tensor]:
    """The forward pass of `model`, and its backward pass with it, compiled at the first call.

    It shares the weights of `model`, and is compiled once more for images of another size. On a GPU
    its kernels are replayed as CUDA graphs. Raises `TrainingError` where torch can't compile it (on
    a CPU it needs a C++ compiler), and `ConfigError` for bf16 on a CPU.
    """
    if device.type == "cpu" and precision == "bf16":
        # torch 2.15: gradients compiled under the CPU's autocast are NaN.
        raise ConfigError(
            "training.compile: found it on, with bf16 on a CPU, where compiled gradients are "
            'wrong; leave it out, or set training.precision = "fp32"'
        )
    mode = "reduce-overhead" if device.type == "cuda" else "default"
    inner = torch.compile(model, mode=mode, dynamic=False)

    def forward(images: Tensor) -> Tensor:
        try:
            return inner(images)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            with torch.no_grad():
                model(images)  # an error of the network's own is raised here instead
            raise TrainingError(
                f"training.compile: torch can't compile this network here ({first_line(error)}); "
                "leave it out"
            ) from error

    return forward
