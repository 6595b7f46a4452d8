"""Whether heatmaps depend on what they should: the weights, and not on a seed.

J. Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018 (arXiv:1810.03292).
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from clearsight.models.classifier import Classifier
from clearsight.models.stages import stages


def randomised(model: Classifier, *, seed: int = 0) -> list[tuple[str, Classifier]]:
    """Copies of the model with random weights: in the head, then in each stage below it as well.

    Every parameter becomes a normal draw with its own mean and standard deviation, so that
    activations keep their scale. The cascade of the paper, which begins at the logits.
    """
    generator = torch.Generator().manual_seed(seed)
    damaged = copy.deepcopy(model)
    cascade: list[tuple[str, list[nn.Module]]] = [
        ("head", [damaged.head]), *reversed(stages(damaged.backbone))
    ]  # fmt: skip
    copies = []
    for name, modules in cascade:
        for module in modules:
            for parameter in module.parameters():
                _randomise(parameter, generator)
        copies.append((name, copy.deepcopy(damaged)))
    return copies


def rank_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Spearman's, of each pair of maps float [N, H, W] → float32 [N]; 0 where one is constant."""
    a, b = (_mean_ranks(maps.flatten(1)) for maps in (first, second))
    a, b = (ranks - ranks.mean(1, keepdim=True) for ranks in (a, b))
    scale = a.norm(dim=1) * b.norm(dim=1)
    return torch.where(scale > 0, (a * b).sum(1) / scale, 0.0).float()


def randomisation_check(
    model: Classifier, explain: Callable[[nn.Module], Tensor]
) -> list[dict[str, str | float]]:
    """`{weights, similarity}` for each copy of `randomised`, from the head down.

    `explain` gives a model's maps float [N, H, W] of the same images and classes; `similarity` is
    the mean rank correlation with the maps of `model` itself. A method that shows what was learned
    ends near 0; one that shows edges of the image stays near 1.
    """
    own = explain(model)
    return [
        {"weights": name, "similarity": float(rank_correlation(own, explain(damaged)).mean())}
        for name, damaged in randomised(model)
    ]


def _randomise(parameter: nn.Parameter, generator: torch.Generator) -> None:
    values = parameter.data.float()
    spread = values.std() if values.numel() > 1 else values.new_zeros(())
    drawn = torch.randn(values.shape, generator=generator).to(values.device)
    parameter.data.copy_(values.mean() + spread * drawn)


def _mean_ranks(flat: Tensor) -> Tensor:
    """float64 [N, P]: ranks from 0, equal values sharing their mean rank."""
    ordered = flat.sort(1).values
    below = torch.searchsorted(ordered, flat.contiguous(), side="left")
    upto = torch.searchsorted(ordered, flat.contiguous(), side="right")
    return (below + upto - 1).double() / 2
