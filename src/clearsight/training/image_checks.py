"""What can be told from raw training images and their labels alone, before a model sees them."""

from collections.abc import Sequence

import numpy as np

from clearsight.training import probe
from clearsight.training.findings import Finding

IMAGES = 300  # looked at, spread over the training part
FLAT = 0.02  # standard deviation of pixels, 0–1, under which images are one constant
FEW, MANY = 0.05, 0.2  # shares of the images from which on a finding is no accident
UNCORRELATED = 0.1  # between neighbours; of noise it is 0, of photographs 0.9
JUMPS = 5e-4  # share of neighbours that differ by nearly the whole range
TONES = 64  # distinct values from which on an image is no drawing of few colours
ROUGHER = 0.65  # differences of neighbours as channels first, as a fraction of those as stored
LEAST_PER_CLASS = 5  # images of the other classes on average that make an empty first class odd
NAMED = 5  # classes


def check_images(
    images: np.ndarray, labels: np.ndarray, indices: np.ndarray, classes: Sequence[str]
) -> list[Finding]:
    """Looks at the training part, at positions `indices` (int64 [M]) of uint8 images [N, H, W, 3].

    `labels`: int64 [N], of K `classes`.
    """
    chosen = indices[np.linspace(0, len(indices) - 1, min(IMAGES, len(indices)), dtype=np.int64)]
    sample = images[chosen]
    flat = check_contrast(sample)
    if flat is not None and flat.level == "error":  # nothing else can be told of such images
        return [flat]
    counts = np.bincount(labels[indices], minlength=len(classes))
    guessed = check_labels(images, labels, indices)
    found = [
        flat,
        check_wrapping(sample),
        check_channels(sample),
        check_noise(sample, guessed is not None),
        check_classes(counts, classes),
        guessed,
    ]
    return [finding for finding in found if finding is not None]


def check_contrast(images: np.ndarray) -> Finding | None:
    """Looks whether images, all or some of them, are nearly constant."""
    lowest, top, spread = int(images.min()), int(images.max()), float(images.std())
    if spread < FLAT * 255:
        cause = "they look scaled to 0–1 before they were stored" if top <= 1 else "look at them"
        return Finding(
            "error",
            "pixels",
            f"the images hardly have contrast: pixels from {lowest} to {top} of 255, standard "
            f"deviation {spread:.2g}; {cause}, give pixels from 0 to 255",
        )
    tops = images.max((1, 2, 3))
    scaled = int((tops == 1).sum())
    if scaled >= FEW * len(images):
        return Finding(
            "error",
            "pixels",
            f"{int((tops <= 1).sum())} of {len(images)} images have no pixel above 1, the others "
            f"go up to {top}: they look scaled to 0–1 before they were stored; give pixels from 0 "
            "to 255",
        )
    constant = int((tops == images.min((1, 2, 3))).sum())
    if constant >= MANY * len(images):
        return Finding(
            "warning",
            "pixels",
            f"{constant} of {len(images)} images are one constant value each, without any content; "
            "look at them",
        )
    return None


