"""Two data sets side by side, and the intervals that it takes."""

import numpy as np
import pytest
from scipy.stats import bootstrap

from clearsight.errors import DataError
from clearsight.evaluation.intervals import difference_interval, mean_interval
from clearsight.evaluation.predictions import Predictions
from clearsight.evaluation.shift import shift_sentence, side_by_side


def own(labels: list[int], predicted: list[int]) -> Predictions:
    return Predictions(
        ids=np.arange(len(labels)).astype(str),
        files=np.full(len(labels), ""),
        labels=np.array(labels),
        probabilities=np.eye(3, dtype=np.float32)[predicted],
        classes=("cat", "dog", "fox"),
    )


def test_the_difference_has_newcombes_interval() -> None:
    # The first example of the paper: 56 of 70 and 48 of 80.
    found = difference_interval(56, 70, 48, 80)
    assert found["value"] == pytest.approx(0.2)
    assert (found["low"], found["high"]) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    # 10 of 10 and 0 of 20, where the simple interval has no width.
    found = difference_interval(10, 10, 0, 20)
    assert (found["low"], found["high"]) == pytest.approx((0.6791, 1.0), abs=5e-5)


def test_the_bootstrap_is_scipys() -> None:
    values = np.random.default_rng(0).random(200)
    found = mean_interval(values)
    theirs = bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=0)
    expected = (theirs.confidence_interval.low, theirs.confidence_interval.high)
    assert found["value"] == values.mean()
    assert (found["low"], found["high"]) == pytest.approx(expected, abs=0.003)
    assert mean_interval(values) == found
    assert mean_interval(np.ones(1)) == {"value": 1.0, "low": 1.0, "high": 1.0}


def test_both_sides_are_of_the_classes_that_both_have() -> None:
    # On its own part: cat 1 of 2, dog 2 of 2, and no fox. Elsewhere: cat, cat, fox.
    mine = own([0, 0, 1, 1], [0, 1, 1, 1])
    result = side_by_side(np.array([0, 0, 2]), np.array([0, 2, 2]), mine, split="test")
    assert result["classes"] == ["cat"]
    assert result["of"] == 3
    assert (result["n"], result["accuracy"]["value"]) == (2, 0.5)
    assert (result["own"]["n"], result["own"]["accuracy"]["value"]) == (2, 0.5)
    assert result["per_class"] == [{"name": "cat", "n": 2, "recall": 0.5, "own_recall": 0.5}]
    assert shift_sentence(result).startswith("no real difference from the run's test part can be")


def test_no_class_in_common_is_one_sentence() -> None:
    with pytest.raises(DataError, match="the run's test part has no images of fox, so"):
        side_by_side(np.array([2]), np.array([2]), own([0, 1], [0, 1]), split="test")


def test_a_real_difference_is_said_with_its_direction() -> None:
    mine = own([0] * 100, [0] * 100)
    result = side_by_side(np.zeros(100, int), np.arange(100) % 2, mine, split="test")
    assert shift_sentence(result).startswith("50.00 points lower than on the run's test part (95 %")
