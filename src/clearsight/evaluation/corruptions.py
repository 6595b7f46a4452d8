"""Accuracy on corrupted images: fifteen corruptions at five severities, and JPEG files.

D. Hendrycks and T. Dietterich, "Benchmarking neural network robustness to common corruptions and
perturbations", 2019 (arXiv:1903.12261), with the strengths of their CIFAR-10-C, which are for
images of 32 px. For other sizes, lengths (the widths of blurs, the smear of flakes) grow in
proportion to the side; amplitudes, factors and JPEG qualities stay.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import nn

from clearsight.errors import UsageError
from clearsight.evaluation.intervals import accuracy_interval, mean_interval
from clearsight.evaluation.metrics import predict_probabilities
from clearsight.evaluation.noise_and_blur import (
    Draws,
    defocus_blur,
    gaussian_noise,
    glass_blur,
    impulse_noise,
    motion_blur,
    shot_noise,
    zoom_blur,
)
from clearsight.evaluation.weather_and_digital import (
    as_jpeg,
    brightness,
    contrast,
    elastic_transform,
    fog,
    frost,
    jpeg_compression,
    pixelate,
    snow,
    to_uint8,
)
from clearsight.progress import SILENT, Progress

Corruption = Callable[[np.ndarray, int, Draws], np.ndarray]
GROUPS: dict[str, tuple[Corruption, ...]] = {
    "noise": (gaussian_noise, shot_noise, impulse_noise),
    "blur": (defocus_blur, glass_blur, motion_blur, zoom_blur),
    "weather": (snow, frost, fog, brightness),
    "digital": (contrast, elastic_transform, pixelate, jpeg_compression),
}
CORRUPTIONS = {f.__name__: f for functions in GROUPS.values() for f in functions}
SEVERITIES = (1, 2, 3, 4, 5)
JPEG_QUALITIES = (90, 75, 50, 25)
SAMPLE = 1000
PIXELS_AT_ONCE = 1_100_000  # of a chunk; a chunk of 32 px images is then about a thousand


def corrupt(images: np.ndarray, name: str, severity: int, ids: np.ndarray) -> np.ndarray:
    """The images after one of the fifteen corruptions.

    `images`: uint8 [N, H, W, 3], square, of 8 px or more, as the result; `severity`: 1 to 5.
    `ids`: bytes [N], as `ImageSet.ids`: what is random of an image comes from its id and the name
    of the corruption, so it is the same every time, and the same draw at every severity.
    """
    if name not in CORRUPTIONS:
        raise UsageError(f"corruption: found {name!r}, expected one of {', '.join(CORRUPTIONS)}")
    if severity not in SEVERITIES:
        raise UsageError(f"severity: found {severity!r}, expected a whole number from 1 to 5")
    number = list(CORRUPTIONS).index(name)
    draws = [np.random.default_rng((int(i[:16], 16), number)) for i in ids.tolist()]
    return to_uint8(CORRUPTIONS[name](images.astype(np.float32) / 255, severity, draws))


def balanced_sample(labels: np.ndarray, ids: np.ndarray, n: int) -> np.ndarray:
    """int64: positions of `n` images, equally many of each class where it has so many.

    `labels`: int [N]; `ids`: bytes [N], hashes, whose order decides which images they are: the same
    in every order of the images, and of a larger sample the first.
    """
    by_class = np.lexsort((ids, labels))
    starts = np.searchsorted(labels[by_class], labels[by_class])
    rank = np.arange(len(labels)) - starts
    return by_class[np.lexsort((ids[by_class], rank))][:n]


def measure_corruptions(
    model: nn.Module,
    images: np.ndarray,
    labels: np.ndarray,
    ids: np.ndarray,
    *,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Accuracies of one view per image, as part of `corruptions.json`.

    `images`: uint8 [N, H, W, 3], `labels`: int [N], `ids`: bytes [N]. Of single conditions the
    intervals are Wilson's; of means over conditions they are bootstrapped over the images, for the
    same image under several corruptions is one image.

    - `clean`: accuracy of the images as they are
    - `mean`, `drop`: over all fifteen and five, and how much lower than `clean` it is
    - `corruptions`: of each `name`, `group`, `mean`, and `severities`, an accuracy each
    - `jpeg`: of each `quality` the accuracy, and `drop`
    """
    conditions = [(name, s) for name in CORRUPTIONS for s in SEVERITIES]
    right = np.empty((1 + len(conditions) + len(JPEG_QUALITIES), len(images)), bool)
    size = max(1, PIXELS_AT_ONCE // (images.shape[1] * images.shape[2]))
    with progress.task("corruptions", right.size) as advance:
        for start in range(0, len(images), size):
            chunk = slice(start, start + size)
            pixels = np.asarray(images[chunk])
            views = [
                lambda: pixels,
                *(lambda c=c: corrupt(pixels, *c, ids[chunk]) for c in conditions),
                *(lambda q=q: as_jpeg(pixels, q) for q in JPEG_QUALITIES),
            ]
            for row, view in enumerate(views):
                predicted = predict_probabilities(model, view()).argmax(1)
                right[row, chunk] = predicted == labels[chunk]
                advance(len(pixels))
    clean, corrupted, jpeg = right[0], right[1 : 1 + len(conditions)], right[-len(JPEG_QUALITIES) :]
    by_name = corrupted.reshape(len(CORRUPTIONS), len(SEVERITIES), -1)
    return {
        "clean": _accuracy(clean),
        "mean": mean_interval(corrupted.mean(0)),
        "drop": mean_interval(clean - corrupted.mean(0)),
        "corruptions": [
            {
                "name": function.__name__,
                "group": group,
                "mean": mean_interval(rows.mean(0)),
                "severities": [_accuracy(row) for row in rows],
            }
            for (group, function), rows in zip(_grouped(), by_name, strict=True)
        ],
        "jpeg": [
            {
                "quality": quality,
                "accuracy": _accuracy(row),
                "drop": mean_interval(clean.astype(float) - row),
            }
            for quality, row in zip(JPEG_QUALITIES, jpeg, strict=True)
        ],
    }


def _grouped() -> Sequence[tuple[str, Corruption]]:
    return [(group, function) for group, functions in GROUPS.items() for function in functions]


def _accuracy(right: np.ndarray) -> dict[str, float]:
    return accuracy_interval(int(right.sum()), len(right))