def check_wrapping(images: np.ndarray) -> Finding | None:
    """Looks for values that went past 255 and began again at 0, or the other way round.

    In images of many tones such neighbours differ by nearly the whole range, and mostly in one
    channel alone; drawings and captions have black beside white in all three.
    """
    few = images[:: max(1, len(images) // 100)]
    tones = np.median([len(np.unique(image)) for image in few])
    ends = float(((images < 16) | (images > 239)).mean())
    if tones < TONES or ends > 0.3:
        return None
    far = large = alone = count = 0
    for axis in (1, 2):
        differences = np.abs(np.diff(images.astype(np.int16), axis=axis))
        wide = differences > 240
        channels = wide.sum(3)
        far += int(wide.sum())
        large += int((differences > 200).sum())
        alone += int(channels[channels < 3].sum())
        count += wide.size
    # Unrelated values have 0.08 of their large differences so far apart.
    if far < JUMPS * count or far < 0.12 * large or alone < 0.5 * far:
        return None
    return Finding(
        "error",
        "pixels",
        f"{far / count:.2%} of neighbouring pixels jump from one end of the range to the other, in "
        "images that are smooth elsewhere: values look wrapped around in uint8 (scaled or shifted "
        "past 255); clip them to 0 to 255 before they are converted",
    )


def check_channels(images: np.ndarray) -> Finding | None:
    """Looks whether the images are smoother when read with their channels first."""
    n, height, width, _ = images.shape
    if min(height, width) < 8:
        return None
    stored = images.astype(np.int16)
    first = images.reshape(n, 3, height, width).astype(np.int16)
    across, down = (float(np.abs(np.diff(stored, axis=axis)).mean()) for axis in (2, 1))
    first_across, first_down = (float(np.abs(np.diff(first, axis=axis)).mean()) for axis in (3, 2))
    colour = float(np.abs(stored[..., 0] - stored[..., 1]).mean())
    # Grey images have equal channels; read wrongly, "channels" are neighbours and differ as such.
    if colour < 0.2 * across or min(across, down) == 0:
        return None
    if first_across > ROUGHER * across or first_down > ROUGHER * down:
        return None
    return Finding(
        "error",
        "pixels",
        f"neighbouring pixels differ by {across:.3g} and {down:.3g} of 255, and by only "
        f"{first_across:.3g} and {first_down:.3g} if the same bytes are read with channels first: "
        "the images look stored as [3, height, width]; transpose them to [height, width, 3], do "
        "not reshape them",
    )


def check_noise(images: np.ndarray, guessed: bool) -> Finding | None:
    """Looks whether neighbouring pixels have anything to do with each other.

    `guessed`: whether a linear probe could not tell the classes apart either; images that encode
    something else than a picture are then ruled out.
    """
    if min(images.shape[1:3]) < 4:
        return None
    noisy = sum(_is_noise(image) for image in images)
    if noisy < 0.5 * len(images):
        return None
    return Finding(
        "error" if guessed else "warning",
        "pixels",
        f"in {noisy} of {len(images)} images neighbouring pixels do not correlate (less than "
        f"{UNCORRELATED:g}; photographs and drawings have 0.3 to 1): they look like noise; check "
        "how the pixels were read, their order and their type",
    )


def check_classes(counts: np.ndarray, classes: Sequence[str]) -> Finding | None:
    """Looks for classes without training images; `counts`: int64 [K]."""
    empty = np.flatnonzero(counts == 0)
    if not len(empty):
        return None
    names = ", ".join(repr(classes[k]) for k in empty[:NAMED]) + ", …" * (len(empty) > NAMED)
    text = f"{len(empty)} of {len(classes)} classes have no training images ({names})"
    if empty.tolist() == [0] and counts.sum() >= LEAST_PER_CLASS * len(classes):
        return Finding(
            "error",
            "labels",
            f"{text}, and it is the first: labels look counted from 1; count them from 0, or take "
            "the class out",
        )
    return Finding("warning", "labels", f"{text}; the model can't learn them")


def check_labels(images: np.ndarray, labels: np.ndarray, indices: np.ndarray) -> Finding | None:
    """Looks whether a linear probe tells the classes apart better than by guessing."""
    chosen = indices[probe.choose(labels[indices])]
    if not len(chosen):
        return None
    result = probe.probe(images[chosen], labels[chosen])
    if result.p <= 0.05:
        return None
    return Finding(
        "warning",
        "labels",
        f"a linear probe on {result.n} training images of {result.classes} classes reaches "
        f"{result.accuracy:.1%}, no better than with shuffled labels ({result.guessing:.1%}): "
        "check that every label belongs to its image; on very similar classes this may be all "
        "right",
    )


def _is_noise(image: np.ndarray) -> bool:
    """Whether no pixel of a uint8 image [H, W, 3] correlates with its next two neighbours."""
    x = image.astype(np.float32) - image.mean(dtype=np.float32)
    variance = float(np.square(x).mean())
    if variance < (FLAT * 255) ** 2:
        return False
    pairs = [(x[k:], x[:-k]) for k in (1, 2)] + [(x[:, k:], x[:, :-k]) for k in (1, 2)]
    return all(abs(float((a * b).mean())) < UNCORRELATED * variance for a, b in pairs)
