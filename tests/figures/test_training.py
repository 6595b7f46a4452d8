"""Training curves show what was measured, chance and target, for any history."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from clearsight.figures.save import save
from clearsight.figures.training import training_curves


def history(epochs: int, *, validation: bool = True) -> list[dict]:
    rows = []
    for epoch in range(1, epochs + 1):
        row = {"phase": "train", "epoch": epoch, "step": epoch * 10, "lr": 0.1}
        row |= {"train_loss": 2 / epoch, "train_accuracy": 1 - 0.5 / epoch}
        if validation:
            row |= {"val_loss": 2.2 / epoch, "val_accuracy": 0.9 - 0.5 / epoch}
        rows.append(row)
    return rows


def texts(figure: Figure) -> str:
    """All that is written on the figure."""
    found = [figure.get_suptitle()]
    for axes in figure.axes:
        found += [axes.get_title(loc) for loc in ("left", "center", "right")]
        found += [text.get_text() for text in axes.texts]
        legend = axes.get_legend()
        if legend:
            found += [text.get_text() for text in legend.get_texts()]
    return "\n".join(found)


def test_curves_lines_and_best_epoch() -> None:
    figure = training_curves(history(5), chance=0.1, target=0.9, title="airnet94")
    losses, accuracies = figure.axes
    assert np.asarray(losses.lines[0].get_ydata()).tolist() == [
        2,
        1,
        pytest.approx(2 / 3),
        0.5,
        0.4,
    ]
    assert np.asarray(accuracies.lines[1].get_xdata()).tolist() == [1, 2, 3, 4, 5]
    written = texts(figure)
    for part in ("airnet94", "training", "validation", "chance 10 %", "target 90 %"):
        assert part in written
    assert "best validation 80.00 %, epoch 5" in written


def test_guessing_has_the_loss_ln_k(tmp_path: Path) -> None:
    figure = training_curves(history(5), chance=0.1, target=None, title="")
    losses, _ = figure.axes
    assert [
        np.asarray(line.get_ydata())[0] for line in losses.lines if line.get_linestyle() == ":"
    ] == [pytest.approx(2.302585)]
    assert "guessing 2.3" in texts(figure)
    assert losses.get_ylim()[1] > 2.302585  # in sight, also where all losses are lower
    save(figure, tmp_path / "curves.png")


def test_says_that_the_easiest_images_were_left_out() -> None:
    about: dict[str, Any] = {"chance": 0.1, "target": None, "title": ""}
    assert "later hardest 60 %" in texts(training_curves(history(5), **about, left_out=0.4))
    again = training_curves(history(5), **about, left_out=0.4, all_again=True)
    assert "later hardest 60 %, at last all" in texts(again)
    assert "hardest" not in texts(training_curves(history(5), **about))


def test_without_validation_and_target() -> None:
    written = texts(
        training_curves(history(3, validation=False), chance=0.5, target=None, title="")
    )
    assert "validation" not in written
    assert "target" not in written
    assert "best training 83.33 %, epoch 3" in written


def test_one_epoch_is_a_visible_point_on_a_whole_axis(tmp_path: Path) -> None:
    figure = training_curves(history(1), chance=0.1, target=0.9, title="")
    losses, _ = figure.axes
    assert losses.lines[0].get_marker() == "o"
    low, high = losses.get_ylim()
    assert low == 0
    assert high > 2.2
    save(figure, tmp_path / "curves.png")
    assert [tick for tick in losses.get_xticks() if 0.5 <= tick <= 1.5] == [1]


def test_missing_cells_and_no_epoch(tmp_path: Path) -> None:
    rows = history(3)
    rows[1]["train_accuracy"] = rows[1]["val_accuracy"] = None
    save(training_curves(rows, chance=0.1, target=None, title=""), tmp_path / "curves.png")
    figure = training_curves([], chance=0.1, target=None, title="airnet94")
    assert "No epoch" in texts(figure)
