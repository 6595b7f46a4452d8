"""A model on another data set, beside what it reaches on its own test part."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from clearsight.data.names import listed
from clearsight.errors import DataError
from clearsight.evaluation.intervals import accuracy_interval, difference_interval
from clearsight.evaluation.predictions import Predictions
from clearsight.notebook import Result
from clearsight.wording import interval, percent


def side_by_side(
    labels: np.ndarray, predicted: np.ndarray, own: Predictions, *, split: str
) -> dict[str, Any]:
    """Accuracies of both over the classes that both have, as JSON-able values.

    `labels`, `predicted`: int [N], numbers of `own.classes`; `own`: the predictions on the run's
    own part, whose name is `split`.

    - `classes`: those that both have; `of`: how many the model has
    - `n`, `accuracy`; `own`: `split`, `n`, `accuracy`; `difference`: the former minus the latter,
      with Newcombe's interval for images of two kinds
    - `per_class`: `name`, `n`, `recall`, `own_recall`

    Raises `DataError` where they have no class in common.
    """
    shared = np.intersect1d(labels, own.labels)
    if not len(shared):
        found = listed(own.classes[k] for k in np.unique(labels))
        raise DataError(
            f"the run's {split} part has no images of {found}, so there is nothing to compare "
            "with; give a data set with classes that were measured"
        )
    right, own_right = predicted == labels, own.probabilities.argmax(1) == own.labels
    inside, own_inside = right[np.isin(labels, shared)], own_right[np.isin(own.labels, shared)]
    counts = (int(inside.sum()), len(inside)), (int(own_inside.sum()), len(own_inside))
    return {
        "classes": [own.classes[k] for k in shared],
        "of": len(own.classes),
        "n": len(inside),
        "accuracy": accuracy_interval(*counts[0]),
        "own": {"split": split, "n": len(own_inside), "accuracy": accuracy_interval(*counts[1])},
        "difference": difference_interval(*counts[0], *counts[1]),
        "per_class": [
            {
                "name": own.classes[k],
                "n": int((labels == k).sum()),
                "recall": float(right[labels == k].mean()),
                "own_recall": float(own_right[own.labels == k].mean()),
            }
            for k in shared
        ],
    }


def other_data_result(content: Mapping[str, Any]) -> Result:
    """An entry of `other-data.json` in words, and its classes, the one that lost most first."""
    own, shared = content["own"], len(content["classes"])
    part = "its test part" if content["part"] == "test" else "all of its images"
    lines = [
        f"accuracy on {content['name']} {percent(content['accuracy']['value'])} (95 % interval "
        f"{interval(content['accuracy'])}, n = {content['n']:,}, {part})",
        f"accuracy on the run's {own['split']} part {percent(own['accuracy']['value'])} (95 % "
        f"interval {interval(own['accuracy'])}, n = {own['n']:,})",
        shift_sentence(content),
    ]
    if shared < content["of"]:
        lines.append(f"both over the {shared} of {content['of']} classes that both have")
    if content["left_out"]:
        lines.append(
            f"left out: {content['left_out']:,} images with which the run was trained or validated"
        )
    rows = sorted(content["per_class"], key=lambda row: row["recall"] - row["own_recall"])
    return Result(
        content,
        lines,
        ["class", "n", "recall", f"on {own['split']}"],
        [
            [row["name"], f"{row['n']:,}", percent(row["recall"], 1), percent(row["own_recall"], 1)]
            for row in rows
        ],
    )


def shift_sentence(result: Mapping[str, Any]) -> str:
    """How the accuracy on the other set differs from that on the run's own part, if it does."""
    gap, low, high = (100 * result["difference"][key] for key in ("value", "low", "high"))
    part = f"the run's {result['own']['split']} part"
    interval = f"95 % interval of the difference {low:+.2f} to {high:+.2f} points"
    if low <= 0 <= high:
        return (
            f"no real difference from {part} can be told at this n: {gap:+.2f} points ({interval})"
        )
    word = "lower" if gap < 0 else "higher"
    return f"{abs(gap):.2f} points {word} than on {part} ({interval})"
