"""Selective backprop: epochs leave out the images with the lowest loss."""

import torch
from torch import Tensor

from clearsight.config.schema import PhaseConfig

# By how much an image's loss is taken to have grown, in nats, when an epoch left it out. Most
# images that are learnt differ by less, so hardly any is left out twice in a row.
FORGETTING = 0.5


class SelectiveBackprop:
    """Which training images an epoch of a phase uses.

    After online batch selection (Loshchilov and Hutter 2015, arXiv:1511.06343), by the loss an
    image had when it was last seen, which costs nothing to know.

    - `losses`: float32 [N], each training image's when last seen, plus what it was taken to grow
      since; infinite where it was not seen yet
    - `shown`: int64 [N], how often each was shown
    """

    def __init__(self, phase: PhaseConfig, images: int, device: torch.device) -> None:
        self.phase = phase
        self.losses = torch.full((images,), torch.inf, device=device)
        self.shown = torch.zeros(images, dtype=torch.int64, device=device)

    def kept(self, progress: float) -> Tensor | None:
        """bool [N], which images an epoch that begins at `progress` (0 … 1) uses; None: all.

        No image is left out before it was seen.
        """
        phase = self.phase
        count = int(phase.selective_backprop * len(self.losses))
        begun = phase.selective_backprop_from <= progress < phase.selective_backprop_until
        if not count or not begun:
            return None
        lowest = self.losses.topk(count, largest=False)
        if not lowest.values[-1].isfinite():
            return None
        kept = torch.ones(len(self.losses), dtype=torch.bool, device=self.losses.device)
        kept[lowest.indices] = False
        return kept

    def leave_out(self, kept: Tensor | None) -> None:
        """An epoch begins that uses the images `kept`: the others count as partly forgotten."""
        if kept is not None:
            self.losses[~kept] += FORGETTING

    def times_shown(self, indices: Tensor, epoch: int) -> int | Tensor:
        """How often each image at `indices` was shown; where none is left out, that is `epoch`.

        By the epoch alone, an image left out of every second epoch would never be flipped.
        """
        return self.shown[indices] if self.phase.selective_backprop else epoch

    def update(self, indices: Tensor, losses: Tensor) -> None:
        """A step has used the images at `indices`, int64 [M], with these losses, float32 [M]."""
        if self.phase.selective_backprop:
            self.losses[indices] = losses
            self.shown[indices] += 1

    def state(self) -> dict[str, Tensor]:
        """What the next epoch needs to know, by name; the tensors themselves."""
        on = self.phase.selective_backprop
        return {"losses": self.losses, "shown": self.shown} if on else {}
