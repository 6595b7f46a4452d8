"""Promises of accuracy and conformal sets: by hand, by SciPy, and kept in simulations."""

import numpy as np
import pytest
from scipy.stats import binomtest

from clearsight.errors import UsageError
from clearsight.evaluation.selection import (
    CONFIDENCE,
    SHARES,
    Threshold,
    promises,
    set_threshold,
    sure_threshold,
    unlike_threshold,
)


def two(confidence: np.ndarray) -> np.ndarray:
    """Probabilities [N, 2] whose first class has `confidence`."""
    return np.stack([confidence, 1 - confidence], 1)


def graded(n: int) -> np.ndarray:
    """`n` different confidences from just above 0.5 to nearly 1, rising."""
    return 0.5 + np.arange(1, n + 1) / (2 * n + 2)


def test_the_bounds_are_clopper_and_pearson_s_with_the_doubt_of_each_share() -> None:
    n = 400
    labels = np.zeros(n, int)
    labels[[3, 150, 260, 390]] = 1  # wrong, for class 0 is predicted
    found = promises(two(graded(n)), labels)
    for share in (1, 2, 10, 33, SHARES):
        kept = labels[n - n * share // SHARES :]
        bound = binomtest(int((kept == 0).sum()), len(kept), alternative="greater").proportion_ci(
            1 - (1 - CONFIDENCE) / SHARES, method="exact"
        )
        assert found.accuracies[share - 1] == pytest.approx(bound.low)
        assert found.thresholds[share - 1].coverage == len(kept) / n


def test_all_right_needs_as_many_images_as_the_power_says() -> None:
    """Without a mistake the bound of n images is doubt ** (1 / n)."""
    doubt = (1 - CONFIDENCE) / SHARES
    enough = int(np.ceil(np.log(doubt) / np.log(0.99)))
    assert enough == 666
    for n in (enough, enough + 40):
        whole = promises(two(graded(n)), np.zeros(n, int))
        assert sure_threshold(whole, 0.99) == (0.0, 1.0)
    few = promises(two(graded(enough - 1)), np.zeros(enough - 1, int))
    with pytest.raises(UsageError, match=r"sure: found 0\.99, but .* they allow up to 0\.989"):
        sure_threshold(few, 0.99)


def test_answers_above_the_threshold_are_the_share_and_those_at_it_are_not() -> None:
    confidence = graded(4000)
    labels = (np.arange(4000) < 400).astype(int) * (np.arange(4000) % 2)  # the unsure tenth: half
    found = promises(two(confidence), labels)
    threshold = sure_threshold(found, 0.99)
    assert threshold.coverage == pytest.approx(0.9, abs=1 / SHARES)
    assert (confidence > threshold.probability).mean() == threshold.coverage


def test_images_of_one_probability_stand_or_fall_together() -> None:
    confidence = np.array([0.75] * 50 + [1.0] * 50)
    found = promises(two(confidence), np.zeros(100, int))
    assert {t.coverage for t in found.thresholds} == {0.0, 0.5, 1.0}
    assert found.accuracies[0] == 0.0
    same = promises(two(np.full(100, 0.9)), np.zeros(100, int))
    assert {t.coverage for t in same.thresholds} == {0.0, 1.0}


@pytest.mark.parametrize("value", [0.0, 1.0, 1.5, -1.0, float("nan")])
def test_shares_lie_between_0_and_1(value: float) -> None:
    with pytest.raises(UsageError, match="sure: found"):
        sure_threshold(promises(two(graded(10)), np.zeros(10, int)), value)
    with pytest.raises(UsageError, match="coverage: found"):
        set_threshold(graded(10), value)


def test_no_image_and_one_image_promise_nothing() -> None:
    with pytest.raises(UsageError, match="needs validation images"):
        promises(np.zeros((0, 2)), np.zeros(0, int))
    with pytest.raises(UsageError, match=r"up to 0\.001"):
        sure_threshold(promises(two(graded(1)), np.zeros(1, int)), 0.9)
    with pytest.raises(UsageError, match=r"1 validation images allow up to 0\.5"):
        set_threshold(graded(1), 0.9)


def made(u: np.ndarray, labels: np.ndarray, accuracy: float) -> Threshold | None:
    try:
        return sure_threshold(promises(two(u), labels), accuracy)
    except UsageError:
        return None


def test_promises_are_kept_where_some_images_are_surer() -> None:
    """A confidence u is right with probability u: of those above t, (1 + t) / 2 are right."""
    rng, found = np.random.default_rng(0), []
    for _ in range(300):
        u = rng.random(2000) / 2 + 0.5
        found.append(made(u, (rng.random(2000) > u).astype(int), 0.9))
    kept = [(1 + each.probability) / 2 >= 0.9 for each in found if each]
    assert len(kept) > 0.9 * 300
    assert np.mean(kept) >= CONFIDENCE


@pytest.mark.parametrize("accuracy", [0.9, 0.98])
def test_one_model_in_twenty_at_most_promises_what_none_of_its_answers_hold(
    accuracy: float,
) -> None:
    """The hardest case: every share is a little less accurate than asked for."""
    rng = np.random.default_rng(1)
    promised = 0
    for _ in range(500):
        labels = (rng.random(1000) > accuracy - 1e-6).astype(int)
        promised += made(rng.random(1000) / 2 + 0.5, labels, accuracy) is not None
    assert promised <= (1 - CONFIDENCE) * 500


def test_the_threshold_of_a_set_is_a_rank() -> None:
    """n = 9 at 0.8: the 8th largest of the true classes' probabilities, which 8 of 9 reach."""
    true = np.array([0.9, 0.1, 0.8, 0.2, 0.7, 0.3, 0.6, 0.4, 0.5])
    assert set_threshold(true, 0.8) == 0.2
    assert set_threshold(true, 0.9) == 0.1  # (9 + 1) · 0.9 is 9, not 9.000000000000002
    with pytest.raises(UsageError, match=r"9 validation images allow up to 0\.9"):
        set_threshold(true, 0.91)


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.95])
def test_sets_cover_what_they_promise_on_average_over_validation_parts(coverage: float) -> None:
    """Uniform scores: the coverage of a threshold is 1 - threshold, its mean rank / (n + 1)."""
    rng, n = np.random.default_rng(0), 60
    found = [1 - set_threshold(rng.random(n), coverage) for _ in range(4000)]
    assert np.mean(found) == pytest.approx(np.ceil((n + 1) * coverage) / (n + 1), abs=0.004)
    assert np.mean(found) >= coverage - 0.004


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95])
def test_sets_are_those_of_mapie(coverage: float) -> None:
    """But for the likeliest class, which is in ours even where it is below the threshold."""
    from mapie.classification import SplitConformalClassifier
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Given(ClassifierMixin, BaseEstimator):
        """A fitted classifier whose images are their probabilities."""

        classes_ = np.arange(5)

        def fit(self, x: np.ndarray, y: np.ndarray) -> "Given":
            return self

        def predict(self, x: np.ndarray) -> np.ndarray:
            return x.argmax(1)

        def predict_proba(self, x: np.ndarray) -> np.ndarray:
            return x

    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(5, 0.3), 337)
    labels = np.array([rng.choice(5, p=row) for row in probabilities])
    new = rng.dirichlet(np.full(5, 0.3), 500)
    theirs = SplitConformalClassifier(Given(), confidence_level=coverage, prefit=True)
    theirs.conformalize(probabilities, labels)
    threshold = set_threshold(probabilities[np.arange(337), labels], coverage)
    np.testing.assert_array_equal(theirs.predict_set(new)[1][:, :, 0], new >= threshold)


