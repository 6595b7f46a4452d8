"""Images of a folder that the page offers to try."""

import base64
from pathlib import Path
from typing import NamedTuple

import numpy as np

from clearsight.bundle.format import Bundle
from clearsight.data.names import printable
from clearsight.data.walking import Passed, walk
from clearsight.errors import DataError, UsageError
from clearsight.serve.explaining import as_png
from clearsight.serve.uploads import Upload, fitted

MOST = 24


class Sample(NamedTuple):
    """An image: its name, where it is, and how the model sees it, as a data address."""

    name: str
    path: Path
    picture: str


def check_samples(folder: Path) -> None:
    """Raises `UsageError` unless there is such a folder."""
    if not folder.is_dir():
        raise UsageError(f"serve: found --samples {folder}, expected a folder of images")


def find_samples(folder: Path, bundle: Bundle, megapixels: float) -> list[Sample]:
    """At most `MOST` images under `folder`, spread evenly over the order of their names.

    Those that can't be used are left out.
    """
    files = [file for file, _ in walk(folder, "", Passed())]
    found = []
    for file in files[:: max(1, len(files) // MOST)][:MOST]:
        path = folder / file
        try:
            pixels = fitted(Upload(None, path.read_bytes()), bundle, megapixels)
        except (DataError, OSError):
            continue
        found.append(Sample(printable(file), path, picture(pixels)))
    return found


def picture(pixels: np.ndarray) -> str:
    """uint8 [S, S, 3] as a data address."""
    return f"data:image/png;base64,{base64.b64encode(as_png(pixels)).decode()}"
