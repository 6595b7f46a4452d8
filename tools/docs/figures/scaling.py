"""How a cost grows with the data, on logarithmic axes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from clearsight.figures.style import MUTED, PALETTE, new_figure, styled


@styled()
def growth(panels: Sequence[Mapping[str, Any]], *, title: str) -> Figure:
    """A panel per cost, two in a row: its points, and the straight line fitted to them.

    Each panel has `of` and `against`, what its axes show; `points` [x, y], all positive; `slope`
    and `intercept` of the line, which bends on logarithmic axes where it has an intercept; and a
    `note` on the fit.
    """
    rows = -(-len(panels) // 2)
    figure = new_figure(8, 0.5 + 2.5 * rows)
    figure.suptitle(title, x=0.012, ha="left")
    for number, panel in enumerate(panels, 1):
        axes = figure.add_subplot(rows, 2, number)
        x, y = np.array(panel["points"], np.float64).T
        along = np.geomspace(x.min(), x.max(), 100)
        line = panel["intercept"] + panel["slope"] * along
        above = line > 0  # a logarithmic axis has no place for the rest
        axes.plot(along[above], line[above], color=MUTED, linestyle="--", linewidth=1.2)
        axes.plot(x, y, "o", color=PALETTE[0])
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.xaxis.set_major_locator(FixedLocator(x.tolist()))
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        axes.set_xlabel(panel["against"])
        axes.set_ylabel(panel["of"])
        axes.set_title(panel["note"], fontsize=8, fontweight="normal", color=MUTED)
    return figure
