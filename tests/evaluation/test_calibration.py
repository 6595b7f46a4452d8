"""The temperature, by hand and against scikit-learn and torch."""

import numpy as np
import pytest
import torch

from clearsight.errors import UsageError
from clearsight.evaluation.calibration import COLDEST, HOTTEST, fit_temperature
from clearsight.evaluation.metrics import as_probabilities


def draw(n: int, classes: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits float32 [n, classes], and labels that follow their softmax at `temperature`."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, classes)).astype(np.float32) * 3
    noise = rng.gumbel(size=logits.shape)
    return logits, (logits / temperature + noise).argmax(1)


def test_three_of_four_right_by_one_gap() -> None:
    """All images have the logits (g, 0): the best probability is the share that is right.

    With one image in n + 2 labelled at random the share is (1 - 1/6) · 3/4 + 1/12.
    """
    logits, labels = np.array([[2.0, 0.0]] * 4), np.array([0, 0, 0, 1])
    share = 5 / 6 * 3 / 4 + 1 / 12
    expected = 2 / np.log(share / (1 - share))
    assert fit_temperature(logits, labels) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("temperature", [0.2, 1.0, 4.0])
def test_the_temperature_that_labels_were_drawn_with_is_found(temperature: float) -> None:
    logits, labels = draw(20_000, 10, temperature)
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.03)


def test_no_other_temperature_makes_the_labels_likelier() -> None:
    logits, labels = draw(500, 5, 0.6)
    inverse = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([inverse], max_iter=100, tolerance_grad=1e-12)
    z, y = torch.tensor(logits, dtype=torch.float64), torch.tensor(labels)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(inverse * z, y, label_smoothing=1 / 502)
        value.backward()
        return value

    optimizer.step(loss)
    assert fit_temperature(logits, labels) == pytest.approx(1 / float(inverse.detach()), rel=1e-4)


def test_images_that_are_all_right_do_not_make_every_answer_certain() -> None:
    logits, labels = np.array([[1.0, 0.0]] * 178), np.zeros(178, int)
    probability = as_probabilities(logits.astype(np.float32), fit_temperature(logits, labels))
    assert probability[0, 0] == pytest.approx(1 - 1 / 360, abs=1e-4)


def test_odd_images_stay_within_bounds() -> None:
    wrong = np.array([[1.0, 0.0]] * 5), np.ones(5, int)  # less than chance: nearly uniform
    assert fit_temperature(*wrong) == pytest.approx(HOTTEST, rel=0.01)
    same = np.zeros((5, 3)), np.arange(5) % 3  # no temperature changes anything
    assert fit_temperature(*same) == 1.0
    huge = np.array([[1e6, 0.0, -1e6]]), np.array([0])
    assert COLDEST <= fit_temperature(*huge) <= HOTTEST
    one = np.eye(1000)[:1] * 8, np.array([0])
    assert COLDEST <= fit_temperature(*one) <= HOTTEST


def test_labels_must_be_those_of_the_logits() -> None:
    with pytest.raises(UsageError, match=r"labels: found 2 for logits \[3, 4\]; give one per row"):
        fit_temperature(np.zeros((3, 4)), np.zeros(2, int))
    with pytest.raises(UsageError, match="labels: found 0"):
        fit_temperature(np.zeros((0, 4)), np.zeros(0, int))
