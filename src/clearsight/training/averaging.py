"""Weight averaging: an exponential moving average, or lookahead."""

from collections.abc import Generator, Iterable
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from clearsight.config.schema import TrainingConfig


class Averaging:
    """Slow weights beside a model's, over parameters and floating-point buffers alike.

    - `ema`: slow ← decay · slow + (1 - decay) · fast; evaluation and checkpoints use the slow.
    - `lookahead` (Zhang et al. 2019, arXiv:1907.08610): the same, and fast ← slow.
    - `none`: no slow weights.

    Buffers are averaged too: batch norm's statistics belong to the weights they were seen with.
    torch's `AveragedModel` is not used: it begins with a copy instead of an average, keeps a second
    module, averages integer buffers, and knows no lookahead.
    """

    def __init__(self, model: nn.Module, config: TrainingConfig) -> None:
        self.config = config
        self.fast = {
            name: tensor
            for name, tensor in model.state_dict().items()
            if tensor.is_floating_point()
        }
        self.slow: dict[str, Tensor] = {}
        if config.averaging != "none":
            self.slow = {name: tensor.clone() for name, tensor in self.fast.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Averages after `step` steps, if one is due."""
        if not self.slow or step % self.config.averaging_every:
            return
        decay = self.config.averaging_decay
        if self.config.averaging == "ema":
            # At the start the average would still be the random weights: shorten its memory.
            decay = min(decay, (1 + step) / (10 + step))
        average = get_ema_multi_avg_fn(decay)  # one kernel for all tensors
        average(list(self.slow.values()), list(self.fast.values()), step)
        if self.config.averaging == "lookahead":
            _copy(self.slow.values(), self.fast.values())

    def settle(self) -> None:
        """With `ema`, the averaged weights become the model's own."""
        if self.config.averaging == "ema":
            _copy(self.slow.values(), self.fast.values())

    def restart(self) -> None:
        """The model's own weights become the average, so that both agree on what is frozen next."""
        if self.slow:
            _copy(self.fast.values(), self.slow.values())

    @contextmanager
    def applied(self) -> Generator[None]:
        """The averaged weights in the model while the block runs; its own again afterwards."""
        if self.config.averaging != "ema":
            yield
            return
        own = [tensor.clone() for tensor in self.fast.values()]
        _copy(self.slow.values(), self.fast.values())
        try:
            yield
        finally:
            _copy(own, self.fast.values())


@torch.no_grad()
def _copy(sources: Iterable[Tensor], targets: Iterable[Tensor]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)
