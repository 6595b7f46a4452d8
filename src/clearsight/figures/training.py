"""The course of training."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from clearsight.figures.style import INK, MUTED, PALETTE, message_figure, new_figure, styled

TRAIN, VALIDATION = PALETTE[0], PALETTE[1]


@styled()
def training_curves(
    history: Sequence[Mapping[str, Any]],
    *,
    chance: float,
    target: float | None,
    title: str,
    left_out: float = 0.0,
    all_again: bool = False,
) -> Figure:
    """Loss and accuracy per epoch, with the lines of guessing and of the target.

    `history`: the rows of `history.csv`; the validation columns may be absent, and a cell None.
    `chance` and `target`: accuracies from 0 to 1; who says 1/K of each of K classes has accuracy
    `chance` = 1/K and loss ln K. `left_out`: the fraction of images that later
    epochs trained without, the easiest ones, so that the training curve is of harder images;
    `all_again`: but not the last epochs.
    """
    if not history:
        return message_figure(title, "No epoch has been completed.")
    figure = new_figure(9, 3.6)
    figure.suptitle(title, x=0.012, ha="left")
    losses, accuracies = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in history]
    training = f"training, later hardest {100 * (1 - left_out):.3g} %" if left_out else "training"
    training += ", at last all" if left_out and all_again else ""
    for axes, quantity in ((losses, "loss"), (accuracies, "accuracy")):
        axes.set_title(quantity.capitalize())
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        for part, name, colour in (("train", training, TRAIN), ("val", "validation", VALIDATION)):
            if f"{part}_{quantity}" in history[0]:
                _curve(axes, epochs, _column(history, f"{part}_{quantity}"), name, colour)
        # One epoch is one point: give it room, and a legible axis.
        axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
    _finish_losses(losses, -math.log(chance))
    _finish_accuracies(accuracies, history, chance, target)
    return figure


def _column(history: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    return np.array([np.nan if row[key] is None else row[key] for row in history], np.float64)


def _curve(axes: Axes, epochs: list[int], values: np.ndarray, name: str, colour: str) -> None:
    few = len(epochs) <= 20
    axes.plot(epochs, values, color=colour, label=name, marker="o" if few else None, markersize=4)


def _finish_losses(axes: Axes, guessing: float) -> None:
    axes.set_ylim(0, 1.03 * max(axes.dataLim.ymax, 1.08 * guessing))
    axes.axhline(guessing, color=MUTED, linestyle=":", linewidth=1.2)
    _note(axes, 1, guessing, f"guessing {guessing:.3g}", below=False)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.2)


def _finish_accuracies(
    axes: Axes, history: Sequence[Mapping[str, Any]], chance: float, target: float | None
) -> None:
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axes.axhline(chance, color=MUTED, linestyle=":", linewidth=1.2)
    _note(axes, 1, chance, f"chance {100 * chance:.3g} %", below=chance > 0.06)
    if target is not None:
        axes.axhline(target, color=INK, linestyle="--", linewidth=1.2)
        _note(axes, 0, target, f"target {100 * target:.3g} %", below=target > 0.94)
    part = "val" if "val_accuracy" in history[0] else "train"
    values = _column(history, f"{part}_accuracy")
    if np.isfinite(values).any():
        best = int(np.nanargmax(values))
        name = "validation" if part == "val" else "training"
        axes.set_title(
            f"best {name} {100 * values[best]:.2f} %, epoch {history[best]['epoch']}",
            loc="right", fontsize=8, fontweight="normal", color=MUTED,
        )  # fmt: skip


def _note(axes: Axes, x: int, y: float, text: str, *, below: bool) -> None:
    """`text` at the line of height `y`, at its left (0) or right (1) end, far from curves."""
    axes.annotate(
        text,
        (x, y),
        xycoords=axes.get_yaxis_transform(),
        xytext=(-4 if x else 4, -3 if below else 3),
        textcoords="offset points",
        ha="right" if x else "left",
        va="top" if below else "bottom",
        fontsize=8,
        color=MUTED,
        zorder=1.9,  # under the curves, over the grid
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.8},
    )
