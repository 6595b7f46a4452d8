"""benchmarks/doubt_labels.py: which labels are made wrong, and how a ranking is judged."""

from types import ModuleType

import numpy as np
import pytest


@pytest.mark.parametrize("kind", ["uniform", "confused"])
def test_the_share_of_labels_asked_for_is_wrong(doubt_labels: ModuleType, kind: str) -> None:
    labels = np.arange(1000) % 10
    found, wrong = doubt_labels.flipped(labels, kind, 0.05)
    assert wrong.sum() == 50
    np.testing.assert_array_equal(found != labels, wrong)
    assert ((found >= 0) & (found < 10)).all()
    if kind == "confused":
        confused = np.array(doubt_labels.CONFUSED)
        np.testing.assert_array_equal(found[wrong], confused[labels[wrong]])
    again, _ = doubt_labels.flipped(labels, kind, 0.05)
    np.testing.assert_array_equal(again, found)


def test_average_precision_by_hand(doubt_labels: ModuleType) -> None:
    wrong = np.array([True, False, True, False])
    # Ranked first and third: (1/1 + 2/3) / 2.
    scores = np.array([0.1, 0.2, 0.3, 0.4])
    assert doubt_labels.precision(wrong, scores) == pytest.approx(5 / 6)
    probabilities = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.9, 0.1]])
    assert doubt_labels.best_of_cleanlab(np.zeros(4, int), probabilities, wrong) == 1


def test_the_table_leaves_out_what_was_not_compared(doubt_labels: ModuleType) -> None:
    row = {
        "kind": "uniform", "share": 0.05, "precision": 0.9, "heads": 0.6, "memorised": 0.5,
        "right_suggestions": 0.84, "seconds": 2.04,
    }  # fmt: skip
    compared = row | {"reference": 0.8, "reference_seconds": 300.4}
    assert doubt_labels.tabulated([row, compared])["rows"] == [
        ["uniform", "5%", "0.900", "–", "0.600", "0.500", "84%", "2 s", "–"],
        ["uniform", "5%", "0.900", "0.800", "0.600", "0.500", "84%", "2 s", "300 s"],
    ]
