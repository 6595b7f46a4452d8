"""The key `probabilities` of `evaluation.json`: what probabilities are worth on measured images."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from clearsight.evaluation.calibration import (
    RESAMPLES,
    calibration_scores,
    reliability,
    resampled_means,
)
from clearsight.evaluation.intervals import accuracy_interval
from clearsight.evaluation.metrics import as_probabilities

# Points of the curve of accuracy over coverage.
POINTS = 20


def judge_probabilities(
    logits: np.ndarray, labels: np.ndarray, calibration: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Of one view per image, as a bundle predicts; `logits` float32 [N, K], `labels` int [N].

    `calibration` is the content of `calibration.json`; without it there is neither `after` nor
    what else it promises. Returns

    - `temperature` (None without calibration), `before` and, divided by it, `after`: see
      `calibration_scores`
    - `reliability`: the bins `before` and `after`, see there
    - `curve`: `accuracy`, with its interval, of the surest share `coverage` of the images
    - `sure`: by promised `accuracy` the `coverage` and the `selective_accuracy` (None where no
      image passes), each with its interval, of the `n` images that pass
    - `sets`: by promised `coverage` what was `measured`, and the mean `size`, with intervals
    """
    temperature = None if calibration is None else calibration["temperature"]
    probabilities = as_probabilities(logits, 1.0)
    bins = {"before": reliability(probabilities, labels)}
    if temperature is not None:
        probabilities = as_probabilities(logits, temperature)
        bins["after"] = reliability(probabilities, labels)
    promised = calibration or {"sure": [], "sets": []}
    return {
        **before_and_after(logits, labels, temperature),
        "reliability": bins,
        "curve": _curve(probabilities, labels),
        "sure": [_selective(probabilities, labels, row) for row in promised["sure"]],
        "sets": [_sets(probabilities, labels, row) for row in promised["sets"]],
    }


def before_and_after(
    logits: np.ndarray, labels: np.ndarray, temperature: float | None
) -> dict[str, Any]:
    """`temperature`, and the scores `before` and `after` the logits are divided by it."""
    scores = {"before": calibration_scores(as_probabilities(logits, 1.0), labels)}
    if temperature is not None:
        scores["after"] = calibration_scores(as_probabilities(logits, temperature), labels)
    return {"temperature": temperature, **scores}


def _curve(probabilities: np.ndarray, labels: np.ndarray) -> list[dict[str, Any]]:
    order = np.argsort(-probabilities.max(1), kind="stable")
    right = np.cumsum((probabilities.argmax(1) == labels)[order])
    counts = np.unique(np.ceil(np.arange(1, POINTS + 1) * len(labels) / POINTS).astype(int))
    return [
        {
            "coverage": int(count) / len(labels),
            "accuracy": accuracy_interval(int(right[count - 1]), int(count)),
        }
        for count in counts
    ]


def _selective(
    probabilities: np.ndarray, labels: np.ndarray, row: Mapping[str, Any]
) -> dict[str, Any]:
    passes = probabilities.max(1) > row["probability"]
    n = int(passes.sum())
    right = int((probabilities.argmax(1) == labels)[passes].sum())
    return {
        "accuracy": row["accuracy"],
        "n": n,
        "coverage": accuracy_interval(n, len(labels)),
        "selective_accuracy": accuracy_interval(right, n) if n else None,
    }


def _sets(probabilities: np.ndarray, labels: np.ndarray, row: Mapping[str, Any]) -> dict[str, Any]:
    rows, inside = np.arange(len(labels)), probabilities >= row["probability"]
    inside[rows, probabilities.argmax(1)] = True
    sizes = inside.sum(1, dtype=np.float64)
    low, high = np.quantile(resampled_means(sizes[:, None], RESAMPLES, 0), (0.025, 0.975))
    return {
        "coverage": row["coverage"],
        "measured": accuracy_interval(int(inside[rows, labels].sum()), len(labels)),
        "size": {"value": float(sizes.mean()), "low": float(low), "high": float(high)},
    }
