"""The contact sheet of a search: an image, and those most like it."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from clearsight.figures.heatmaps import show_image
from clearsight.figures.style import RIGHT, new_figure, shorten, styled

COLUMNS = 6


@styled()
def similar_images(
    asked: np.ndarray, images: np.ndarray, names: Sequence[str], similarities: np.ndarray
) -> Figure:
    """`asked`, uint8 [H, W, 3], then `images`, uint8 [N, H, W, 3], from left to right and down.

    `names`: N, of their classes or files; `similarities`: float [N], cosines.
    """
    rows = -(-(1 + len(images)) // COLUMNS)
    figure = new_figure(1.35 * COLUMNS, 0.4 + 1.65 * rows)
    figure.suptitle("Most similar, by the cosine of the network's features")
    panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for panel in panels:
        panel.set_axis_off()
    show_image(panels[0], asked)
    panels[0].set_title("image", color=RIGHT)
    for panel, image, name, cosine in zip(panels[1:], images, names, similarities, strict=False):
        show_image(panel, image)
        panel.set_title(f"{shorten(name)}\n{cosine:.3f}", fontsize=8, weight="normal")
    return figure
