"""What a data set looks like: samples, class counts, augmentation, near duplicates."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from clearsight.figures.style import (
    INK,
    MUTED,
    PALETTE,
    WRONG,
    message_figure,
    new_figure,
    shorten,
    styled,
)

GROUPED_CLASSES = 20
"""Up to so many classes the parts share one panel; more are readable only in one panel each."""


@styled()
def sample_images(images: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> Figure:
    """The first image of each class, under its name; a class without images says so.

    `images`: uint8 [N, H, W, 3]; `labels`: int [N]; K `classes`.
    """
    columns = min(len(classes), 5 if len(classes) <= 20 else 10)
    rows = -(-len(classes) // columns)
    figure = new_figure(max(1.15 * columns, 3.2), 1.35 * rows + 0.35)
    figure.suptitle("One image of each class", x=0.01, ha="left")
    for k, name in enumerate(classes):
        axes = figure.add_subplot(rows, columns, k + 1)
        axes.set_axis_off()
        axes.set_title(
            shorten(name, 16), fontsize=8, fontweight="normal", loc="center", pad=3, color=INK
        )
        axes.set_box_aspect(1)
        found = np.flatnonzero(labels == k)
        if len(found):
            axes.imshow(images[found[0]])
        else:
            axes.text(0.5, 0.5, "none here", ha="center", va="center", color=MUTED, fontsize=7)
    return figure


@styled()
def class_distribution(counts: Mapping[str, Sequence[int]], classes: Sequence[str]) -> Figure:
    """Images per class in every part: one panel of grouped bars, or a panel per part.

    `counts`: for each part, in order, K counts.
    """
    k = len(classes)
    positions = np.arange(k)
    grouped = k <= GROUPED_CLASSES
    panels = 1 if grouped else len(counts)
    figure = new_figure(
        float(np.clip(1.5 + 0.62 * k, 4.5, 11)), 3.2 if grouped else 1.8 * panels + 0.8
    )
    figure.suptitle("Images per class", x=0.01, ha="left")
    axes: list[Axes] = []
    for panel in range(panels):
        axes.append(figure.add_subplot(panels, 1, panel + 1, sharex=axes[0] if axes else None))
        axes[-1].grid(visible=False, axis="x")
        axes[-1].yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes[-1].margins(x=0.02 if grouped else 0.005)
    width = 0.8 / (len(counts) if grouped else 1)
    for place, (part, values) in enumerate(counts.items()):
        offset = (place - (len(counts) - 1) / 2) * width if grouped else 0
        panel = axes[0 if grouped else place]
        name = f"{part} ({sum(values):,})"
        panel.bar(positions + offset, values, 0.92 * width, color=PALETTE[place], label=name)
        if not grouped:
            panel.set_title(name, fontsize=9, fontweight="normal")
            panel.tick_params(bottom=False, labelbottom=place == panels - 1)
    if grouped:
        # Above the panel: bars of any height leave it free.
        figure.legend(loc="outside upper right", ncols=len(counts))
    names = [shorten(name, 18) for name in classes]
    upright = k > 6 and max(map(len, names)) > 5
    axes[-1].set_xticks(
        positions,
        names,
        rotation=90 if upright else 0,
        fontsize=8 if grouped else max(4.5, 8 * 30 / k),
    )
    axes[-1].tick_params(axis="x", length=0)
    return figure


@styled()
def augmentation_examples(originals: np.ndarray, augmented: np.ndarray) -> Figure:
    """A row per image: as it is, then as training sees it.

    `originals`: uint8 [R, H, W, 3]; `augmented`: uint8 [R, C, H, W, 3].
    """
    rows, columns = augmented.shape[:2]
    gap = 0.25
    figure = new_figure((columns + 1 + gap) * 0.95, rows * 0.95 + 0.45)
    figure.suptitle("Augmentation, as training draws it", x=0.01, ha="left")
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    grid = figure.add_gridspec(rows, columns + 2, width_ratios=[1, gap, *[1] * columns])
    for row in range(rows):
        for column, image in enumerate((originals[row], *augmented[row])):
            axes = figure.add_subplot(grid[row, column + (column > 0)])
            axes.set_axis_off()
            axes.imshow(image)
            if row == 0 and column <= 1:
                axes.set_title(
                    ("original", "augmented")[column], fontsize=8, fontweight="normal", pad=3
                )
    return figure


@styled()
def duplicates(
    first: np.ndarray,
    second: np.ndarray,
    *,
    parts: Sequence[tuple[str, str]],
    labels: Sequence[tuple[str, str]],
    similarity: Sequence[float],
    total: int,
) -> Figure:
    """Contact sheet of near duplicates, side by side, with part and label of either.

    `first`, `second`: uint8 [P, H, W, 3]; `parts`, `labels`: names for either image of the P pairs;
    `similarity`: 0–1; `total`: how many pairs there are in all. Labels that differ are marked.
    """
    title = "Near duplicates"
    if not len(first):
        return message_figure(title, "None found.")
    columns = min(6, len(first))
    rows = -(-len(first) // columns)
    figure = new_figure(max(1.75 * columns, 4), 1.28 * rows + 0.45)
    shown = f"all {total:,} pairs" if total == len(first) else f"{len(first):,} of {total:,} pairs"
    figure.suptitle(f"{title}: {shown}, with their similarity", x=0.01, ha="left")
    side = first.shape[1]
    gap = np.full((side, max(1, side // 16), 3), 255, np.uint8)
    for place, (a, b) in enumerate(zip(first, second, strict=True)):
        axes = figure.add_subplot(rows, columns, place + 1)
        axes.set_axis_off()
        axes.imshow(np.concatenate([a, gap, b], axis=1))
        axes.set_title(
            f"{similarity[place]:.3f}", fontsize=7, fontweight="normal", pad=2, color=MUTED
        )
        differ = labels[place][0] != labels[place][1]
        for x, align, part, label in zip(
            (0, 1), ("left", "right"), parts[place], labels[place], strict=True
        ):
            axes.text(
                x, -0.05, f"{part}\n{shorten(label, 11)}", transform=axes.transAxes, ha=align,
                va="top", fontsize=7, color=WRONG if differ else INK,
            )  # fmt: skip
    return figure
