"""Whether probabilities mean what they say, and the one temperature that makes them."""

import numpy as np

from clearsight.errors import UsageError

# Divisors of logits to search among. No network trained with cross-entropy comes near the ends.
COLDEST, HOTTEST = 0.01, 100.0


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
