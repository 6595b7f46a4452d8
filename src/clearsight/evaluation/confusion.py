"""Which classes are taken for which, counted from labels and predicted classes."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def confusion_counts(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """int64 [K, K]: how many images of class t (row) were predicted as class p (column)."""
    flat = np.asarray(labels, np.int64) * classes + predicted
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes)


def class_scores(labels: np.ndarray, predicted: np.ndarray, classes: int) -> dict[str, np.ndarray]:
    """`precision`, `recall` and `f1`, float64 [K] each, 0.0 where there is nothing to divide by."""
    right, support, named = (
        np.bincount(found, minlength=classes)
        for found in (labels[labels == predicted], labels, predicted)
    )
    return {
        "precision": _divide(right, named),
        "recall": _divide(right, support),
        "f1": _divide(2 * right, support + named),
    }


def confusion_pairs(
    labels: np.ndarray, predicted: np.ndarray, classes: Sequence[str]
) -> list[dict[str, Any]]:
    """`{true, predicted, count}` of every confusion that occurs, most frequent first.

    Equal counts stay in the order of the classes.
    """
    return [
        {"true": classes[t], "predicted": classes[p], "count": count}
        for t, p, count in _confusions(labels, predicted, len(classes))
    ]


def most_confused(labels: np.ndarray, predicted: np.ndarray, classes: int, n: int) -> np.ndarray:
    """int64 [≤ n], ascending: the classes of the most frequent confusions."""
    found: dict[int, None] = {}
    for t, p, _ in _confusions(labels, predicted, classes):
        found |= {t: None, p: None}
        if len(found) >= n:
            break
    return np.sort(np.array(list(found)[:n], np.int64))


def _confusions(
    labels: np.ndarray, predicted: np.ndarray, classes: int
) -> list[tuple[int, int, int]]:
    """(true, predicted, count), most frequent first. Not by the matrix: K × K may be huge."""
    wrong = labels != predicted
    flat = np.asarray(labels[wrong], np.int64) * classes + predicted[wrong]
    codes, counts = np.unique(flat, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    true, taken_for = np.divmod(codes[order], classes)
    return list(zip(true.tolist(), taken_for.tolist(), counts[order].tolist(), strict=True))


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.zeros(len(a)), where=b > 0)
