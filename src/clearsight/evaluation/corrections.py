"""Measured images whose labels were corrected: the accuracy is no longer that of the data as is."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from clearsight.evaluation.intervals import accuracy_interval


def with_source_labels(predicted: np.ndarray, source_labels: np.ndarray, n: int) -> dict[str, Any]:
    """The keys `corrected` and `accuracy_with_source_labels` of `evaluation.json`.

    `predicted`, `source_labels`: int64 [N] per measured image, the labels those that the source
    gives; `n`: how many of them were corrected. The accuracy has its 95 % interval.
    """
    right = int((predicted == source_labels).sum())
    accuracy = accuracy_interval(right, len(predicted))
    return {"corrected": n, "accuracy_with_source_labels": accuracy}


def corrections_sentence(evaluation: Mapping[str, Any]) -> str | None:
    """That labels were corrected, for every reader of the accuracy; None where none were."""
    count = evaluation.get("corrected", 0)
    if not count:
        return None
    value, low, high = (
        f"{100 * evaluation['accuracy_with_source_labels'][key]:.2f}"
        for key in ("value", "low", "high")
    )
    labels = "label was" if count == 1 else "labels were"
    return (
        f"{count:,} of {evaluation['n']:,} {evaluation['split']} {labels} corrected; with the "
        f"labels of the source the accuracy is {value} % (95 % interval {low} to {high} %)"
    )
