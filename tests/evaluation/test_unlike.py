"""The score of unlike images by hand, and the share of images that a threshold lets pass."""

import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from clearsight.errors import UsageError
from clearsight.evaluation.unlike import energy, unlike_threshold


def test_energy_by_hand() -> None:
    # −ln(e⁰ + e⁰) = −ln 2; −ln(e^ln 3 + e^0) = −ln 4
    logits = torch.tensor([[0.0, 0.0], [math.log(3), 0.0]])
    torch.testing.assert_close(energy(logits), torch.tensor([-math.log(2), -math.log(4)]))


def test_energy_is_minus_scipys_logsumexp_also_where_exponentials_overflow() -> None:
    logits = np.random.default_rng(0).normal(0, 300, (50, 1000)).astype(np.float32)
    expected = -logsumexp(logits.astype(np.float64), axis=1)
    np.testing.assert_allclose(energy(torch.from_numpy(logits)).numpy(), expected, rtol=1e-6)


def test_stronger_evidence_for_any_class_is_less_unlike() -> None:
    weak, strong = energy(torch.tensor([[1.0, 0.0, 0.0], [4.0, 0.0, 0.0]]))
    assert strong < weak


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
