"""Probabilities of a model over images, and the numbers of `evaluation.json` from them."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from clearsight.errors import ClearsightError, UsageError
from clearsight.evaluation.confusion import class_scores, confusion_counts, confusion_pairs
from clearsight.evaluation.intervals import accuracy_interval
from clearsight.models.classifier import calibrated
from clearsight.models.modes import evaluating
from clearsight.progress import SILENT, Progress
from clearsight.runtime.device import Precision, autocast

LARGEST_BATCH, PIXELS_AT_ONCE = 500, 3_000_000
# Above so many classes the matrix would be most of `evaluation.json` and nearly all of it zeros.
MATRIX_CLASSES = 200
# By less than this the likeliest class must lead, in nats, for shifted views to be looked at: they
# are half of a mean, and hardly ever as sure of another class. benchmarks/doubt.py has it that a
# quarter of CIFAR-10's images is in doubt, and that all labels are those of six views each.
DOUBT = 2.0

TTA = Literal["none", "flip", "flip+shift"]


def predict_probabilities(
    model: nn.Module,
    images: np.ndarray,
    *,
    tta: TTA = "none",
    batch: int | None = None,
    device: torch.device | str | None = None,
    precision: Precision = "fp32",
    progress: Progress = SILENT,
    name: str = "predicting",
) -> np.ndarray:
    """Class probabilities float32 [N, K] of `images` uint8 [N, H, W, 3], in their order.

    `model` maps uint8 [N, H, W, 3] to logits [N, K] and lies on `device` (default: where its
    parameters are); it runs in eval mode and comes back in the modes it had. Its `temperature`, if
    it has one, calibrates the probabilities. `batch` is in images, default `batch_size`.
    `tta`: logits are averaged over an image and its mirror image (`flip`); with `flip+shift`, where
    the two likeliest classes are then less than `DOUBT` apart, half over those and half over both
    shifted by one pixel up-left and down-right with reflected edges. The six views are K. Jordan's
    (2024, arXiv:2404.00498); to spend them on doubtful images, after hiverge's cifar10-speedrun
    (2025), halves the cost. `name` is what `progress` calls the work. Raises `ClearsightError`
    where the model gives NaN or infinity.
    """
    logits, _ = predict_logits(
        model, images, tta=tta, batch=batch, device=device, precision=precision,
        progress=progress, name=name,
    )  # fmt: skip
    return as_probabilities(logits, getattr(model, "temperature", 1.0))


def as_probabilities(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities float32 [N, K] of logits float32 [N, K], as `calibrated` gives them."""
    return calibrated(torch.from_numpy(logits), temperature).numpy()


def predict_logits(
    model: nn.Module,
    images: np.ndarray,
    *,
    tta: TTA,
    batch: int | None = None,
    device: torch.device | str | None = None,
    precision: Precision = "fp32",
    progress: Progress = SILENT,
    name: str = "predicting",
) -> tuple[np.ndarray, np.ndarray]:
    """Logits float32 [N, K], not calibrated, with `tta` and without it; the rest as above."""
    if tta not in ("none", "flip", "flip+shift"):
        raise UsageError(f"tta: found {tta!r}, expected one of none, flip, flip+shift")
    if len(images) == 0:
        raise UsageError("images: found none; give at least one image")
    where = torch.device(device) if device is not None else next(model.parameters()).device
    if batch is None:
        inside = getattr(getattr(model, "preprocess", None), "size", None)
        batch = batch_size(inside or images.shape[1])
    parts: list[Tensor] = []
    task = progress.task(name, len(images))
    with task as advance, evaluating(model), torch.inference_mode(), autocast(where, precision):
        for start in range(0, len(images), batch):
            # A copy, for a memory-mapped array is read-only and tensors are not.
            pixels = torch.from_numpy(np.array(images[start : start + batch])).to(where)
            parts.append(torch.stack(_both_logits(model, pixels, tta)).cpu())
            advance(len(pixels))
    logits = torch.cat(parts, 1).numpy()
    bad = int((~np.isfinite(logits)).any((0, 2)).sum())
    if bad:
        raise ClearsightError(
            f"model: gives NaN or infinity for {bad} of {len(images)} images; its training "
            "diverged or its weights are damaged, so train again with a lower learning rate"
        )
    return logits[0], logits[1]


