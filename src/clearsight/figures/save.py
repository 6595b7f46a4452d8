"""A figure to a PNG file: whole or not at all, the same bytes for the same figure."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from clearsight.figures.style import DPI, styled
from clearsight.files import replacing

PHOTOS = "photos"


def save(figure: Figure, path: Path, *, source: str | None = None) -> None:
    """Writes `figure` to `path` as PNG, 144 dots per inch, without date and software name.

    `source` says what it shows, in the file's metadata by that name. The text chunk `photos` has
    the boxes (left, top, right, bottom; px) of the pictures in it, as JSON, so that a dark page can
    turn the rest of the figure dark. Raises `FileError` where the disk refuses.
    """
    # Matplotlib makes most tick labels only when it draws, so the style must still hold here.
    with replacing(path) as temporary, styled(), warnings.catch_warnings():
        # Class names may be in any script; what the font lacks shows as a box.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.set_dpi(DPI)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        pixels = np.asarray(canvas.buffer_rgba())[..., :3]
        info = PngInfo()
        info.add_text(PHOTOS, json.dumps(list(_photos(figure, len(pixels)))))
        if source is not None:
            info.add_text("Source", source)
        Image.fromarray(pixels).save(temporary, "PNG", pnginfo=info, dpi=(DPI, DPI))


def _photos(figure: Figure, height: int) -> Iterator[tuple[int, int, int, int]]:
    for axes in figure.axes:
        for image in axes.images:
            values = image.get_array()
            if values is not None and values.ndim == 3:  # colours, not values on a colour map
                left, bottom, right, top = image.get_window_extent().extents
                yield (
                    round(min(left, right)), round(height - max(bottom, top)),
                    round(max(left, right)), round(height - min(bottom, top)),
                )  # fmt: skip
