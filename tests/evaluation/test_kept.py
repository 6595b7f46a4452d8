"""What became of the classes that trained weights knew: counted by hand."""

import numpy as np
import pytest

from clearsight.evaluation.kept import before_training, kept_classes, kept_sentence


def test_only_images_of_known_classes_count_before_and_after() -> None:
    # The weights know b and a, in this order; c is new to them.
    said = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]])  # b, a, b, b
    labels = np.array([1, 0, 0, 2])  # b, a, a, c
    start = before_training(said, ["b", "a"], labels, ["a", "b", "c"])
    assert start == {"classes": ["a", "b"], "n": 3, "right": 2}
    right = np.array([True, True, True, False])
    found = kept_classes({"source": "run x", **start}, right, labels, ["a", "b", "c"])
    kept = found["kept_classes"]
    assert (kept["classes"], kept["n"]) == (2, 3)
    assert kept["before"]["value"] == pytest.approx(2 / 3)
    assert kept["after"]["value"] == 1
    sentence = kept_sentence({"split": "test", **found})
    assert sentence is not None
    assert sentence.startswith("3 test images of the 2 classes that run x knew: 66.67 %")


def test_a_class_that_is_gone_may_still_be_said_and_is_wrong() -> None:
    said = np.array([[0.1, 0.9]])  # gone
    assert before_training(said, ["a", "gone"], np.array([0]), ["a"]) == {
        "classes": ["a"], "n": 1, "right": 0,
    }  # fmt: skip


def test_no_known_class_is_nothing_to_compare() -> None:
    assert before_training(np.ones((2, 2)), ["x", "y"], np.array([0, 1]), ["a", "b"]) is None
    assert kept_sentence({"split": "test"}) is None
