"""Calibrated probabilities: the softmax of divided logits, whose order never changes."""

import numpy as np
import pytest
import torch

from clearsight.models.classifier import calibrated
from clearsight.models.factory import build
from clearsight.models.preprocess import Preprocess


def test_it_is_the_softmax_of_the_logits_divided_by_the_temperature() -> None:
    found = calibrated(torch.tensor([[np.log(4), 0.0, 0.0]], dtype=torch.float32), 0.5)
    np.testing.assert_allclose(found.numpy(), [[16 / 18, 1 / 18, 1 / 18]], rtol=1e-6)
    logits = torch.randn((1000, 7), generator=torch.Generator().manual_seed(0)) * 5
    torch.testing.assert_close(calibrated(logits, 1.7), (logits / 1.7).softmax(1))


@pytest.mark.parametrize("temperature", [0.01, 0.5, 1.0, 3.0, 7.0, 100.0])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e4])
def test_labels_stay_where_float32_would_round_to_a_tie(temperature: float, scale: float) -> None:
    """The label is the largest logit's at any temperature, however little it leads."""
    draw = np.random.default_rng(0)
    logits = (draw.normal(size=(2000, 5)) * scale).astype(np.float32)
    first, second = np.argsort(logits, axis=1)[:, -2:].T[::-1]
    rows = np.arange(len(logits))
    logits[rows, second] = np.nextafter(logits[rows, first], np.float32(-np.inf))
    found = calibrated(torch.tensor(logits), temperature).numpy()
    np.testing.assert_array_equal(found.argmax(1), first)
    assert (found[rows, first] > found[rows, second]).all()
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-6)


def test_a_plain_softmax_would_lose_such_a_label() -> None:
    logits = torch.tensor([[0.0, np.nextafter(np.float32(0), np.float32(1)), -1.0]])
    assert (logits / 3).softmax(1).argmax() == 0
    assert calibrated(logits, 3.0).argmax() == 1


def test_equal_logits_stay_equal_and_nan_is_not_hidden() -> None:
    assert calibrated(torch.tensor([[2.0, 2.0]]), 0.1).tolist() == [[0.5, 0.5]]
    assert calibrated(torch.tensor([[2.0, float("nan")]]), 0.1).isnan().all()


def test_a_classifier_divides_by_its_temperature_which_is_1_at_first() -> None:
    torch.manual_seed(0)
    model = build("airnet-tiny", ("a", "b"), Preprocess((0.5,) * 3, (0.25,) * 3)).eval()
    images = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8)
    with torch.inference_mode():
        logits = model(images)
        torch.testing.assert_close(model.probabilities(images), logits.softmax(1))
        model.temperature = 0.25
        torch.testing.assert_close(model.probabilities(images), (logits * 4).softmax(1))
