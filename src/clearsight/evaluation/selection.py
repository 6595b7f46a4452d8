"""Answers held back: when to say "don't know" or "unlike", and sets of classes instead of one.

"Don't know" and sets are promises about new images like those of the validation part, by the
probabilities that the calibrated model gave there.
"""

from fractions import Fraction
from math import ceil
from typing import NamedTuple

import numpy as np

from clearsight.errors import UsageError

# How sure a promise of accuracy is: of 20 models, one may break it.
CONFIDENCE = 0.95
# The share of images like those of the training that are not called unlike them.
PASSING = 0.99
# Shares of the images, the surest first, whose accuracy is looked at for a promise.
SHARES = 40


class Threshold(NamedTuple):
    """Answers with a larger `probability` are given; `coverage` is their share on validation."""

    probability: float
    coverage: float


class Promises(NamedTuple):
    """What may be promised of the surest images, by shares of the validation part.

    `accuracies`: float64 [S], the accuracy that each share surpasses with `CONFIDENCE`, for all
    shares at once; `thresholds`: the smallest probability, not included, and the share, of each.
    """

    accuracies: np.ndarray
    thresholds: list[Threshold]


def promises(probabilities: np.ndarray, labels: np.ndarray) -> Promises:
    """From probabilities float [N, K] and labels int [N] of images the model did not learn from.

    The bound is Clopper and Pearson's (1934), one-sided. It holds for every share at once because
    each has its part of the doubt (Bonferroni), so that the best may be chosen; Geifman and
    El-Yaniv, "Selective classification for deep neural networks", 2017, do so along a binary
    search. The images of a share are those above the surest image outside of it: given that one,
    they are independent draws.
    """
    from scipy.special import betaincinv  # quicker to import than scipy.stats

    n = len(labels)
    if n == 0:
        raise UsageError("labels: found none; a promise needs validation images")
    surest = np.sort(probabilities.max(1))[::-1]
    order = np.argsort(-probabilities.max(1), kind="stable")
    right = np.cumsum((probabilities.argmax(1) == labels)[order])
    accuracies, thresholds = [], []
    for share in range(1, SHARES + 1):
        size = n * share // SHARES
        least = float(surest[size]) if size < n else 0.0
        above = int(np.searchsorted(-surest, -least))  # fewer than `size` where some are equal
        hits = int(right[above - 1]) if above else 0
        doubt = (1 - CONFIDENCE) / SHARES
        accuracies.append(betaincinv(hits, above - hits + 1, doubt) if hits else 0.0)
        thresholds.append(Threshold(least, above / n))
    return Promises(np.array(accuracies), thresholds)


def sure_threshold(found: Promises, accuracy: float) -> Threshold:
    """The threshold that gives most answers of those whose `accuracy` can be promised.

    Raises `UsageError`, which says what can be promised, where that is less.
    """
    if not 0 < accuracy < 1:
        raise UsageError(f"sure: found {accuracy}, expected an accuracy between 0 and 1")
    kept = np.flatnonzero(found.accuracies >= accuracy)
    if len(kept):
        return found.thresholds[kept[-1]]
    best = int(found.accuracies.argmax())
    raise UsageError(
        f"sure: found {accuracy}, but the validation images are too few or too hard to promise it; "
        f"they allow up to {np.floor(1000 * found.accuracies[best]) / 1000:g}"
    )


def set_threshold(true: np.ndarray, coverage: float) -> float:
    """The smallest probability of the classes in a conformal set that holds the true one.

    `true`: float [N], what the model gave the true classes of images it did not learn from. Of new
    images at least the share `coverage` has the true class in its set, on average over validation
    parts: M. Sadinle et al., "Least ambiguous set-valued classifiers with bounded error levels",
    2019. Of all sets that depend on the probability alone theirs are the smallest.
    Raises `UsageError` where that would take more images.
    """
    n = len(true)
    if not 0 < coverage < 1:
        raise UsageError(f"coverage: found {coverage}, expected a share between 0 and 1")
    rank = ceil((n + 1) * Fraction(str(coverage)))
    if rank > n:
        raise UsageError(
            f"coverage: found {coverage}, but {n:,} validation images allow up to "
            f"{np.floor(1000 * n / (n + 1)) / 1000:g}"
        )
    return float(np.sort(true)[n - rank])


def unlike_threshold(scores: np.ndarray, passing: float = PASSING) -> float:
    """The least of the scores that at least the share `passing` of them does not surpass.

    `scores`: float [N], of validation images, as `models.classifier.unlike` gives them. An image
    above the threshold is called unlike. Raises `UsageError` for no scores, or NaN among them.
    """
    if not len(scores) or np.isnan(scores).any():
        found = "NaN" if len(scores) else "none"
        raise UsageError(f"scores: found {found}; a threshold needs a number per validation image")
    return float(np.sort(scores)[ceil(len(scores) * Fraction(str(passing))) - 1])
