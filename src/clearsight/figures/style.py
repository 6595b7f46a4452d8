"""The look that all figures share."""

import unicodedata
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from cycler import cycler
from matplotlib import style
from matplotlib.figure import Figure

# Okabe and Ito 2008, "Color Universal Design": distinct for every kind of colour vision. Ordered
# so that the first two also differ in lightness; yellow, faint on white, comes last.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
INK = "#24292f"
MUTED = "#6b7280"
GRID = "#e5e7eb"
RIGHT = PALETTE[2]
WRONG = PALETTE[1]

DPI = 144

# Sequential map of the heat maps: one hue and monotone in lightness, so it prints in grey.
HEAT = "Blues"

_RC: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.prop_cycle": cycler(color=PALETTE),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.08,
    "figure.dpi": DPI,
    "figure.facecolor": "white",
    "figure.titlesize": 11,
    "figure.titleweight": "bold",
    # Matplotlib brings this font along, so a figure is the same on every machine.
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "image.interpolation": "nearest",
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "savefig.facecolor": "white",
    "text.color": INK,
    # Class names are the user's text: a dollar sign in them is no formula.
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8,
}


@contextmanager
def styled() -> Generator[None]:
    """Matplotlib's settings for the block, or for a function decorated with `@styled()`."""
    with style.context(["default", _RC]):
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty `Figure` of `width` × `height` inches, in no list of pyplot's. Use when styled."""
    return Figure(figsize=(width, height))


def message_figure(title: str, message: str) -> Figure:
    """A small figure that says why there is nothing to draw."""
    with styled():
        figure = new_figure(7, 1.1)
        axes = figure.add_subplot()
        axes.set_axis_off()
        axes.set_title(title)
        axes.text(0, 0.5, message, color=MUTED, wrap=True, va="center", transform=axes.transAxes)
        return figure


def shorten(name: str, length: int = 14) -> str:
    """`name` cut to `length` characters, with an ellipsis where something was cut."""
    name = drawable(name)
    return name if len(name) <= length else name[: length - 1].rstrip() + "…"


def drawable(text: str) -> str:
    """`text` on one line; what no font can draw, such as bytes that are no UTF-8, becomes �."""
    valid = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(c if unicodedata.category(c) != "Cc" else " " for c in valid)
