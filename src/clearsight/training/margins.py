"""How clearly each training image's label led while training: wrong labels are learnt late."""

import torch
from torch import Tensor


class Margins:
    """The margins of the training images in the steps that used them, summed over the run.

    `sums / counts` is the area under the margin (Pleiss et al. 2020, arXiv:2001.10528). It costs
    no pass of its own: the logits are those that the steps compute. A step whose targets mix the
    labels of two images (Mixup, CutMix) says nothing about either label and does not count; label
    smoothing changes what is learnt, not what is counted. Images that selective backprop leaves out
    are counted less often.

    Which class an image may be of instead is voted for: in each step by the strongest other class,
    with the share that it has against the label. The majority is found in one pass and the memory
    of one candidate (Boyer and Moore 1981, with weights), so that a million images of a thousand
    classes take 16 MB.

    - `sums`: float32 [N], in the order of the training part
    - `counts`: int32 [N], how many steps each image was counted in
    - `rivals`: int32 [N], the class that leads the vote; `leads`: float32 [N], by how much
    """

    def __init__(self, images: int, device: torch.device) -> None:
        self.sums = torch.zeros(images, device=device)
        self.counts = torch.zeros(images, dtype=torch.int32, device=device)
        self.rivals = torch.zeros(images, dtype=torch.int32, device=device)
        self.leads = torch.zeros(images, device=device)

    @torch.no_grad()
    def update(self, indices: Tensor, logits: Tensor, targets: Tensor) -> None:
        """A step has given the images at `indices`, int64 [M], these logits, float32 [M, K].

        `targets`: int64 [M], or float32 [M, K] where labels are mixed.
        """
        if targets.is_floating_point():
            return
        found, rivals = margins(logits, targets)
        # Sampling by class may draw an image several times into a step. Each draw is summed up; of
        # the votes one counts.
        self.sums.index_add_(0, indices, found)
        self.counts.index_add_(0, indices, torch.ones_like(rivals))
        votes, before, leads = (-found).sigmoid(), self.rivals[indices], self.leads[indices]
        leads = torch.where(before == rivals, leads + votes, leads - votes)
        self.rivals[indices] = torch.where(leads < 0, rivals, before)
        self.leads[indices] = leads.abs()

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps, by name; the tensors themselves."""
        return {
            "sums": self.sums, "counts": self.counts, "rivals": self.rivals, "leads": self.leads,
        }  # fmt: skip


def margins(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """(by how much each label's logit leads the largest other one, the class of that other one).

    Below 0 the label trails. `logits`: float32 [N, K], K ≥ 2; `labels`: int64 [N]; the results are
    float32 [N] and int32 [N].
    """
    own = logits.gather(1, labels[:, None]).squeeze(1)
    others = logits.scatter(1, labels[:, None], -torch.inf).max(1)
    return own - others.values, others.indices.int()
