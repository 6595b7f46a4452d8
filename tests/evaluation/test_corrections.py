"""What evaluation says where labels of the measured part were corrected."""

import numpy as np
import pytest

from clearsight.evaluation.corrections import corrections_sentence, with_source_labels
from clearsight.evaluation.intervals import accuracy_interval


def test_the_accuracy_with_the_labels_of_the_source() -> None:
    found = with_source_labels(np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2]), 1)
    assert found == {"corrected": 1, "accuracy_with_source_labels": accuracy_interval(3, 4)}


@pytest.mark.parametrize(
    ("count", "start"),
    [(1, "1 of 4 test label was corrected"), (2, "2 of 4 test labels were corrected")],
)
def test_the_sentence(count: int, start: str) -> None:
    found = with_source_labels(np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2]), count)
    assert corrections_sentence({**found, "n": 4, "split": "test"}) == (
        f"{start}; with the labels of the source the accuracy is 75.00 % "
        "(95 % interval 30.06 to 95.44 %)"
    )
    assert corrections_sentence({"n": 4, "split": "test"}) is None
