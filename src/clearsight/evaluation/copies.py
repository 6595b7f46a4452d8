"""Measured images that are training images as well: they tell nothing about new ones."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from clearsight.evaluation.intervals import accuracy_interval


def without_copies(right: np.ndarray, copies: np.ndarray) -> dict[str, Any]:
    """The keys `copies` and `accuracy_without_copies` of `evaluation.json`.

    `right`: bool [N] per measured image; `copies`: int64, indices of those that are copies of
    training images (`data.splits.copies_of_training`). The accuracy has its 95 % interval and its
    n, and is None where all are copies.
    """
    own = np.delete(right, copies)
    accuracy = None
    if len(own):
        accuracy = {**accuracy_interval(int(own.sum()), len(own)), "n": len(own)}
    return {"copies": len(copies), "accuracy_without_copies": accuracy}


def copies_sentence(evaluation: Mapping[str, Any]) -> str | None:
    """What copies do to the accuracy, for every reader of it; None where there are none."""
    count, accuracy = evaluation.get("copies", 0), evaluation.get("accuracy_without_copies")
    if not count:
        return None
    are = "is a copy of a training image" if count == 1 else "are copies of training images"
    found = f"{count:,} of {evaluation['n']:,} {evaluation['split']} images {are}"
    if accuracy is None:
        return f"{found}, so the accuracy says nothing about new images"
    value, low, high = (f"{100 * accuracy[key]:.2f}" for key in ("value", "low", "high"))
    return (
        f"{found}; without them the accuracy is {value} % "
        f"(95 % interval {low} to {high} %, n = {accuracy['n']:,})"
    )
