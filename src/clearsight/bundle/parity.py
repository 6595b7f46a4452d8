"""Whether two engines say the same of the same images."""

import numpy as np

from clearsight.bundle.engines import Answers
from clearsight.errors import BundleError

TIE = 1e-4
TOLERANCE = 1e-3


def compare(
    expected: Answers, found: Answers, margins: np.ndarray, *, file: str, engines: str, advice: str
) -> dict[str, float]:
    """How far `found` is from `expected`, for the same N images.

    `margins`: float [N], the distance of each image's two top logits. Returns `n`; `ties`, images
    whose margin is below 1e-4, which alone may get different labels; `max_difference` of a
    probability; and, where both have them, `features_difference` and `unlike_difference`, the
    largest as a fraction of the largest absolute value.

    Raises `BundleError` for a different label elsewhere or a difference above 1e-3; it names
    `file` and the `engines`, and ends in `advice`.
    """
    n, tied = len(margins), margins < TIE
    labels = [each.probabilities.argmax(1) for each in (expected, found)]
    different = int(((labels[0] != labels[1]) & ~tied).sum())
    # NaN where there is one.
    differences = {"max_difference": np.abs(expected.probabilities - found.probabilities).max()}
    for name in ("features", "unlike"):
        one, other = getattr(expected, name), getattr(found, name)
        if one is not None and other is not None:
            differences[f"{name}_difference"] = _relative(one, other)
    if different or not all(difference <= TOLERANCE for difference in differences.values()):
        told = ", ".join(f"{difference:.2g}" for difference in differences.values())
        raise BundleError(
            f"{file}: {engines} disagree: other labels on {different} of {n:,} test images, and "
            f"probabilities, features and `unlike` differ by up to {told} (allowed: none, and "
            f"{TOLERANCE:g}); nothing was written; {advice}"
        )
    about = {"n": n, "ties": int(tied.sum())}
    return about | {name: float(difference) for name, difference in differences.items()}


def margins(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """float64 [N]: the distance of the two top logits, by probabilities float [N, K], K ≥ 2.

    `temperature` is what the logits were divided by.
    """
    top = np.sort(probabilities.astype(np.float64), axis=1)[:, -2:]
    with np.errstate(divide="ignore"):  # a probability of 0 is infinitely far
        return temperature * (np.log(top[:, 1]) - np.log(top[:, 0]))


def _relative(expected: np.ndarray, found: np.ndarray) -> np.floating:
    """The largest absolute difference as a fraction of the largest absolute value."""
    return np.abs(expected - found).max() / max(np.abs(expected).max(), np.finfo(np.float32).tiny)
