"""A linear probe: whether labels have anything to do with their images, in a second.

Ridge regression on simple descriptors of a few hundred images, cross-validated, against the same
with the labels shuffled (a permutation test: Ojala and Garriga, "Permutation Tests for Studying
Classifier Performance", JMLR 2010). Whatever the classes' sizes, shuffled labels say what guessing
reaches.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

IMAGES = 300
LEAST_IMAGES, LEAST_PER_CLASS = 100, 5  # with fewer, sound labels may look like guesses
MOST_CLASSES = 20
FOLDS, SHUFFLES = 5, 200
RIDGE = 0.3
CHUNK = 50
LARGE = 128  # px; larger images are pooled to between one and two of it


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Accuracy on `n` images of `classes` classes, and what shuffled labels reach.

    `guessing` is their mean; `p` the share of the shuffled that do as well as the labels given.
    """

    n: int
    classes: int
    accuracy: float
    guessing: float
    p: float


def choose(labels: np.ndarray) -> np.ndarray:
    """int64 [≤ `IMAGES`]: positions to probe, the same number of some classes, spread evenly.

    `labels`: int64 [N]. Empty where the images are too few to tell anything.
    """
    classes, counts = np.unique(labels, return_counts=True)
    known = classes[counts >= LEAST_PER_CLASS]
    if len(known) < 2:
        return np.zeros(0, np.int64)
    known = known[np.linspace(0, len(known) - 1, min(len(known), MOST_CLASSES), dtype=np.int64)]
    chosen = []
    for label in known:
        of_class = np.flatnonzero(labels == label)
        count = min(len(of_class), IMAGES // len(known))
        chosen.append(of_class[np.linspace(0, len(of_class) - 1, count, dtype=np.int64)])
    positions = np.sort(np.concatenate(chosen))
    return positions if len(positions) >= LEAST_IMAGES else np.zeros(0, np.int64)


def probe(images: np.ndarray, labels: np.ndarray) -> Probe:
    """The probe on uint8 images [N, H, W, 3] and their labels, int64 [N]."""
    generator = torch.Generator().manual_seed(0)
    predictor = _predictor(descriptors(images), torch.randperm(len(images), generator=generator))
    _, numbers = np.unique(labels, return_inverse=True)
    targets = torch.from_numpy(numbers)
    accuracy = _accuracy(predictor, targets)
    shuffled = torch.tensor([
        _accuracy(predictor, targets[torch.randperm(len(targets), generator=generator)])
        for _ in range(SHUFFLES)
    ])  # fmt: skip
    return Probe(
        n=len(images),
        classes=int(targets.max()) + 1,
        accuracy=accuracy,
        guessing=float(shuffled.mean()),
        p=(1 + int((shuffled >= accuracy).sum())) / (1 + SHUFFLES),
    )


def descriptors(images: np.ndarray) -> Tensor:
    """float32 [N, D], standardised: coarse colours, and edges by place, direction and scale.

    `images`: uint8 [N, H, W, 3].
    """
    rows = []
    for start in range(0, len(images), CHUNK):
        pixels = torch.from_numpy(np.array(images[start : start + CHUNK]))
        x = pixels.permute(0, 3, 1, 2).float() / 255
        x = F.avg_pool2d(x, max(1, min(x.shape[2:]) // LARGE))
        parts = [F.adaptive_avg_pool2d(x, 8).flatten(1)]
        grey = x.mean(1, keepdim=True)
        for scale in (1, 2, 4):
            if min(grey.shape[2:]) < 8 * scale:
                break
            parts.append(_edges(F.avg_pool2d(grey, scale)))
        rows.append(torch.cat(parts, 1))
    found = torch.cat(rows)
    return (found - found.mean(0)) / found.std(0).clamp_min(1e-6)


def _edges(grey: Tensor) -> Tensor:
    """[N, 1, H, W] → [N, 128]: strength of edges in 8 directions, in each of 4 × 4 cells."""
    across = grey[..., :-1, 1:] - grey[..., :-1, :-1]
    down = grey[..., 1:, :-1] - grey[..., :-1, :-1]
    angles = torch.arange(8) * (torch.pi / 4)
    directions = torch.stack([angles.cos(), angles.sin()], 1).view(8, 2, 1, 1)
    strength = F.conv2d(torch.cat([across, down], 1), directions).relu()
    return F.adaptive_avg_pool2d(strength, 4).flatten(1).sqrt()


def _predictor(features: Tensor, order: Tensor) -> Tensor:
    """[N, N]: times one-hot labels [N, K] it gives each image's scores, fitted without its fold."""
    features = features.double()
    kernel = features @ features.T / features.shape[1]
    found = torch.zeros_like(kernel)
    for held_out in order.chunk(FOLDS):
        kept = torch.ones(len(kernel), dtype=torch.bool)
        kept[held_out] = False
        inner = kernel[kept][:, kept]
        inner = inner + RIDGE * torch.eye(len(inner), dtype=inner.dtype)
        weights = torch.linalg.solve(inner, kernel[kept][:, held_out]).T
        found[held_out[:, None], kept.nonzero().T] = weights
    return found


def _accuracy(predictor: Tensor, targets: Tensor) -> float:
    one_hot = F.one_hot(targets).to(predictor.dtype)
    scores = predictor @ (one_hot - one_hot.mean(0))
    return float((scores.argmax(1) == targets).double().mean())
