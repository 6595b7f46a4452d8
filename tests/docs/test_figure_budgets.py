"""Accuracy against budget: every point, its interval, and minutes as they are."""

from pathlib import Path

from matplotlib.container import ErrorbarContainer

from clearsight.figures.save import save
from tools.docs.figures.budgets import accuracy_by_budget


def point(minutes: float, value: float) -> dict[str, float]:
    return {"minutes": minutes, "value": value, "low": value - 0.01, "high": value + 0.02}


def test_a_line_per_recipe_with_bars_and_the_budgets_as_ticks(tmp_path: Path) -> None:
    curves = [
        {"recipe": "airnet94", "points": [point(1, 0.85), point(4, 0.92), point(10, 0.935)]},
        {"recipe": "resnet20", "points": [point(4, 0.8), point(20, 0.9)]},
    ]
    figure = accuracy_by_budget(curves, title="What more time buys")
    (axes,) = figure.axes
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["airnet94", "resnet20"]
    assert axes.get_xscale() == "log"
    assert axes.get_xticks().tolist() == [1, 4, 10, 20]
    container = axes.containers[0]
    assert isinstance(container, ErrorbarContainer)
    bars = container.lines[2][0].get_segments()
    assert [segment[:, 1].round(6).tolist() for segment in bars] == [
        [0.84, 0.87], [0.91, 0.94], [0.925, 0.955],
    ]  # fmt: skip
    save(figure, tmp_path / "figure.png")
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "4", "10", "20"]
    assert "92.0 %" in [text.get_text() for text in axes.texts]


def test_one_budget_alone_is_drawn(tmp_path: Path) -> None:
    figure = accuracy_by_budget([{"recipe": "a", "points": [point(0.5, 0.5)]}], title="")
    save(figure, tmp_path / "figure.png")
    assert figure.axes[0].get_xticks().tolist() == [0.5]
