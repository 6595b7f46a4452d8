"""Whether probabilities mean what they say, and what it costs to answer only when sure."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from clearsight.figures.style import GRID, MUTED, PALETTE, new_figure, styled

BEFORE, AFTER = PALETTE[1], PALETTE[0]


@styled()
def reliability_diagram(judged: Mapping[str, Any]) -> Figure:
    """Accuracy over confidence in bins, with intervals, before and after calibration.

    Below it are the shares of the images. `judged`: `probabilities` of `evaluation.json`.
    """
    figure = new_figure(5.6, 5.2)
    axes, shares = figure.subplots(2, 1, sharex=True, height_ratios=(3.6, 1))
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    bars = list(judged["reliability"].items())
    for number, (when, bins) in enumerate(bars):
        colour = AFTER if when == "after" else BEFORE
        confidence = np.array([row["confidence"] for row in bins])
        value, low, high = (
            np.array([row["accuracy"][key] for row in bins]) for key in ("value", "low", "high")
        )
        error = judged[when]["ece"]["value"]
        words = f"{'calibrated' if when == 'after' else 'as trained'}, ECE {error:.3f}"
        axes.errorbar(
            confidence, value, yerr=np.maximum(0, [value - low, high - value]), color=colour,
            marker="o", markersize=4, linewidth=1.4, elinewidth=1, label=words,
        )  # fmt: skip
        counts = np.array([row["n"] for row in bins], float)
        width = 0.022
        shares.bar(
            confidence + (number - (len(bars) - 1) / 2) * width, counts / counts.sum(), width,
            color=colour,
        )  # fmt: skip
    axes.set_title("How often the model is right, by how sure it says it is")
    axes.set_ylabel("accuracy")
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.legend(loc="upper left")
    shares.set_ylabel("images")
    shares.set_xlabel("largest probability")
    for each in (axes.xaxis, axes.yaxis, shares.yaxis):
        each.set_major_formatter(PercentFormatter(1, symbol=" %"))
    return figure


@styled()
def coverage_accuracy(judged: Mapping[str, Any]) -> Figure:
    """Accuracy of the surest share of the images, and what was promised.

    `judged`: `probabilities` of `evaluation.json`. A dot is a threshold from the validation part,
    the line beside it the accuracy that it promises.
    """
    figure = new_figure(5.6, 3.6)
    axes = figure.add_subplot()
    coverage = [row["coverage"] for row in judged["curve"]]
    value, low, high = (
        [row["accuracy"][key] for row in judged["curve"]] for key in ("value", "low", "high")
    )
    axes.fill_between(coverage, low, high, color=AFTER, alpha=0.15, linewidth=0)
    axes.plot(coverage, value, color=AFTER, label="the surest images (95 % interval)")
    least = min(low)
    for number, row in enumerate(judged["sure"]):
        axes.axhline(row["accuracy"], color=GRID, linewidth=1.2, zorder=1)
        axes.text(
            0.005, row["accuracy"], f"{100 * row['accuracy']:g} % promised", fontsize=7.5,
            color=MUTED, va="bottom", transform=axes.get_yaxis_transform(),
        )  # fmt: skip
        least = min(least, row["accuracy"])
        if row["selective_accuracy"] is not None:
            axes.plot(
                row["coverage"]["value"], row["selective_accuracy"]["value"], "o", color=BEFORE,
                label="answers given for a promised accuracy" if number == 0 else None,
            )  # fmt: skip
    axes.set_title("What answering only when sure gains")
    axes.set_xlabel("share of the images that get an answer")
    axes.set_ylabel("accuracy of these answers")
    axes.set_xlim(0, 1.01)
    axes.set_ylim(max(0.0, least - 0.1 * (1 - least)), 1 + 0.02 * (1 - least))
    axes.grid(visible=False, axis="y")
    for each in (axes.xaxis, axes.yaxis):
        each.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axes.legend(loc="lower left")
    return figure
