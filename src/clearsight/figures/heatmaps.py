"""Heatmaps: what a network looks at where it is right, wrong, and in its confusions."""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clearsight.figures.style import (
    MUTED,
    RIGHT,
    WRONG,
    message_figure,
    new_figure,
    shorten,
    styled,
)

# Monotone in lightness, and far from the colours of most photographs.
CAM_COLOURS = "inferno"


class ConfusedPair(TypedDict):
    """A confusion and examples of it.

    `count`: how often `true` was taken for `predicted`; `images`: uint8 [M, H, W, 3];
    `predicted_maps`, `true_maps`: float32 [M, H, W], 0–1, the evidence for either class.
    """

    true: str
    predicted: str
    count: int
    images: np.ndarray
    predicted_maps: np.ndarray
    true_maps: np.ndarray


@styled()
def heatmap_samples(
    images: np.ndarray,
    maps: np.ndarray,
    *,
    labels: np.ndarray,
    predicted: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
    method: str,
    verdict: str | None = None,
) -> Figure:
    """Images beside their maps: those the model reads rightly on the left, wrongly on the right.

    `images`: uint8 [N, H, W, 3]; `maps`: float32 [N, H, W], 0–1, for the predicted class;
    `labels`, `predicted`: int64 [N]; `probabilities`: float32 [N, K]. `method` is named in the
    title, and `verdict`, on whether the maps can be trusted, stands at the foot.
    """
    sides = (
        ("Right", RIGHT, np.flatnonzero(labels == predicted)),
        ("Wrong", WRONG, np.flatnonzero(labels != predicted)),
    )
    rows = max(len(chosen) for _, _, chosen in sides)
    if not rows:
        return message_figure("Where the model looks", "There are no images to explain.")
    figure = new_figure(9.2, 0.75 + 2.25 * rows)
    figure.suptitle(f"Where the model looks: evidence for the predicted class by {method}")
    _say(figure, verdict)
    halves = figure.subfigures(1, 2, squeeze=False)[0]
    for half, (title, colour, chosen) in zip(halves, sides, strict=True):
        half.suptitle(title, color=colour, fontsize=10)
        axes = half.subplots(rows, 2, squeeze=False)
        for pair in axes[len(chosen) :]:
            for panel in pair:
                panel.set_axis_off()
        if not len(chosen):
            text = f"no {title.lower()} prediction among these images"
            half.text(0.5, 0.5, text, color=MUTED, ha="center", va="center")
        for pair, i in zip(axes, chosen, strict=False):
            show_image(pair[0], images[i])
            show_map(pair[1], images[i], maps[i])
            name = shorten(classes[predicted[i]])
            pair[1].set_title(f"{name} {probabilities[i, predicted[i]]:.0%}", color=colour)
            pair[0].set_title(f"truth: {shorten(classes[labels[i]])}")
    return figure


@styled()
def heatmap_confusions(
    pairs: Sequence[ConfusedPair], *, method: str, verdict: str | None = None
) -> Figure:
    """A row per confused pair: examples, each with the maps for the predicted and the true class.

    Pairs may have different numbers of examples. `method` and `verdict` as of `heatmap_samples`.
    """
    if not pairs:
        return message_figure("Confusions", "The model confused no two classes.")
    # The title needs the width of two, and one example alone stays as small as elsewhere.
    examples = max(2, *(len(pair["images"]) for pair in pairs))
    figure = new_figure(1.3 + 3.9 * examples, 0.5 + 1.55 * len(pairs))
    figure.suptitle(f"Confusions: evidence for the wrong and for the right class by {method}")
    _say(figure, verdict)
    for strip, pair in zip(
        figure.subfigures(len(pairs), 1, squeeze=False)[:, 0], pairs, strict=True
    ):
        heading, *cells = strip.subfigures(1, 1 + examples, width_ratios=[1.3, *[3.9] * examples])
        heading.text(0.06, 0.62, shorten(pair["true"]), weight="bold")
        heading.text(0.06, 0.46, f"→ {shorten(pair['predicted'])}", weight="bold", color=WRONG)
        times = "once" if pair["count"] == 1 else f"{pair['count']} times"
        heading.text(0.06, 0.30, times, color=MUTED)
        for cell, image, predicted_map, true_map in zip(
            cells, pair["images"], pair["predicted_maps"], pair["true_maps"], strict=False
        ):
            original, wrong, right = cell.subplots(1, 3)
            show_image(original, image)
            show_map(wrong, image, predicted_map)
            show_map(right, image, true_map)
            wrong.set_title(shorten(pair["predicted"]), color=WRONG)
            right.set_title(shorten(pair["true"]), color=RIGHT)
    return figure


@styled()
def heatmap_image(
    image: np.ndarray, maps: np.ndarray, names: Sequence[str], probabilities: np.ndarray, title: str
) -> Figure:
    """One image and the evidence for each of M classes, titled by name and probability.

    `image`: uint8 [H, W, 3]; `maps`: float32 [M, H, W], 0–1; `probabilities`: float32 [M].
    """
    figure = new_figure(0.3 + 2.2 * (1 + len(maps)), 2.9)
    figure.suptitle(shorten(title, 80))
    original, *panels = figure.subplots(1, 1 + len(maps))
    show_image(original, image)
    original.set_title("image")
    for panel, cam, name, probability in zip(panels, maps, names, probabilities, strict=True):
        show_map(panel, image, cam)
        panel.set_title(f"{shorten(name)} {probability:.0%}")
    return figure


def _say(figure: Figure, verdict: str | None) -> None:
    if verdict is not None:
        figure.supxlabel(verdict, fontsize=8, color=MUTED)


def show_image(axes: Axes, image: np.ndarray) -> None:
    """`image`, uint8 [H, W, 3], on `axes` without ticks and frame."""
    axes.imshow(image)
    axes.set_axis_off()


def show_map(axes: Axes, image: np.ndarray, cam: np.ndarray) -> None:
    """`image` in grey under `cam`, float32 [H, W], 0–1: the stronger, the less shows through.

    A map of zeros, where all of the layer speaks against the class, is named so: grey alone would
    look like a failure.
    """
    axes.imshow(overlaid(image, cam))
    axes.set_axis_off()
    if not cam.any():
        box = {"facecolor": "black", "alpha": 0.6, "edgecolor": "none", "pad": 2}
        axes.text(
            0.5, 0.06, "no evidence", transform=axes.transAxes, ha="center", va="bottom",
            fontsize=7, color="white", bbox=box,
        )  # fmt: skip


def overlaid(image: np.ndarray, cam: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] in grey under `cam`, float32 [H, W], 0–1 → float [H, W, 3], 0–1."""
    grey = image.astype(np.float32).mean(2, keepdims=True) / 255
    colour = colormaps[CAM_COLOURS](cam)[..., :3]
    weight = 0.25 + 0.45 * cam[..., None]
    return (1 - weight) * grey + weight * colour