def test_the_least_threshold_that_lets_the_share_pass() -> None:
    scores = np.random.default_rng(0).permutation(np.arange(1, 201)).astype(np.float32)
    assert unlike_threshold(scores) == 198  # of 200, 99 % are 198
    assert unlike_threshold(scores, 0.95) == 190
    assert unlike_threshold(scores, 1.0) == 200


@pytest.mark.parametrize("n", [1, 2, 99, 100, 101, 5000])
def test_enough_pass_whatever_their_number_and_one_fewer_would_not_do(n: int) -> None:
    scores = np.random.default_rng(n).normal(size=n).astype(np.float32)
    threshold = unlike_threshold(scores)
    assert (scores <= threshold).mean() >= 0.99
    assert (scores < threshold).mean() < 0.99


def test_equal_scores_pass_together() -> None:
    assert unlike_threshold(np.full(10, -3.0, np.float32)) == -3


def test_about_one_in_a_hundred_new_images_is_called_unlike() -> None:
    rng = np.random.default_rng(0)
    rates = [
        (rng.normal(size=2000) > unlike_threshold(rng.normal(size=2000))).mean() for _ in range(200)
    ]
    assert np.mean(rates) == pytest.approx(0.01, abs=0.001)


@pytest.mark.parametrize("scores", [[], [1.0, float("nan")]])
def test_no_scores_and_nan_are_refused(scores: list[float]) -> None:
    with pytest.raises(UsageError, match="validation image"):
        unlike_threshold(np.array(scores))
