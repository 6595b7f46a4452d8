"""How sure a measured accuracy is."""

from math import sqrt
from statistics import NormalDist

from clearsight.errors import UsageError


def wilson(correct: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """(low, high) of the Wilson score interval of the proportion `correct` / `n`.

    Both lie within 0–1, also at 0 and `n` correct, where the normal approximation collapses.
    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    Raises `UsageError` unless 0 ≤ `correct` ≤ `n`, `n` ≥ 1 and 0 < `confidence` < 1.
    """
    if n < 1 or not 0 <= correct <= n:
        raise UsageError(
            f"wilson: found {correct} correct of {n}; give 0 ≤ correct ≤ n with n of 1 or more"
        )
    if not 0 < confidence < 1:
        raise UsageError(f"confidence: found {confidence}; give a number between 0 and 1")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = correct / n
    centre = share + z * z / (2 * n)
    margin = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # Rounding must not push the ends a bit over the edge they touch exactly.
    low = 0.0 if correct == 0 else (centre - margin) / scale
    high = 1.0 if correct == n else (centre + margin) / scale
    return low, high
