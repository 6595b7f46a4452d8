"""How unlike its training images an image is to a classifier, told from what the network computes.

benchmarks/unlike.py measured which score to use; docs/trust.md has what it finds, and how much it
misses: it is no guarantee.
"""

from fractions import Fraction
from math import ceil

import numpy as np
from torch import Tensor

from clearsight.errors import UsageError

# The share of images like those of the training that are to pass.
PASSING = 0.99


def energy(logits: Tensor) -> Tensor:
    """The free energy, float [N], of logits [N, K]: larger is less like the training images.

    −log Σ exp, in nats: W. Liu, X. Wang, J. Owens and Y. Li, "Energy-based out-of-distribution
    detection", 2020 (arXiv:2010.03759), at their temperature of 1. Logits are taken as the network
    gives them, before any calibration.
    """
    return -logits.logsumexp(1)


def unlike_threshold(scores: np.ndarray, passing: float = PASSING) -> float:
    """The least of the scores that at least the share `passing` of them does not exceed.

    `scores`: float [N], of images that the model did not learn from. An image above it is called
    unlike. Raises `UsageError` for no scores or for NaN.
    """
    if not len(scores) or np.isnan(scores).any():
        found = "NaN" if len(scores) else "none"
        raise UsageError(f"scores: found {found}; a threshold needs a number per validation image")
    rank = ceil(len(scores) * Fraction(str(passing)))
    return float(np.sort(scores)[rank - 1])
