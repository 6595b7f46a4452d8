"""Accuracies with their intervals, side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from clearsight.figures.style import INK, MUTED, RIGHT, WRONG, new_figure, styled


@styled()
def paired_intervals(
    rows: Sequence[Mapping[str, Any]], *, title: str, chance: float, names: tuple[str, str]
) -> Figure:
    """Two accuracies per row, with a line between them: `names` says of what, the worse first.

    Each row has a `label` and a `pair` of {value, low, high}, from 0 to 1.
    """
    figure = new_figure(7.5, 1.3 + 0.5 * len(rows))
    axes = figure.add_subplot()
    axes.set_title(title)
    places = range(len(rows))
    for number, (name, colour) in enumerate(zip(names, (WRONG, RIGHT), strict=True)):
        cells = [row["pair"][number] for row in rows]
        values, reach = with_reach(cells)
        axes.errorbar(
            values, places, xerr=reach, fmt="o", color=colour, label=name, capsize=3, markersize=6,
            zorder=3,
        )  # fmt: skip
        for place, value in zip(places, values, strict=True):
            axes.annotate(
                f"{100 * value:.1f} %", (value, place), xytext=(0, 7), textcoords="offset points",
                ha="center", fontsize=8, color=INK,
            )  # fmt: skip
    for place, row in zip(places, rows, strict=True):
        ends = [cell["value"] for cell in row["pair"]]
        axes.plot(ends, [place, place], color=MUTED, linewidth=1, zorder=1)
    axes.axvline(chance, color=MUTED, linestyle=":", linewidth=1.2)
    axes.annotate(
        f"guessing {100 * chance:g} %", (chance, 0), xycoords=axes.get_xaxis_transform(),
        xytext=(4, 4), textcoords="offset points", fontsize=8, color=MUTED,
    )  # fmt: skip
    axes.set_yticks(list(places), [row["label"] for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 1.02)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axes.set_xlabel("test accuracy")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.2)
    return figure


def with_reach(cells: Sequence[Mapping[str, float]]) -> tuple[list[float], list[list[float]]]:
    """The values of {value, low, high}, and how far their intervals reach below and above them."""
    values = [cell["value"] for cell in cells]
    below = [cell["value"] - cell["low"] for cell in cells]
    return values, [below, [cell["high"] - cell["value"] for cell in cells]]