def batch_size(side: int) -> int:
    """Images of `side` × `side` px, as they enter the network, to predict at once.

    More is slower: at 224 px, the activations of 500 images made a CPU wait for its memory and run
    at a fifth of the speed of 60.
    """
    return max(1, min(LARGEST_BATCH, PIXELS_AT_ONCE // side**2))


def evaluate_probabilities(
    probabilities: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    split: str,
    tta: str,
    target: float | None,
    phases: Sequence[Mapping[str, Any]],
    without_tta: np.ndarray | None = None,
) -> dict[str, Any]:
    """The content of `evaluation.json`, as docs/design.md describes it.

    `probabilities` float [N, K], `labels` int [N] in 0 … K-1; `without_tta` are the probabilities
    of the same images without test-time augmentation, and add `accuracy_without_tta`. `split` says
    truthfully which part was measured. Accuracy has its 95 % Wilson interval; `gap` is accuracy
    minus `target`. `confusion[t][p]` counts images of class t predicted as p; it is None above 200
    classes, where `pairs` say the same. Precision of a class never predicted, recall of a class
    without images, and F1 of either are 0.0. Macro averages go over the classes that have images or
    are predicted, as scikit-learn's do. `pairs` are all confusions, most frequent first.
    """
    _check(probabilities, labels, classes)
    if without_tta is not None:
        _check(without_tta, labels, classes)
    predicted, k = probabilities.argmax(1), len(classes)
    scores = class_scores(labels, predicted, k)
    support = np.bincount(labels, minlength=k)
    occurring = (support > 0) | (np.bincount(predicted, minlength=k) > 0)
    accuracy = accuracy_interval(int((predicted == labels).sum()), len(labels))
    evaluation: dict[str, Any] = {
        "split": split,
        "n": len(labels),
        "tta": tta,
        "loss": cross_entropy(probabilities, labels),
        "accuracy": accuracy,
        "target": target,
        "gap": None if target is None else accuracy["value"] - target,
        "macro": {key: float(values[occurring].mean()) for key, values in scores.items()},
        "per_class": [
            {
                "name": name,
                **{key: float(values[k]) for key, values in scores.items()},
                "support": int(support[k]),
            }
            for k, name in enumerate(classes)
        ],
        "confusion": (
            confusion_counts(labels, predicted, k).tolist() if k <= MATRIX_CLASSES else None
        ),
        "pairs": confusion_pairs(labels, predicted, classes),
        "phases": [dict(phase) for phase in phases],
    }
    if without_tta is not None:
        correct = int((without_tta.argmax(1) == labels).sum())
        evaluation["accuracy_without_tta"] = accuracy_interval(correct, len(labels))
    return evaluation


def cross_entropy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log probability of the true class, in nats; at most 87.3 per image.

    A probability that underflowed to 0 counts as the smallest normal float32.
    """
    true = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(true, np.finfo(np.float32).tiny)).mean())


def _check(probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> None:
    expected = (len(labels), len(classes))
    if len(labels) == 0:
        raise UsageError("labels: found none; an evaluation needs at least one image")
    if probabilities.shape != expected:
        raise UsageError(
            f"probabilities: found shape {probabilities.shape}, expected {expected} "
            "(images, classes)"
        )
    if labels.min() < 0 or labels.max() >= len(classes):
        raise UsageError(
            f"labels: found {labels.min()} to {labels.max()}, "
            f"expected 0 to {len(classes) - 1} for {len(classes)} classes"
        )
    if not np.isfinite(probabilities).all():
        raise UsageError("probabilities: found NaN or infinity, expected numbers from 0 to 1")


def _both_logits(model: nn.Module, images: Tensor, tta: TTA) -> tuple[Tensor, Tensor]:
    """Logits float32 [N, K] of uint8 images [N, H, W, 3]: with `tta`, and of the images alone."""
    plain = model(images).float()
    if tta == "none":
        return plain, plain
    averaged = (plain + model(images.flip(2)).float()) / 2
    if tta == "flip":
        return averaged, plain
    first, second = averaged.topk(2, dim=1).values.unbind(1)
    doubtful = (first - second < DOUBT).nonzero().flatten()
    if len(doubtful):
        shifted = [_shift(images[doubtful], by) for by in (-1, 1)]
        views = [*shifted, *(view.flip(2) for view in shifted)]
        mean = torch.stack([model(view).float() for view in views]).mean(0)
        averaged[doubtful] = (averaged[doubtful] + mean) / 2
    return averaged, plain


def _shift(images: Tensor, by: int) -> Tensor:
    """`images` moved diagonally by one pixel, what comes in reflected: view[i, j] = image[i + by].

    By index, for reflected padding of uint8 is not implemented in torch.
    """
    height, width = images.shape[1:3]

    def moved(side: int) -> Tensor:
        inside = torch.arange(by, side + by, device=images.device).abs()
        return torch.where(inside < side, inside, 2 * (side - 1) - inside)

    return images[:, moved(height)][:, :, moved(width)]
