"""How accuracy falls as images get worse."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from clearsight.figures.style import INK, MUTED, PALETTE, new_figure, styled


@styled()
def corruption_curves(result: Mapping[str, Any]) -> Figure:
    """A panel for each group of corruptions, a line for each corruption, and one of JPEG qualities.

    `result`: the content of `corruptions.json`. The dashed line is the accuracy of the images as
    they are.
    """
    groups = list(dict.fromkeys(row["group"] for row in result["corruptions"]))
    figure = new_figure(11, 4.3)
    axes = figure.subplots(1, len(groups) + 1, sharey=True)
    clean = result["clean"]["value"]
    for panel, group in zip(axes, groups, strict=False):
        for row, colour in zip(
            [row for row in result["corruptions"] if row["group"] == group], PALETTE, strict=False
        ):
            values = [accuracy["value"] for accuracy in row["severities"]]
            name = row["name"].removesuffix(f"_{group}").replace("_", " ")
            panel.plot(
                range(1, len(values) + 1), values, marker="o", markersize=3.5, color=colour,
                label=f"{name}: {100 * row['mean']['value']:.0f} %",
            )  # fmt: skip
        panel.set_title(group)
        panel.set_xlabel("severity")
        panel.set_xticks(range(1, 6))
    last = axes[-1]
    qualities = [row["quality"] for row in result["jpeg"]]
    last.plot(
        range(len(qualities)), [row["accuracy"]["value"] for row in result["jpeg"]], marker="o",
        markersize=3.5, color=INK,
    )  # fmt: skip
    last.set_title("JPEG files")
    last.set_xlabel("quality")
    last.set_xticks(range(len(qualities)), [str(quality) for quality in qualities])
    for panel in axes:
        panel.axhline(clean, color=MUTED, linestyle="--", linewidth=1)
        panel.set_ylim(0, 1)
    last.text(
        len(qualities) - 1, clean + 0.015, f"clean {100 * clean:.1f} %", ha="right", fontsize=8,
        color=MUTED,
    )  # fmt: skip
    for panel in axes[:-1]:
        panel.legend(
            loc="upper left", bbox_to_anchor=(-0.04, -0.22), title="mean of the five severities",
            alignment="left", title_fontsize=8,
        )  # fmt: skip
    axes[0].set_ylabel(f"{result['split']} accuracy, n = {result['n']:,}")
    axes[0].yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    mean = result["mean"]
    figure.suptitle(
        f"Accuracy on corrupted images: {100 * mean['value']:.1f} % in the mean of all "
        f"({100 * mean['low']:.1f}–{100 * mean['high']:.1f} %)",
        x=0.01, ha="left",
    )  # fmt: skip
    return figure
