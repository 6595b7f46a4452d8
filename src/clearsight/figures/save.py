"""A figure to a PNG file: whole or not at all, the same bytes for the same figure."""

from pathlib import Path

from matplotlib.figure import Figure

from clearsight.figures.style import DPI, styled
from clearsight.files import replacing


def save(figure: Figure, path: Path) -> None:
    """Writes `figure` to `path` as PNG, 144 dots per inch, without date and software name.

    Raises `FileError` where the disk refuses.
    """
    # Matplotlib makes most tick labels only when it draws, so the style must still hold here.
    with replacing(path) as temporary, styled():
        figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})
