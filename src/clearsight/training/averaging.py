"""Weight averaging: an exponential moving average, or lookahead."""

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from clearsight.config.schema import TrainingConfig


class Averaging:
    """Slow weights beside a model's, over parameters and floating-point buffers alike.

    - `ema`: slow ← decay · slow + (1 - decay) · fast; evaluation and checkpoints use the slow.
    - `lookahead` (Zhang et al. 2019, arXiv:1907.08610): the same, and fast ← slow.
    - `none`: no slow weights.

    Buffers are averaged too: batch norm's statistics belong to the weights they were seen with.
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
        slow, fast = list(self.slow.values()), list(self.fast.values())
        torch._foreach_lerp_(slow, fast, 1 - decay)
        if self.config.averaging == "lookahead":
            torch._foreach_copy_(fast, slow)

    def settle(self) -> None:
        """The averaged weights become the model's own, where averages are what is kept."""
        if self.config.averaging == "ema":
            _copy(self.slow, self.fast)

    def restart(self) -> None:
        """The model's own weights become the average: what a phase freezes is then the same."""
        if self.slow:
            _copy(self.fast, self.slow)

    @contextmanager
    def applied(self) -> Generator[None]:
        """The averaged weights in the model while the block runs; its own again afterwards."""
        if self.config.averaging != "ema":
            yield
            return
        own = [tensor.clone() for tensor in self.fast.values()]
        _copy(self.slow, self.fast)
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(list(self.fast.values()), own)


@torch.no_grad()
def _copy(source: dict[str, Tensor], target: dict[str, Tensor]) -> None:
    torch._foreach_copy_(list(target.values()), list(source.values()))
