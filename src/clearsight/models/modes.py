"""Modes of a model's modules: eval mode for a while, and which modules are batch norms."""

from collections.abc import Generator
from contextlib import contextmanager

from torch import nn

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


@contextmanager
def evaluating(model: nn.Module) -> Generator[None]:
    """Eval mode while the block runs; then every module has the mode of its own it had before."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def keeping_statistics(model: nn.Module) -> Generator[None]:
    """Lets batch norms follow the batches of the block, and gives their statistics back."""
    norms = [module for module in model.modules() if isinstance(module, BATCH_NORMS)]
    kept = [{name: buffer.clone() for name, buffer in norm.named_buffers()} for norm in norms]
    try:
        yield
    finally:
        for norm, buffers in zip(norms, kept, strict=True):
            for name, buffer in norm.named_buffers():
                buffer.copy_(buffers[name])
