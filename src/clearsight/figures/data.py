"""What a data set looks like: samples, class counts, augmentation, near duplicates."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

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
NAMED_CLASSES = 100
"""Up to so many classes have a bar with their name; of more the counts are sorted."""
SAMPLED_CLASSES, SAMPLES = 100, 40
"""Above so many classes, so many of them show an image."""
CELL = 1.2  # height of an image with its name, in widths


@styled()
def sample_images(images: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> Figure:
    """The first image of each class, under its name; a class without images says so.

    Of over 100 classes it is 40, evenly spaced. `images`: uint8 [N, H, W, 3]; `labels`: int [N];
    K `classes`.
    """
    total = len(classes)
    shown = np.arange(total)
    title = "One image of each class"
    if total > SAMPLED_CLASSES:
        shown = np.linspace(0, total - 1, SAMPLES).round().astype(int)
        title = f"One image each of {SAMPLES} of the {total:,} classes"
    columns = min(len(shown), 5 if len(shown) <= 20 else 10)
    rows = -(-len(shown) // columns)
    figure = new_figure(max(1.15 * columns, 3.2), 1.35 * rows + 0.35)
    figure.suptitle(title, x=0.01, ha="left")
    # All in one panel, in units of its columns: layout of a panel per class takes seconds.
    axes = figure.add_subplot()
    axes.set_axis_off()
    for place, k in enumerate(shown):
        left, top = place % columns, CELL * (place // columns)
        axes.text(left + 0.5, top + 0.21, shorten(classes[k], 15), ha="center", fontsize=8)
        found = np.flatnonzero(labels == k)
        if len(found):
            axes.imshow(images[found[0]], extent=(left + 0.04, left + 0.96, top + 1.17, top + 0.25))
        else:
            axes.text(left + 0.5, top + 0.7, "none here", ha="center", color=MUTED, fontsize=7)
    axes.set_xlim(0, columns)
    axes.set_ylim(CELL * rows, 0)
    axes.set_aspect("equal")
    return figure


@styled()
def class_distribution(counts: Mapping[str, list[int]], classes: Sequence[str]) -> Figure:
    """Images per class in every part: one panel of grouped bars, or a panel per part.

    Of over 100 classes the counts are sorted, and only the extreme classes named. `counts`: for
    each part, in order, K counts.
    """
    k = len(classes)
    if k > NAMED_CLASSES:
        return _sorted_counts(counts, classes)
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


def _sorted_counts(counts: Mapping[str, list[int]], classes: Sequence[str]) -> Figure:
    figure = new_figure(9, 1.7 * len(counts) + 0.8)
    figure.suptitle(
        f"Images per class, each part's {len(classes):,} classes by their number of images",
        x=0.01, ha="left",
    )  # fmt: skip
    for place, (part, values) in enumerate(counts.items()):
        axes = figure.add_subplot(len(counts), 1, place + 1)
        axes.grid(visible=False, axis="x")
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.stairs(sorted(values, reverse=True), fill=True, color=PALETTE[place])
        axes.set_xlim(0, len(values))
        axes.set_ylim(0, 1.08 * max(1, *values))
        most, fewest = (values.index(end(values)) for end in (max, min))
        span = f"{values[most]:,} of each class"
        if values[most] != values[fewest]:
            span = (
                f"{values[most]:,} ({shorten(classes[most], 20)}) to {values[fewest]:,} "
                f"({shorten(classes[fewest], 20)}) of a class"
            )
        axes.set_title(f"{part} ({sum(values):,}): {span}", fontsize=9, fontweight="normal")
        axes.tick_params(labelbottom=place == len(counts) - 1)
    axes.set_xlabel("classes")
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
