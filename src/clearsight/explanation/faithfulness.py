"""Whether a heatmap shows what the model uses: deletion and insertion, against maps of nothing.

V. Petsiuk et al., "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018
(arXiv:1806.07421).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clearsight.evaluation.metrics import batch_size
from clearsight.explanation.heatmaps import pixel_ranks
from clearsight.explanation.references import REFERENCES
from clearsight.explanation.scores import class_probabilities
from clearsight.models.stages import entering_sides
from clearsight.runtime.device import Precision

STEPS = 16
DRAWS = 2000
FEWEST = 20
"""Images below which an interval by the bootstrap is too narrow to decide anything."""
BLOB, RANDOM = "centred blob", "random map"
BASELINES = (BLOB, RANDOM)
CURVES = ("insertion", "deletion")

Areas = dict[str, dict[str, np.ndarray]]
"""By curve, then by reference: float64 [N], the area under each image's curve, 0–1."""


def insertion_deletion(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    maps: Tensor,
    reference: Tensor,
    *,
    steps: int = STEPS,
    precision: Precision = "fp32",
) -> tuple[Tensor, Tensor]:
    """float32 [N, steps + 1] twice: the targets' probabilities as pixels are put in and taken out.

    `images`: uint8 [N, H, W, 3]; `targets`: int64 [N]; `maps`: float [N, H, W], of which only the
    order of pixels counts (`pixel_ranks`); `reference`: float
    [N, H, W, 3], what stands where no pixel of the image does. Both begin with no pixel moved and
    end with all of them; `fractions` says how many are between.
    """
    count = maps[0].numel()
    ranks = count - 1 - pixel_ranks(maps)
    moved = (count * fractions(steps)).round().to(maps.device)
    inserted, deleted = [], []
    at_once = max(1, 2 * batch_size(entering_sides(model, images)[0]) // steps)
    for some in torch.arange(len(images), device=images.device).split(at_once):
        top = (ranks[some, None] < moved[:, None, None])[..., None]  # [n, steps + 1, H, W, 1]
        image, behind = images[some, None].float(), reference[some, None]
        # The whole image and the bare reference are the ends of both curves: asked for once.
        views = torch.cat(
            [torch.where(top, image, behind), torch.where(top[:, 1:-1], behind, image)], 1
        )
        asked = class_probabilities(
            model, views.flatten(0, 1), targets[some].repeat_interleave(2 * steps),
            precision=precision,
        ).view(len(some), 2 * steps)  # fmt: skip
        put, taken = asked[:, : steps + 1], asked[:, steps + 1 :]
        inserted.append(put)
        deleted.append(torch.cat([put[:, -1:], taken, put[:, :1]], 1))
    return torch.cat(inserted), torch.cat(deleted)


def areas(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    maps: Tensor,
    *,
    steps: int = STEPS,
    precision: Precision = "fp32",
) -> Areas:
    """The areas under both curves with each reference; 1 is best for insertion, 0 for deletion."""
    found: Areas = {curve: {} for curve in CURVES}
    for name, refer in REFERENCES.items():
        curves = insertion_deletion(
            model, images, targets, maps, refer(images), steps=steps, precision=precision
        )
        for curve, values in zip(CURVES, curves, strict=True):
            area = torch.trapezoid(values.cpu().double(), fractions(steps).double(), dim=1)
            found[curve][name] = area.numpy()
    return found


def fractions(steps: int) -> Tensor:
    """float32 [steps + 1], 0–1: the fraction of pixels moved after each step.

    Closer at first, where the probability changes most: of equal steps, twice as many would be
    needed for the same area.
    """
    return torch.linspace(0, 1, steps + 1) ** 1.5


def compare(found: Areas, baselines: Mapping[str, Areas]) -> dict[str, Any]:
    """`against`: by baseline, curve and reference, how much better; `beats`: whether surely so.

    Each is the mean over images of the difference to the baseline, in the sense that more is
    better, with its 95 % interval by the paired bootstrap. `beats` is whether all intervals lie
    above 0, of at least `FEWEST` images.
    """
    signs = {"insertion": 1, "deletion": -1}
    against = {
        name: {
            curve: {
                reference: paired_interval(signs[curve] * (values - baseline[curve][reference]))
                for reference, values in by_reference.items()
            }
            for curve, by_reference in found.items()
        }
        for name, baseline in baselines.items()
    }
    count = len(next(iter(found["insertion"].values())))
    lows = [
        interval["low"]
        for by_curve in against.values()
        for by_reference in by_curve.values()
        for interval in by_reference.values()
    ]
    return {"against": against, "beats": min(lows) > 0 and count >= FEWEST}


def means(found: Areas) -> dict[str, dict[str, float]]:
    """By curve and reference, the mean over images."""
    return {
        curve: {reference: float(values.mean()) for reference, values in by_reference.items()}
        for curve, by_reference in found.items()
    }


def paired_interval(differences: np.ndarray, *, seed: int = 0) -> dict[str, float]:
    """`value`, the mean of float [N], and `low` and `high` of its 95 % bootstrap interval."""
    n = len(differences)
    drawn = np.random.default_rng(seed).integers(0, n, (DRAWS, n))
    low, high = np.quantile(differences[drawn].mean(1), [0.025, 0.975])
    return {"value": float(differences.mean()), "low": float(low), "high": float(high)}


def baseline_maps(images: Tensor, *, seed: int = 0) -> dict[str, Tensor]:
    """Maps that do not look, float32 [N, H, W]: a blob in the centre, and noise by pixel."""
    count, height, width = images.shape[:3]
    generator = torch.Generator().manual_seed(seed)
    y, x = (torch.linspace(-1, 1, side) for side in (height, width))
    blob = (-(y[:, None] ** 2) - x**2).exp().expand(count, -1, -1)
    noise = torch.rand(count, height, width, generator=generator)
    return {BLOB: blob.to(images.device), RANDOM: noise.to(images.device)}
