"""The loss of a step, and of each of its images."""

import torch.nn.functional as F
from torch import Tensor


def cross_entropy(
    logits: Tensor,
    targets: Tensor,
    class_weights: Tensor | None,
    label_smoothing: float,
    weights: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """(mean loss of the batch, loss of each image: float32 [N], without gradient or class weight).

    Without `weights` the mean is `torch.nn.functional.cross_entropy`'s to the last bit, with its
    rules for class weights and label smoothing; that function gives either the mean or the images'
    losses.

    - `logits`: float32 [N, K]
    - `targets`: int64 [N], or float32 [N, K] with rows that sum to 1
    - `class_weights`: float32 [K], or None
    - `weights`: float32 [N], or None; factors of each image's loss. The mean is divided by what it
      would be divided by without them, so that in a batch of little weight each image counts no
      more than in another
    """
    classes = logits.shape[1]
    log_p = F.log_softmax(logits, 1)
    if weights is not None:
        log_p = log_p * weights[:, None]
    if targets.is_floating_point():
        if label_smoothing:
            targets = targets * (1 - label_smoothing) + label_smoothing / classes
        terms = log_p * targets
        weighted = terms if class_weights is None else terms * class_weights
        return -weighted.sum() / len(logits), -terms.detach().sum(1)
    mean = F.nll_loss(log_p, targets, class_weights)
    of_each = -log_p.detach().gather(1, targets[:, None]).squeeze(1)
    if not label_smoothing:
        return mean, of_each
    uniform = -log_p.sum(1)  # against equal targets for all classes, times their number
    if class_weights is None:
        mean_uniform = uniform.mean()
    else:
        of_batch = -(log_p * class_weights).sum(1).sum()
        mean_uniform = of_batch / class_weights.gather(0, targets).sum()
    share = label_smoothing / classes
    mean = (1 - label_smoothing) * mean + mean_uniform * share
    return mean, (1 - label_smoothing) * of_each + uniform.detach() * share
