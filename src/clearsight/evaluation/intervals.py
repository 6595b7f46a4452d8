"""How sure a measured accuracy is."""

from math import hypot

import numpy as np

from clearsight.errors import UsageError

RESAMPLES = 2000


def wilson(correct: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """(low, high) of the Wilson score interval of the proportion `correct` / `n`.

    Both lie within 0–1, also at 0 and `n` correct, where the normal approximation collapses.
    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    Raises `UsageError` unless 0 ≤ `correct` ≤ `n`, `n` ≥ 1 and 0 < `confidence` < 1.
    """
    from scipy.stats import binomtest  # takes a second to import

    if n < 1 or not 0 <= correct <= n:
        raise UsageError(
            f"wilson: found {correct} correct of {n}; give 0 ≤ correct ≤ n with n of 1 or more"
        )
    if not 0 < confidence < 1:
        raise UsageError(f"confidence: found {confidence}; give a number between 0 and 1")
    interval = binomtest(correct, n).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def accuracy_interval(correct: int, n: int) -> dict[str, float]:
    """`value`, and `low` and `high` of its 95 % Wilson interval: an accuracy as JSON keeps it."""
    low, high = wilson(correct, n)
    return {"value": correct / n, "low": low, "high": high}


def difference_interval(correct_a: int, n_a: int, correct_b: int, n_b: int) -> dict[str, float]:
    """`value`, the accuracy of A minus that of B on other images, `low` and `high` of 95 %.

    R. G. Newcombe, "Interval estimation for the difference between independent proportions:
    comparison of eleven methods", 1998, method 10: from the Wilson intervals of both.
    """
    a, b = accuracy_interval(correct_a, n_a), accuracy_interval(correct_b, n_b)
    value = a["value"] - b["value"]
    below = hypot(a["value"] - a["low"], b["high"] - b["value"])
    above = hypot(a["high"] - a["value"], b["value"] - b["low"])
    return {"value": value, "low": value - below, "high": value + above}


def mean_interval(values: np.ndarray, *, seed: int = 0) -> dict[str, float]:
    """`value`, the mean, and `low` and `high` of its 95 % bootstrap interval over `values` [N].

    By percentiles of 2,000 seeded resamples. Where all values are equal the interval is a point.
    """
    draw, n = np.random.default_rng(seed), len(values)
    # How often each value is drawn says all; in parts, for memory.
    means = [
        draw.multinomial(n, np.full(n, 1 / n), size=100) @ values / n
        for _ in range(RESAMPLES // 100)
    ]
    low, high = np.quantile(np.concatenate(means), (0.025, 0.975))
    return {"value": float(np.mean(values)), "low": float(low), "high": float(high)}
