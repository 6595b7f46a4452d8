"""Measured images that are training images as well, or nearly: they tell little about new ones."""

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
    return {"copies": len(copies), "accuracy_without_copies": _without(right, copies)}


def without_near_duplicates(right: np.ndarray, near: np.ndarray) -> dict[str, Any]:
    """The keys `near_duplicates` and `accuracy_without_near_duplicates` of `evaluation.json`.

    As `without_copies`; `near`: indices of the images that have a near duplicate in training, exact
    copies included (`data.groups.near_training`).
    """
    return {
        "near_duplicates": len(near),
        "accuracy_without_near_duplicates": _without(right, near),
    }


def copies_sentence(evaluation: Mapping[str, Any]) -> str | None:
    """What copies do to the accuracy, for every reader of it; None where there are none."""
    count = evaluation.get("copies", 0)
    are = "is a copy of a training image" if count == 1 else "are copies of training images"
    return _sentence(evaluation, count, are, evaluation.get("accuracy_without_copies"))


def near_sentence(evaluation: Mapping[str, Any]) -> str | None:
    """What near duplicates do to the accuracy; None where all of them are exact, or none is."""
    count = evaluation.get("near_duplicates", 0)
    if count == evaluation.get("copies", 0):
        return None
    have = "has" if count == 1 else "have"
    found = f"{have} a near duplicate among the training images"
    return _sentence(evaluation, count, found, evaluation.get("accuracy_without_near_duplicates"))


def _sentence(
    evaluation: Mapping[str, Any], count: int, are: str, accuracy: Mapping[str, Any] | None
) -> str | None:
    if not count:
        return None
    found = f"{count:,} of {evaluation['n']:,} {evaluation['split']} images {are}"
    if accuracy is None:
        return f"{found}, so the accuracy says nothing about new images"
    value, low, high = (f"{100 * accuracy[key]:.2f}" for key in ("value", "low", "high"))
    return (
        f"{found}; without them the accuracy is {value} % "
        f"(95 % interval {low} to {high} %, n = {accuracy['n']:,})"
    )


def _without(right: np.ndarray, left_out: np.ndarray) -> dict[str, Any] | None:
    own = np.delete(right, left_out)
    return {**accuracy_interval(int(own.sum()), len(own)), "n": len(own)} if len(own) else None
