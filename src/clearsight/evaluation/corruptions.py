"""Accuracy on corrupted images: fifteen corruptions at five severities, and JPEG files.

D. Hendrycks and T. Dietterich, "Benchmarking neural network robustness to common corruptions and
perturbations", 2019 (arXiv:1903.12261), with the strengths of their CIFAR-10-C, which are for
images of 32 px. For other sizes, lengths (the widths of blurs, the smear of flakes) grow in
proportion to the side; amplitudes, factors and JPEG qualities stay.
"""

from collections.abc import Callable, Iterator
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
CORRUPTIONS: dict[str, tuple[str, Corruption]] = {
    "gaussian_noise": ("noise", gaussian_noise),
    "shot_noise": ("noise", shot_noise),
    "impulse_noise": ("noise", impulse_noise),
    "defocus_blur": ("blur", defocus_blur),
    "glass_blur": ("blur", glass_blur),
    "motion_blur": ("blur", motion_blur),
    "zoom_blur": ("blur", zoom_blur),
    "snow": ("weather", snow),
    "frost": ("weather", frost),
    "fog": ("weather", fog),
    "brightness": ("weather", brightness),
    "contrast": ("digital", contrast),
    "elastic_transform": ("digital", elastic_transform),
    "pixelate": ("digital", pixelate),
    "jpeg_compression": ("digital", jpeg_compression),
}
"""Each with its group."""
SEVERITIES = (1, 2, 3, 4, 5)
CONDITIONS = tuple((name, severity) for name in CORRUPTIONS for severity in SEVERITIES)
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
    _, corruption = CORRUPTIONS[name]
    return to_uint8(corruption(images.astype(np.float32) / 255, severity, draws))


def balanced_sample(labels: np.ndarray, ids: np.ndarray, n: int) -> np.ndarray:
    """int64: positions of `n` images, equally many of each class where it has so many.

    `labels`: int [N]; `ids`: bytes [N], hashes, whose order decides which images they are: the same
    in every order of the images, and of a larger sample the first.
    """
    by_class = np.lexsort((ids, labels))
    starts = np.searchsorted(labels[by_class], labels[by_class])
    rank = np.arange(len(labels)) - starts
    return by_class[np.lexsort((ids[by_class], rank))][:n]


def right_under_corruptions(
    model: nn.Module,
    images: np.ndarray,
    labels: np.ndarray,
    ids: np.ndarray,
    *,
    progress: Progress = SILENT,
) -> np.ndarray:
    """bool [1 + 75 + 4, N]: whether the model is right of each image, one view each.

    Of the images as they are, then corruption by corruption at severities 1 to 5, then as JPEG
    files. `images`: uint8 [N, H, W, 3], `labels`: int [N], `ids`: bytes [N].
    """
    right = np.empty((1 + len(CONDITIONS) + len(JPEG_QUALITIES), len(images)), bool)
    size = max(1, PIXELS_AT_ONCE // (images.shape[1] * images.shape[2]))
    with progress.task("corrupted images", right.size) as advance:
        for start in range(0, len(images), size):
            chunk = slice(start, start + size)
            for row, view in enumerate(_views(np.asarray(images[chunk]), ids[chunk])):
                right[row, chunk] = predict_probabilities(model, view).argmax(1) == labels[chunk]
                advance(len(view))
    return right


def summarise_corruptions(right: np.ndarray) -> dict[str, Any]:
    """Accuracies of what `right_under_corruptions` gives, as part of `corruptions.json`.

    Of single conditions the intervals are Wilson's; of means over conditions they are bootstrapped
    over the images, for one image under several corruptions is one image.

    - `clean`: accuracy of the images as they are
    - `mean`, `drop`: over all fifteen and five, and how much lower than `clean` it is
    - `corruptions`: of each `name`, `group`, `mean`, and `severities`, an accuracy each
    - `jpeg`: of each `quality` the accuracy, and `drop`
    """
    clean, corrupted, jpeg = right[0], right[1 : 1 + len(CONDITIONS)], right[1 + len(CONDITIONS) :]
    by_name = corrupted.reshape(len(CORRUPTIONS), len(SEVERITIES), -1)
    return {
        "clean": _accuracy(clean),
        "mean": mean_interval(corrupted.mean(0)),
        "drop": mean_interval(clean - corrupted.mean(0)),
        "corruptions": [
            {
                "name": name,
                "group": group,
                "mean": mean_interval(rows.mean(0)),
                "severities": [_accuracy(row) for row in rows],
            }
            for (name, (group, _)), rows in zip(CORRUPTIONS.items(), by_name, strict=True)
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


def _views(pixels: np.ndarray, ids: np.ndarray) -> Iterator[np.ndarray]:
    """The images as they are, under every condition, and as JPEG files."""
    yield pixels
    for name, severity in CONDITIONS:
        yield corrupt(pixels, name, severity, ids)
    for quality in JPEG_QUALITIES:
        yield as_jpeg(pixels, quality)


def _accuracy(right: np.ndarray) -> dict[str, float]:
    return accuracy_interval(int(right.sum()), len(right))
