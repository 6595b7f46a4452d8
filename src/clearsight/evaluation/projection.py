"""The map of the explorer: images in two dimensions, by their features."""

import warnings
from importlib import import_module
from typing import Any

import numpy as np

from clearsight.evaluation.neighbours import normalised

METHODS = {"pca": "two principal components", "umap": "UMAP"}
FEWEST = 500
"""Images for UMAP: to compile it takes ten seconds, and of few images PCA shows as much."""


def map_positions(features: np.ndarray) -> dict[str, Any]:
    """`method`, and `x` and `y`, 0–1000 from left to right and from bottom to top.

    `features`: float [N, D], compared by their cosine. UMAP (McInnes et al. 2018,
    arXiv:1802.03426) where it is installed and there are enough images, else PCA; either gives the
    same map every time.
    """
    unit = normalised(features)
    found = _umap(unit) if len(unit) >= FEWEST else None
    method, positions = ("pca", _pca(unit)) if found is None else ("umap", found)
    low, span = positions.min(0), np.maximum(np.ptp(positions, 0), 1e-12)
    scaled = np.rint(1000 * (positions - low) / span).astype(np.int64)
    return {"method": method, "x": scaled[:, 0].tolist(), "y": scaled[:, 1].tolist()}


def _pca(unit: np.ndarray) -> np.ndarray:
    """float [N, 2]: the first principal components of `unit`, float [N, D]."""
    from sklearn.decomposition import PCA

    if len(unit) < 2:
        return np.zeros((len(unit), 2))
    count = min(2, *unit.shape)
    return np.pad(PCA(count, random_state=0).fit_transform(unit), ((0, 0), (0, 2 - count)))


def _umap(unit: np.ndarray) -> np.ndarray | None:
    """float32 [N, 2]; None where the extra `umap` is not installed."""
    with warnings.catch_warnings(action="ignore"):  # of pieces that nothing connects
        try:
            reducer = import_module("umap").UMAP  # by name, for type checkers need not find it
        except (ImportError, AttributeError):  # the latter where an uninstall has left its cache
            return None
        return reducer(random_state=0, n_jobs=1).fit_transform(unit)
