"""Heatmap methods by insertion and deletion, a panel per network."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from clearsight.figures.style import MUTED, PALETTE, new_figure, styled

_BASELINES = ("centred blob", "random map")


@styled()
def heatmap_methods(panels: Sequence[Mapping[str, Any]], *, title: str) -> Figure:
    """Each panel has `network`, `n`, `split`, and `points` of `name`, `insertion`, `deletion`.

    Better is up and to the left; the lines through the two baselines bound what beats both.
    """
    figure = new_figure(3.6 * len(panels) + 0.4, 4.2)
    figure.suptitle(title)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        baselines = [point for point in panel["points"] if point["name"] in _BASELINES]
        axes.axhline(max(b["insertion"] for b in baselines), color=MUTED, linewidth=0.8, ls=":")
        axes.axvline(min(b["deletion"] for b in baselines), color=MUTED, linewidth=0.8, ls=":")
        for point in panel["points"]:
            baseline, beats = point["name"] in _BASELINES, point.get("beats", False)
            colour = MUTED if baseline else PALETTE[2] if beats else PALETTE[0]
            marker = "x" if baseline else "o"
            axes.plot(point["deletion"], point["insertion"], marker, color=colour, markersize=5)
            axes.annotate(
                point["name"], (point["deletion"], point["insertion"]), xytext=(5, 3),
                textcoords="offset points", fontsize=7, color=colour,
            )  # fmt: skip
        low, high = axes.get_xlim()
        axes.set_xlim(low, high + 0.45 * (high - low))  # room for the names
        axes.set_title(f"{panel['network']}, n = {panel['n']:,} {panel['split']} images")
        axes.set_xlabel("deletion (less is better)")
        axes.set_ylabel("insertion (more is better)")
    return figure
