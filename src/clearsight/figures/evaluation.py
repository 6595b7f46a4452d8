"""What a measured classifier gets right and wrong."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from clearsight.evaluation.confusion import confusion_counts, most_confused
from clearsight.figures.style import (
    HEAT,
    INK,
    MUTED,
    PALETTE,
    RIGHT,
    WRONG,
    drawable,
    message_figure,
    new_figure,
    shorten,
    styled,
)

MATRIX_CLASSES, CONFUSED_CLASSES = 100, 30
"""Above so many classes, the matrix is of so many of them: those confused most often."""
COUNTED_CLASSES = 30
"""Up to so many classes, the cells of the matrix show their counts."""
SCORED_CLASSES, EXTREMES = 60, 20
"""Above so many classes, bars show so many of the best and of the worst."""


@styled()
def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: Sequence[str]) -> Figure:
    """Rows are the true classes, columns the predicted ones; colour is the share of the class.

    `labels`, `predicted`: int [N], 0 … K-1; K `classes`. Of over 100 classes it is the 30 that are
    confused most often. Up to 30 classes the counts stand in the cells.
    """
    title, shown = "Confusion matrix", np.arange(len(classes))
    if len(classes) > MATRIX_CLASSES:
        shown = most_confused(labels, predicted, len(classes), CONFUSED_CLASSES)
        title += f": the {len(shown)} most confused of {len(classes):,} classes"
    if not len(shown):
        return message_figure(title, "None: no image was taken for another class.")
    n = len(shown)
    rows, columns = (np.searchsorted(shown, each).clip(max=n - 1) for each in (labels, predicted))
    inside = (shown[rows] == labels) & (shown[columns] == predicted)
    counts = confusion_counts(rows[inside], columns[inside], n)
    support = np.bincount(labels, minlength=len(classes))[shown]
    shares = counts / np.maximum(support, 1)[:, None]
    side = float(np.clip(2.2 + 0.52 * n, 4, 12))
    figure = new_figure(side + 0.9, side)
    axes = figure.add_subplot()
    # Errors are a few per cent of a row: the square root makes them visible beside the diagonal.
    image = axes.imshow(shares, cmap=HEAT, norm=PowerNorm(0.5, 0, 1))
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_title(title)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    size = max(5, 8 * min(1, 32 / n))
    names = [shorten(classes[k], 18) for k in shown]
    axes.set_xticks(range(n), names, rotation=90, fontsize=size)
    axes.set_yticks(range(n), names, fontsize=size)
    axes.tick_params(length=0)
    if n <= COUNTED_CLASSES:
        for t, p in np.argwhere(counts > 0):
            axes.text(
                p, t, f"{counts[t, p]}", ha="center", va="center", fontsize=8 if n <= 12 else 6.5,
                color="white" if shares[t, p] > 0.35 else INK,
                fontweight="bold" if t == p else "normal",
            )  # fmt: skip
    bar = figure.colorbar(image, ax=axes, shrink=0.6, aspect=24, pad=0.02)
    bar.set_ticks([0, 0.01, 0.05, 0.2, 0.5, 1])
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    bar.ax.grid(visible=False)
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)
    return figure


@styled()
def per_class(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Bars of precision, recall and F1 per class, best F1 first.

    Of over 60 classes it is the 20 best and the 20 worst. `rows`: `per_class` of `evaluation.json`.
    """
    ranked = sorted(rows, key=lambda row: row["f1"])
    title, gap = "Precision, recall and F1 per class", 0
    if len(ranked) > SCORED_CLASSES:
        title = f"Scores per class: best and worst {EXTREMES} of {len(ranked):,}"
        ranked, gap = [*ranked[:EXTREMES], *ranked[-EXTREMES:]], 1
    few = len(ranked) <= 20
    figure = new_figure(7.5, 1.1 + (0.42 if few else 0.22) * (len(ranked) + gap))
    axes = figure.add_subplot()
    centres = np.arange(len(ranked), dtype=float)
    if gap:
        centres[EXTREMES:] += gap
        between = f"… {len(rows) - len(ranked):,} other classes …"
        axes.text(0.01, EXTREMES, between, va="center", fontsize=8, color=MUTED)
    thick = 0.26
    for offset, key, name, colour in (
        (thick, "precision", "precision", PALETTE[5]),
        (0, "recall", "recall", PALETTE[4]),
        (-thick, "f1", "F1", PALETTE[0]),
    ):
        axes.barh(centres + offset, [row[key] for row in ranked], thick, color=colour, label=name)
    if few:
        for centre, row in zip(centres, ranked, strict=True):
            axes.text(
                row["f1"] + 0.008, centre - thick, f"{row['f1']:.3f}", va="center", fontsize=7,
                color=MUTED,
            )  # fmt: skip
    axes.set_title(title)
    axes.set_yticks(centres, [shorten(row["name"], 20) for row in ranked])
    axes.set_ylim(-0.6, len(ranked) + gap - 0.4)
    axes.set_xlim(0, 1)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, borderaxespad=0.2)
    return figure


@styled()
def worst_mistakes(
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
    n: int = 12,
    files: Sequence[str] | np.ndarray | None = None,
) -> Figure:
    """The `n` wrong predictions of which the model was most sure.

    `images` uint8 [N, H, W, 3], `labels` int [N], `probabilities` float [N, K]; `files` text [N],
    of which the end is shown.
    """
    title = "Worst mistakes: what the model says, how sure it is, and what is true"
    predicted = probabilities.argmax(1)
    wrong = np.flatnonzero(predicted != labels)
    if not len(wrong):
        return message_figure(title, f"None: all {len(labels):,} images are predicted correctly.")
    worst = wrong[np.argsort(-probabilities[wrong].max(1), kind="stable")][:n]
    named = files is not None and any(files[i] for i in worst)
    columns = 6  # even for fewer: the title needs the width
    rows = -(-len(worst) // columns)
    figure = new_figure(1.45 * columns, (1.95 if named else 1.8) * rows + 0.35)
    figure.suptitle(title, x=0.01, ha="left")
    for place, index in enumerate(worst):
        axes = figure.add_subplot(rows, columns, place + 1)
        axes.imshow(images[index])
        axes.set_axis_off()
        sure = f"{100 * probabilities[index].max():.1f} %"
        lines = [
            (f"{shorten(classes[predicted[index]])} {sure}", WRONG, 8),
            (f"is {shorten(classes[labels[index]])}", RIGHT, 8),
        ]
        if files is not None and files[index]:
            lines.append((_end_of(files[index]), MUTED, 6.5))
        for row, (text, colour, size) in enumerate(lines):
            axes.text(
                0, -0.03 - 0.13 * row, text, transform=axes.transAxes, va="top", fontsize=size,
                color=colour,
            )  # fmt: skip
    return figure


def _end_of(file: str, length: int = 22) -> str:
    """The last `length` characters of a file's name, without its folder."""
    name = drawable(str(file)).rpartition("/")[2]
    return name if len(name) <= length else "…" + name[1 - length :]
