"""What the steps of a phase show: smaller images at first, and in time not those learnt best."""

import torch
import torch.nn.functional as F
from torch import Tensor

from clearsight.config.schema import PhaseConfig

# What an image's loss is taken to have grown by, in nats, when an epoch has left it out. Most of
# what is learnt differs by less, so that hardly any is left out twice in a row.
FORGETTING = 0.5


class Curriculum:
    """A phase's course through its images, where its settings `shrink` and `skip` bend it.

    Small images first: after progressive resizing (Howard, DAWNBench 2018); the loss of few pixels
    teaches most of what that of many does, for a fraction of the arithmetic. Leaving out what is
    learnt: after online batch selection (Loshchilov and Hutter 2015, arXiv:1511.06343), by the loss
    an image had when it was last seen, which is at hand.

    - `progress`: fraction of the phase that is done; its loop sets it before every step
    - `losses`: float32 [N], each training image's when last seen, and what it was taken to grow
      since; infinite where it was not seen yet
    - `shown`: int64 [N], how often each was shown
    """

    def __init__(self, phase: PhaseConfig, images: int, device: torch.device) -> None:
        self.phase = phase
        self.progress = 0.0
        self.losses = torch.full((images,), torch.inf, device=device)
        self.shown = torch.zeros(images, dtype=torch.int64, device=device)

    @property
    def shrinks(self) -> bool:
        """Whether the step at hand sees shrunk images."""
        return self.phase.shrink < 1 and self.progress < self.phase.shrink_until

    @property
    def ahead(self) -> float:
        """Mean cost of the steps from here to the phase's end, in steps as they are now."""
        if not self.shrinks:
            return 1.0
        later = (1 - self.phase.shrink_until) / (1 - self.progress)
        return 1 - later + later / self.phase.shrink**2

    def kept(self) -> Tensor | None:
        """bool [N], which images the epoch that begins now shows; None: all.

        No image is left out unseen.
        """
        count = int(self.phase.skip * len(self.losses))
        if not count or not self.phase.skip_from <= self.progress < self.phase.skip_until:
            return None
        best = self.losses.topk(count, largest=False)
        if not best.values[-1].isfinite():
            return None
        kept = torch.ones(len(self.losses), dtype=torch.bool, device=self.losses.device)
        kept[best.indices] = False
        self.losses[best.indices] += FORGETTING
        return kept

    def turn(self, epoch: int, indices: Tensor) -> int | Tensor:
        """By what the images at `indices` alternate: `epoch`, or how often each was shown.

        By the epoch alone, an image left out of every second would never be mirrored.
        """
        return self.shown[indices] if self.phase.skip else epoch

    def note(
        self, indices: Tensor, logits: Tensor, targets: Tensor, label_smoothing: float
    ) -> None:
        """What a step has just seen: places int64 [M], logits [M, K], and targets of its images.

        The loss kept is that of training, but unweighted: with smoothed labels, what is predicted
        more surely than they ask for is not learnt best.
        """
        if self.phase.skip:
            self.losses[indices] = F.cross_entropy(
                logits, targets, label_smoothing=label_smoothing, reduction="none"
            )
            self.shown[indices] += 1

    def state(self) -> dict[str, Tensor]:
        """What the next epoch needs to know, by name; the tensors themselves."""
        return {"losses": self.losses, "shown": self.shown} if self.phase.skip else {}
