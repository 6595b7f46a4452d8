"""A figure to a PNG file: whole or not at all, the same bytes for the same figure."""

import warnings
from pathlib import Path

from matplotlib.figure import Figure

from clearsight.figures.style import DPI, styled
from clearsight.files import replacing


def save(figure: Figure, path: Path) -> None:
    """Writes `figure` to `path` as PNG, 144 dots per inch, without date and software name.

    Raises `FileError` where the disk refuses.
    """
    # Matplotlib makes most tick labels only when it draws, so the style must still hold here.
    with replacing(path) as temporary, styled(), warnings.catch_warnings():
        # Class names may be in any script; what the font lacks shows as a box.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})
