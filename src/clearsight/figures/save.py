"""A figure to a PNG file: whole or not at all, the same bytes for the same figure."""

from pathlib import Path

from matplotlib.figure import Figure

from clearsight.figures.style import DPI, styled
from clearsight.files import replacing


def save(figure: Figure, path: Path, *, source: str | None = None) -> None:
    """Writes `figure` to `path` as PNG, 144 dots per inch, without date and software name.

    `source` says what it shows, in the file's metadata by that name. Raises `FileError` where the
    disk refuses.
    """
    # Matplotlib makes most tick labels only when it draws, so the style must still hold here.
    with replacing(path) as temporary, styled():
        metadata = {"Software": None} | ({} if source is None else {"Source": source})
        figure.savefig(temporary, format="png", dpi=DPI, metadata=metadata)
