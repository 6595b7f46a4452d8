"""Which images are nearest to others by their features: for dossier, explorer and search."""

from collections.abc import Iterable

import numpy as np


def nearest(
    features: np.ndarray, blocks: Iterable[np.ndarray], count: int
) -> tuple[np.ndarray, np.ndarray]:
    """int64 and float32 [M, ≤ count]: the rows nearest to each of `features`, and their cosines.

    `features`: float32 [M, D]; `blocks`: the others, float32 [n, D] each, their rows counted on
    from block to block, so that any number of them fits into memory. The nearest come first, of
    equally near ones the lower row.
    """
    asked = normalised(features)
    cosines, rows = np.empty((len(asked), 0), np.float32), np.empty((len(asked), 0), np.int64)
    start = 0
    for block in blocks:
        found = (asked @ normalised(block).T).clip(-1, 1)
        places = np.broadcast_to(np.arange(start, start + len(block)), found.shape)
        cosines, rows = np.concatenate([cosines, found], 1), np.concatenate([rows, places], 1)
        order = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
        cosines, rows = (np.take_along_axis(each, order, 1) for each in (cosines, rows))
        start += len(block)
    return rows, cosines


def normalised(features: np.ndarray) -> np.ndarray:
    """`features`, float32 [N, D], each of length 1; those of length 0 stay so."""
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    return (features / np.maximum(norms, 1e-12)).astype(np.float32, copy=False)
