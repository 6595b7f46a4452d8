"""Calibration errors, Brier score and NLL by hand and by scikit-learn; intervals by simulation."""

import time

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from clearsight.errors import UsageError
from clearsight.evaluation.calibration import (
    BINS,
    calibration_scores,
    equal_width,
    reliability,
    resampled_means,
)


def two(confidence: list[float] | np.ndarray) -> np.ndarray:
    """Probabilities [N, 2] whose first class has `confidence`."""
    first = np.asarray(confidence, float)
    return np.stack([first, 1 - first], 1)


def drawn(n: int, seed: int, classes: int = 4, sharper: float = 1.0) -> tuple:
    """Probabilities [n, classes], and labels drawn from their softmax at `sharper`."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, classes)) * 2
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(1)
    odds = np.exp(logits * sharper)
    return odds / odds.sum(1, keepdims=True), labels


def values(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    scores = calibration_scores(probabilities, labels, resamples=10)
    return {name: score["value"] for name, score in scores.items()}


def test_two_bins_by_hand() -> None:
    """Two images at 0.6, one right, and two at 0.9, both right: gaps 0.1 and -0.1 of halves."""
    found = values(two([0.6, 0.6, 0.9, 0.9]), np.array([0, 1, 0, 0]))
    assert found["ece"] == pytest.approx(0.1)
    # One image a bin: gaps -0.4, 0.6, -0.1, -0.1.
    assert found["adaptive_ece"] == pytest.approx((0.4 + 0.6 + 0.1 + 0.1) / 4)
    assert found["brier"] == pytest.approx(2 * (0.16 + 0.36 + 0.01 + 0.01) / 4)
    assert found["nll"] == pytest.approx(-np.log([0.6, 0.4, 0.9, 0.9]).mean())


def test_signs_cancel_inside_a_bin_and_not_between_bins() -> None:
    assert values(two([0.75, 0.75, 0.75, 0.75]), np.array([0, 0, 0, 1]))["ece"] == 0
    assert values(two([0.75, 1.0]), np.array([0, 1]))["ece"] == pytest.approx((0.25 + 1) / 2)


def test_a_certain_mistake_costs_what_float32_can_hold() -> None:
    found = values(two([1.0]), np.array([1]))
    assert found == pytest.approx({"ece": 1, "adaptive_ece": 1, "brier": 2, "nll": 87.3365}, 1e-5)


def test_scikit_learn_gives_the_same() -> None:
    probabilities, labels = drawn(3000, 0, sharper=1.6)
    found = values(probabilities, labels)
    assert found["nll"] == pytest.approx(log_loss(labels, probabilities))
    assert found["brier"] == pytest.approx(
        sum(brier_score_loss(labels == k, probabilities[:, k]) for k in range(4))
    )
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    accuracy, mean = calibration_curve(right, confidence, n_bins=BINS, strategy="uniform")
    bins = reliability(probabilities, labels)
    assert [row["accuracy"]["value"] for row in bins] == pytest.approx(accuracy)
    assert [row["confidence"] for row in bins] == pytest.approx(mean)
    shares = np.array([row["n"] for row in bins]) / 3000
    assert found["ece"] == pytest.approx((shares * abs(accuracy - mean)).sum())
    accuracy, mean = calibration_curve(right, confidence, n_bins=BINS, strategy="quantile")
    assert found["adaptive_ece"] == pytest.approx(abs(accuracy - mean).mean(), abs=1e-4)


def test_the_upper_end_of_a_bin_belongs_to_it() -> None:
    assert equal_width(np.array([1 / 15, 1 / 15 + 1e-9, 0.0, 1.0])).tolist() == [0, 1, 0, 14]


def test_resampled_means_are_those_of_drawn_rows_whatever_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    columns = np.random.default_rng(0).normal(size=(50, 3))
    found = resampled_means(columns, 200, seed=1)
    drawn_rows = np.random.default_rng(1).integers(50, size=(200, 50))
    np.testing.assert_allclose(found, columns[drawn_rows].mean(1))
    monkeypatch.setattr("clearsight.evaluation.calibration.RESAMPLED_AT_ONCE", 120)
    np.testing.assert_allclose(resampled_means(columns, 200, seed=1), found)
    np.testing.assert_allclose(found.std(0), columns.std(0) / np.sqrt(50), rtol=0.2)


@pytest.mark.parametrize("sharper", [1.0, 2.0])
def test_intervals_hold_the_truth(sharper: float) -> None:
    """Of perfect probabilities, and of such that are too sure, over 60 draws of 400 images."""
    truth = values(*drawn(400_000, 99, sharper=sharper))
    truth["ece"] = 0.0 if sharper == 1 else truth["ece"]
    inside = dict.fromkeys(("ece", "brier", "nll"), 0)
    for seed in range(60):
        scores = calibration_scores(*drawn(400, seed, sharper=sharper), resamples=200)
        for name in inside:
            score = scores[name]
            inside[name] += score["low"] <= truth[name] <= score["high"]
            assert score["low"] <= score["value"] <= score["high"]
    assert inside["ece"] >= 57
    assert min(inside.values()) >= 53  # 0.95 of 60 less two standard deviations


def test_ten_thousand_images_take_well_under_a_second() -> None:
    probabilities, labels = drawn(10_000, 0, classes=10)
    started = time.process_time()
    first = calibration_scores(probabilities, labels)
    assert time.process_time() - started < 2
    assert calibration_scores(probabilities, labels) == first  # the draws are seeded


@pytest.mark.parametrize("n", [1, 2, 16])
def test_few_images_and_many_classes(n: int) -> None:
    probabilities, labels = drawn(n, 0, classes=1000)
    for score in calibration_scores(probabilities, labels, resamples=50).values():
        value, rounding = score["value"], 1e-12  # of sums in another order
        assert 0 <= score["low"] <= value + rounding
        assert value <= score["high"] + rounding
    assert sum(row["n"] for row in reliability(probabilities, labels)) == n


def test_labels_must_be_those_of_the_probabilities() -> None:
    with pytest.raises(UsageError, match=r"labels: found 2 for probabilities \[3, 4\]"):
        calibration_scores(np.full((3, 4), 0.25), np.zeros(2, int))
    with pytest.raises(UsageError, match="labels: found 0"):
        calibration_scores(np.zeros((0, 4)), np.zeros(0, int))
