"""Test images that are training images as well."""

from dataclasses import replace

import numpy as np
import pytest

from clearsight.data.images import number_duplicates
from clearsight.data.splits import Split
from clearsight.evaluation.copies import copies_of_training, copies_sentence, without_copies
from tests.conftest import make_images


def test_copies_are_found_by_content() -> None:
    images = make_images(6)
    ids = number_duplicates(["a" * 64, "b" * 64, "c" * 64, "a" * 64, "d" * 64, "d" * 64])
    none = np.array([], np.int64)
    parts = Split(train=np.arange(3), validation=none, test=np.arange(3, 6), sources={})
    found = copies_of_training(replace(images, ids=ids), parts, parts.test)
    assert found.tolist() == [True, False, False]  # 4 and 5 are copies of one another only


def test_accuracy_without_copies() -> None:
    right = np.array([True, True, True, False])
    copies = np.array([True, True, False, False])
    result = without_copies(right, copies)
    assert result["copies"] == 2
    # Wilson's interval of 1 in 2 is 0.5 ± 1.96 · sqrt(1/8 + 1.96² / 16) / (1 + 1.96² / 2).
    assert result["accuracy_without_copies"] == {
        "value": 0.5, "low": pytest.approx(0.0945, abs=1e-4),
        "high": pytest.approx(0.9055, abs=1e-4), "n": 2,
    }  # fmt: skip
    assert without_copies(right, np.ones(4, bool)) == {
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
        "1 of 4 test image is a copy of a training image, so the accuracy says nothing about new "
        "images"
    )
