"""Growth: points and their fitted line, on logarithmic axes with plain numbers."""

from pathlib import Path

import numpy as np

from clearsight.figures.save import save
from tools.docs.figures.scaling import growth


def panel(slope: float, intercept: float) -> dict:
    points = [[x, intercept + slope * x] for x in (10_000, 50_000, 1_000_000)]
    return {
        "of": "time per epoch (s)", "against": "images", "points": points, "slope": slope,
        "intercept": intercept, "note": "R² 1.0000, exponent 1.00",
    }  # fmt: skip


def test_a_panel_each_with_points_and_line(tmp_path: Path) -> None:
    figure = growth([panel(0.001, 0), panel(0.002, 5), panel(0.003, 0)], title="How it grows")
    save(figure, tmp_path / "figure.png")
    assert len(figure.axes) == 3
    axes = figure.axes[1]
    line, points = axes.lines
    assert np.asarray(points.get_ydata()).tolist() == [25, 105, 2005]
    assert np.asarray(line.get_ydata())[[0, -1]].round(6).tolist() == [25, 2005]
    labels = [tick.get_text() for tick in axes.get_xticklabels()]
    assert labels == ["10,000", "50,000", "1,000,000"]
    assert "$" not in "".join(tick.get_text() for tick in axes.get_yticklabels())
    assert axes.get_title("left") == "R² 1.0000, exponent 1.00"


def test_a_line_below_zero_is_left_out(tmp_path: Path) -> None:
    below = panel(0.001, 0) | {"slope": 0.001, "intercept": -20.0}
    figure = growth([below], title="")
    save(figure, tmp_path / "figure.png")
    assert np.asarray(figure.axes[0].lines[0].get_ydata()).min() > 0
