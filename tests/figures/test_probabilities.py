"""The reliability diagram and the curve of accuracy over coverage."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clearsight.evaluation.probabilities import judge_probabilities
from clearsight.figures.probabilities import coverage_accuracy, reliability_diagram
from clearsight.figures.save import save
from tests.evaluation.test_probabilities import CALIBRATION, LABELS, LOGITS


def test_the_diagram_shows_bins_before_and_after() -> None:
    judged = judge_probabilities(LOGITS, LABELS, CALIBRATION)
    axes, shares = reliability_diagram(judged).axes
    legend = axes.get_legend()
    assert legend is not None
    names = [text.get_text() for text in legend.get_texts()]
    error = judged["after"]["ece"]["value"]
    assert names[1] == f"calibrated, ECE {error:.3f}"
    heights = np.array([bar.get_height() for bar in shares.patches])  # ty: ignore[missing-attribute]
    assert heights.sum() == pytest.approx(2)  # all images, twice


def test_the_curve_shows_what_was_promised() -> None:
    (axes,) = coverage_accuracy(judge_probabilities(LOGITS, LABELS, CALIBRATION)).axes
    assert [text.get_text() for text in axes.texts] == ["90 % promised", "99 % promised"]


@pytest.mark.parametrize("calibration", [CALIBRATION, None])
@pytest.mark.parametrize("n", [1, 5])
def test_both_are_drawn_whatever_there_is(calibration: dict | None, n: int, tmp_path: Path) -> None:
    judged = judge_probabilities(LOGITS[:n], LABELS[:n], calibration)
    for draw in (reliability_diagram, coverage_accuracy):
        save(draw(judged), tmp_path / "figure.png")
        with Image.open(tmp_path / "figure.png") as image:
            assert image.width > 500
