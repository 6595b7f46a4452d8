"""Heatmap methods by insertion and deletion, a panel per network."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

from matplotlib.figure import Figure

from clearsight.figures.style import MUTED, PALETTE, new_figure, styled

_BASELINES = ("centred blob", "random map")
_MARKERS = "osD^v<>ph"


@styled()
def heatmap_methods(panels: Sequence[Mapping[str, Any]], *, title: str) -> Figure:
    """Each panel has `network`, `n`, `split`, and `points` of `name`, `insertion`, `deletion`.

    Better is up and to the left; the lines through the two baselines bound what beats both, and
    what does so surely is filled.
    """
    figure = new_figure(3.2 * len(panels) + 0.4, 4.2)
    figure.suptitle(title)
    names = list(dict.fromkeys(p["name"] for panel in panels for p in panel["points"]))
    methods = [name for name in names if name not in _BASELINES]
    looks = {
        **dict(zip(_BASELINES, ((MUTED, "x"), (MUTED, "+")), strict=True)),
        **dict(zip(methods, zip(cycle(PALETTE), cycle(_MARKERS), strict=False), strict=False)),
    }
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        baselines = [point for point in panel["points"] if point["name"] in _BASELINES]
        axes.axhline(max(b["insertion"] for b in baselines), color=MUTED, linewidth=0.8, ls=":")
        axes.axvline(min(b["deletion"] for b in baselines), color=MUTED, linewidth=0.8, ls=":")
        for point in panel["points"]:
            colour, marker = looks[point["name"]]
            axes.plot(
                point["deletion"], point["insertion"], marker, color=colour, markersize=7,
                fillstyle="full" if point.get("beats") else "none", label=point["name"],
            )  # fmt: skip
        axes.set_title(f"{panel['network']}\nn = {panel['n']:,} {panel['split']} images")
        axes.set_xlabel("deletion (less is better)")
        axes.set_ylabel("insertion (more is better)")
    shown = {
        label: handle
        for axes in figure.axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        shown.values(), shown.keys(), loc="outside lower center", ncols=min(6, len(shown))
    )
    return figure
