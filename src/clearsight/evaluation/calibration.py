"""Whether probabilities mean what they say, and the one temperature that makes them."""

from typing import Any

import numpy as np

from clearsight.errors import UsageError
from clearsight.evaluation.intervals import accuracy_interval

# Divisors of logits to search among. No network trained with cross-entropy comes near the ends.
COLDEST, HOTTEST = 0.01, 100.0
BINS = 15
RESAMPLES, RESAMPLED_AT_ONCE = 1000, 2_000_000


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature by which dividing `logits` makes the labels likeliest.

    `logits`: float [N, K], N ≥ 1, not calibrated; `labels`: int [N], 0 … K-1. Temperature scaling
    is C. Guo et al., "On calibration of modern neural networks", 2017. The negative log likelihood
    is convex in the inverse of the temperature. One image in N + 2 counts as labelled at random
    (after J. Platt, "Probabilistic outputs for support vector machines", 1999): where every label
    is right, the likeliest temperature would be 0 and every answer certain.
    """
    if not len(labels) or logits.shape[:1] != labels.shape:
        raise UsageError(
            f"labels: found {len(labels)} for logits {list(logits.shape)}; give one per row"
        )
    from scipy.optimize import minimize_scalar

    below = logits.astype(np.float64)
    below -= below.max(1, keepdims=True)
    random = 1 / (len(labels) + 2)
    true = below[np.arange(len(labels)), labels]
    evidence = (1 - random) * true.mean() + random * below.mean()

    def loss(log_temperature: float) -> float:
        inverse = np.exp(-log_temperature)
        return float(np.log(np.exp(inverse * below).sum(1)).mean() - inverse * evidence)

    found = minimize_scalar(
        loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded", options={"xatol": 1e-6}
    )
    return float(np.exp(found.x)) if found.fun < loss(0) else 1.0


def calibration_scores(
    probabilities: np.ndarray, labels: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, dict[str, float]]:
    """How far probabilities float [N, K] are from what labels int [N] show, each score by name.

    Each has `value` and its 95 % interval by bootstrap over the images, `low` and `high`:

    - `ece`: expected calibration error, 0 to 1: how far the mean confidence is from the accuracy,
      averaged over the images of 15 bins of equal width (Guo et al. 2017)
    - `adaptive_ece`: the same with as many images in each bin (K. Nguyen and B. O'Connor, 2015)
    - `brier`: mean squared error over all classes, 0 to 2 (G. Brier, 1950)
    - `nll`: mean negative log likelihood in nats; at most 87.3 per image

    The value of either error is too large on average, the more so the fewer the images: of perfect
    probabilities it measures the noise. Its interval allows for that, where the usual percentiles
    would nearly always leave out the truth: `low` is the value less the noise of all bins, which
    the triangle inequality makes a bound, and `high` the value plus its own spread.
    """
    if not len(labels) or probabilities.shape[:1] != labels.shape:
        raise UsageError(
            f"labels: found {len(labels)} for probabilities {list(probabilities.shape)}; give one "
            "per row"
        )
    n, rows = len(labels), np.arange(len(labels))
    confidence = probabilities.max(1).astype(np.float64)
    gap = confidence - (probabilities.argmax(1) == labels)
    true = probabilities[rows, labels].astype(np.float64)
    squares = (probabilities.astype(np.float64) ** 2).sum(1) - 2 * true + 1
    columns = np.zeros((n, 2 * BINS + 2))
    columns[rows, equal_width(confidence)] = gap
    columns[rows, BINS + _equal_count(confidence)] = gap
    columns[:, -2] = squares
    columns[:, -1] = -np.log(np.maximum(true, np.finfo(np.float32).tiny))
    means, resampled = columns.mean(0), resampled_means(columns, resamples, seed)
    scores = {}
    for name, bins in (("ece", slice(0, BINS)), ("adaptive_ece", slice(BINS, 2 * BINS))):
        value, found = np.abs(means[bins]).sum(), np.abs(resampled[:, bins]).sum(1)
        noise = np.quantile(np.abs(resampled[:, bins] - means[bins]).sum(1), 0.975)
        spread = found.mean() - np.quantile(found, 0.025)
        scores[name] = _interval(value, max(0, value - noise), min(1, value + spread))
    for name, column in (("brier", -2), ("nll", -1)):
        low, high = np.quantile(resampled[:, column], (0.025, 0.975))
        scores[name] = _interval(means[column], low, high)
    return scores


def reliability(probabilities: np.ndarray, labels: np.ndarray) -> list[dict[str, Any]]:
    """The bins of equal width that hold images, from the least sure up, for a diagram.

    Each has `n`, the mean `confidence` of its images, and their `accuracy` with its 95 % interval.
    """
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    bins, rows = equal_width(confidence), []
    for k in np.unique(bins):
        inside = bins == k
        rows.append(
            {
                "n": int(inside.sum()),
                "confidence": float(confidence[inside].mean(dtype=np.float64)),
                "accuracy": accuracy_interval(int(right[inside].sum()), int(inside.sum())),
            }
        )
    return rows


def equal_width(confidence: np.ndarray) -> np.ndarray:
    """int64 [N], 0 … 14: the bin of each confidence; its upper end belongs to a bin."""
    return np.searchsorted(np.arange(1, BINS) / BINS, confidence)


def resampled_means(columns: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Means float64 [R, C] of columns float [N, C] over `resamples` draws of N rows."""
    rng, n, parts = np.random.default_rng(seed), len(columns), []
    at_once = max(1, RESAMPLED_AT_ONCE // n)
    for start in range(0, resamples, at_once):
        count = min(at_once, resamples - start)
        drawn = rng.integers(n, size=(count, n)) + n * np.arange(count)[:, None]
        times = np.bincount(drawn.ravel(), minlength=count * n).reshape(count, n)
        parts.append(times.astype(np.float64) @ columns / n)
    return np.concatenate(parts)


def _equal_count(confidence: np.ndarray) -> np.ndarray:
    """int64 [N], 0 … 14: bins of as many images each, as far as N can be divided."""
    bins = np.empty(len(confidence), np.int64)
    bins[np.argsort(confidence, kind="stable")] = np.arange(len(bins)) * BINS // len(bins)
    return bins


def _interval(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": float(value), "low": float(low), "high": float(high)}
