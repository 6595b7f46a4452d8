"""Test images that are training images as well."""

import numpy as np
import pytest

from clearsight.evaluation.copies import (
    copies_sentence,
    near_sentence,
    without_copies,
    without_near_duplicates,
)


def test_accuracy_without_copies() -> None:
    right = np.array([True, True, True, False])
    copies = np.array([0, 1])
    result = without_copies(right, copies)
    assert result["copies"] == 2
    # Wilson's interval of 1 in 2 is 0.5 ± 1.96 · sqrt(1/8 + 1.96² / 16) / (1 + 1.96² / 2).
    assert result["accuracy_without_copies"] == {
        "value": 0.5, "low": pytest.approx(0.0945, abs=1e-4),
        "high": pytest.approx(0.9055, abs=1e-4), "n": 2,
    }  # fmt: skip
    assert without_copies(right, np.arange(4)) == {
        "copies": 4, "accuracy_without_copies": None,
    }  # fmt: skip


def test_the_sentence() -> None:
    head = {"n": 4, "split": "test"}
    accuracy = {"value": 0.5, "low": 0.0945, "high": 0.9055, "n": 2}
    assert copies_sentence(head) is None
    assert copies_sentence(head | {"copies": 2, "accuracy_without_copies": accuracy}) == (
        "2 of 4 test images are copies of training images; without them the accuracy is 50.00 % "
        "(95 % interval 9.45 to 90.55 %, n = 2)"
    )
    assert copies_sentence(head | {"copies": 1, "accuracy_without_copies": None}) == (
        "1 of 4 test images is a copy of a training image, so the accuracy says nothing about new "
        "images"
    )


def test_accuracy_without_near_duplicates() -> None:
    right = np.array([True, True, True, False])
    result = without_near_duplicates(right, np.array([0, 1]))
    assert result["near_duplicates"] == 2
    assert result["accuracy_without_near_duplicates"]["value"] == 0.5
    assert result["accuracy_without_near_duplicates"]["n"] == 2


def test_the_sentence_of_near_duplicates() -> None:
    head = {"n": 4, "split": "test"}
    accuracy = {"value": 0.5, "low": 0.0945, "high": 0.9055, "n": 2}
    near = {"near_duplicates": 2, "accuracy_without_near_duplicates": accuracy}
    assert near_sentence(head) is None
    assert near_sentence(head | near) == (
        "2 of 4 test images have a near duplicate among the training images; without them the "
        "accuracy is 50.00 % (95 % interval 9.45 to 90.55 %, n = 2)"
    )
    # Where all of them are exact copies, the other sentence has said it.
    assert near_sentence(head | near | {"copies": 2}) is None
