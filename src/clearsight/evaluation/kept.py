"""A run that starts from trained weights: what became of the classes they knew."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clearsight.evaluation.intervals import accuracy_interval
from clearsight.wording import percent


def before_training(
    probabilities: np.ndarray, knows: Sequence[str], labels: np.ndarray, classes: Sequence[str]
) -> dict[str, Any] | None:
    """How right a model was on images of the classes that it knows; None where there are none.

    `probabilities`: float [N, J] of the classes that it `knows`, J names; `labels`: int64 [N] in
    `classes`, K names. Returns `classes`, the names that both have, `n`, and how many are `right`.
    """
    kept = [name for name in classes if name in knows]
    measured = np.isin(labels, [classes.index(name) for name in kept])
    if not measured.any():
        return None
    said = np.array(knows)[probabilities[measured].argmax(1)]
    right = int((said == np.array(classes)[labels[measured]]).sum())
    return {"classes": kept, "n": int(measured.sum()), "right": right}


def kept_classes(
    start: Mapping[str, Any], right: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> dict[str, Any]:
    """The key `kept_classes` of `evaluation.json`.

    `start`: what `before_training` gave, with the `source` of the weights; `right`: bool [N] after
    training, `labels`: int64 [N] in `classes`. Both accuracies are of the images of the classes
    that the weights knew, with 95 % intervals.
    """
    measured = np.isin(labels, [classes.index(name) for name in start["classes"]])
    n = int(measured.sum())
    return {
        "kept_classes": {
            "source": start["source"],
            "classes": len(start["classes"]),
            "n": n,
            "before": accuracy_interval(start["right"], start["n"]),
            "after": accuracy_interval(int(right[measured].sum()), n),
        }
    }


def kept_sentence(evaluation: Mapping[str, Any]) -> str | None:
    """What training did to the classes that the weights knew; None where it started from none."""
    found = evaluation.get("kept_classes")
    if found is None:
        return None
    before, after = (
        f"{percent(found[key]['value'])} (95 % interval {100 * found[key]['low']:.2f} to "
        f"{100 * found[key]['high']:.2f} %)"
        for key in ("before", "after")
    )
    known = "the class" if found["classes"] == 1 else f"the {found['classes']:,} classes"
    return (
        f"{found['n']:,} {evaluation['split']} images of {known} that {found['source']} knew: "
        f"{before} were right before training, {after} after it"
    )
