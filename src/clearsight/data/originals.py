"""What is known of the files that images came from: their size, and that of the picture in them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from clearsight.data.formats import UnusableError, header_size, read_file


def file_properties(folder: Path, files: Sequence[str] | np.ndarray) -> dict[str, np.ndarray]:
    """By name, float64 [N]: of the images in a data set's `folder`, each by its file's name.

    - `file size`: in kB
    - `original size`: the shorter side of the picture before fitting, px

    NaN where a file is not there or can't be read; a property that none of them has is left out,
    as for archives and for data that lie elsewhere by now.
    """
    if not folder.is_dir():
        return {}

    def look(file: str) -> tuple[float, float]:
        try:
            encoded = read_file(folder / file)
            return len(encoded) / 1000, float(min(header_size(encoded)))
        except UnusableError:
            return np.nan, np.nan

    with ThreadPoolExecutor() as pool:
        found = np.array(list(pool.map(look, map(str, files)))).reshape(-1, 2)
    values = {"file size": found[:, 0], "original size": found[:, 1]}
    return {name: value for name, value in values.items() if np.isfinite(value).any()}
