"""How sure a measured accuracy is."""

from collections.abc import Mapping
from typing import Any

from clearsight.errors import UsageError


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


def target_verdict(evaluation: Mapping[str, Any]) -> tuple[str, str] | None:
    """(`reached`, `open` or `missed`; the end of a sentence) on the target, None without one.

    `open`: the accuracy's interval spans the target. `evaluation`: content of `evaluation.json`.
    """
    target, accuracy = evaluation["target"], evaluation["accuracy"]
    if target is None:
        return None
    gap = 100 * abs(accuracy["value"] - target)
    size = "exactly" if gap == 0 else f"by {gap:.2f} percentage points"
    if accuracy["low"] >= target:
        return "reached", f"reached {size}; the whole interval lies above it"
    if accuracy["value"] >= target:
        return "open", f"reached {size}, but the interval extends below it"
    if accuracy["high"] >= target:
        return "open", f"missed {size}, but the interval extends above it"
    return "missed", f"missed {size}; the whole interval lies below it"
