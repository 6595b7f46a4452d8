"""The Wilson interval against values computed by hand."""

import pytest

from clearsight.errors import UsageError
from clearsight.evaluation.intervals import accuracy_interval, wilson


def test_against_the_formula_by_hand() -> None:
    # z = 1.959964, z² = 3.841459, n = 10, p = 0.8:
    # centre (0.8 + 0.192073) / 1.384146 = 0.716740
    # margin 1.959964 √(0.016 + 0.009604) / 1.384146 = 0.226577
    low, high = wilson(8, 10)
    assert low == pytest.approx(0.490162, abs=2e-6)
    assert high == pytest.approx(0.943318, abs=2e-6)


def test_ends_lie_within_0_and_1() -> None:
    assert wilson(0, 10)[0] == 0.0
    assert wilson(10, 10)[1] == 1.0
    # z² / (n + z²) = 3.841459 / 13.841459
    assert wilson(0, 10)[1] == pytest.approx(0.277533, abs=1e-6)
    assert wilson(10, 10)[0] == pytest.approx(1 - 0.277533, abs=1e-6)


def test_more_images_narrow_it_and_more_confidence_widens_it() -> None:
    def width(interval: tuple[float, float]) -> float:
        return interval[1] - interval[0]

    assert width(wilson(9400, 10_000)) < width(wilson(940, 1000))
    assert width(wilson(9400, 10_000)) == pytest.approx(0.0093, abs=1e-4)
    assert width(wilson(94, 100, 0.99)) > width(wilson(94, 100, 0.95))


@pytest.mark.parametrize(("correct", "n"), [(0, 0), (-1, 10), (11, 10)])
def test_counts_that_can_not_be_are_refused(correct: int, n: int) -> None:
    with pytest.raises(UsageError, match="correct"):
        wilson(correct, n)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95])
def test_confidence_is_a_fraction(confidence: float) -> None:
    with pytest.raises(UsageError, match="confidence"):
        wilson(1, 2, confidence)


def test_an_accuracy_as_json_keeps_it() -> None:
    assert accuracy_interval(8, 10) == pytest.approx(
        {"value": 0.8, "low": 0.490162, "high": 0.943318}, abs=2e-6
    )
