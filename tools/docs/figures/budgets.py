"""What more time buys: accuracy against budget."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from clearsight.figures.style import INK, new_figure, styled
from tools.docs.figures.intervals import with_reach


@styled()
def accuracy_by_budget(curves: Sequence[Mapping[str, Any]], *, title: str) -> Figure:
    """A line per curve over minutes of training (logarithmic), with interval bars.

    Each curve has a `recipe` and `points` of {minutes, value, low, high}, accuracies from 0 to 1.
    """
    figure = new_figure(7, 3.6)
    axes = figure.add_subplot()
    axes.set_title(title)
    for curve in curves:
        points = curve["points"]
        values, reach = with_reach(points)
        minutes = [point["minutes"] for point in points]
        axes.errorbar(minutes, values, yerr=reach, fmt="o-", label=curve["recipe"], capsize=3)
        for minute, value in zip(minutes, values, strict=True):
            axes.annotate(
                f"{100 * value:.1f} %", (minute, value), xytext=(6, -10),
                textcoords="offset points", fontsize=8, color=INK,
            )  # fmt: skip
    ticks = sorted({point["minutes"] for curve in curves for point in curve["points"]})
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda minute, _: f"{minute:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    # The last value is written at the right of its point.
    axes.set_xlim(ticks[0] / 1.15, ticks[-1] * 1.35)
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axes.set_xlabel("training, minutes")
    axes.set_ylabel("test accuracy")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, borderaxespad=0.2)
    return figure
