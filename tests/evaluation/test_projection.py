"""The map: every image has a place on it, the same every time, whatever its features are."""

import sys
from importlib.metadata import distributions
from types import ModuleType

import numpy as np
import pytest

from clearsight.evaluation import projection
from clearsight.evaluation.projection import FEWEST, map_positions

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(1, 4), (2, 4), (5, 1), (40, 6)])
def test_any_features_have_a_place_on_the_map(shape: tuple[int, int]) -> None:
    found = map_positions(RANDOM.normal(size=shape))
    assert found["method"] == "pca"
    for axis in ("x", "y"):
        assert len(found[axis]) == shape[0]
        assert min(found[axis]) >= 0
        assert max(found[axis]) <= 1000


def test_principal_components_of_directions_by_hand() -> None:
    # Four directions in a plane, the first two further apart than the others.
    angles = np.radians([0, 180, 80, 100])
    features = np.stack([np.cos(angles), np.sin(angles)], 1) * [[1], [2], [3], [4]]
    found = map_positions(features)
    assert sorted(found["x"][:2]) == [0, 1000]
    assert 0 < found["x"][2] < 1000


@pytest.mark.parametrize("remains", [None, ModuleType("umap")])
def test_without_umap_principal_components_are_drawn(monkeypatch, remains) -> None:
    monkeypatch.setitem(sys.modules, "umap", remains)
    assert map_positions(RANDOM.normal(size=(FEWEST, 4)))["method"] == "pca"


@pytest.mark.slow
def test_umap_keeps_clusters_together_and_is_the_same_every_time(monkeypatch) -> None:
    if not any(distributions(name="umap-learn")):
        pytest.skip("the extra umap is not installed")
    monkeypatch.setattr(projection, "FEWEST", 60)
    centres = np.eye(3, 16) * 10
    features = np.concatenate([centre + RANDOM.normal(size=(20, 16)) for centre in centres])
    found = map_positions(features)
    assert found["method"] == "umap"
    places = np.stack([found["x"], found["y"]], 1).reshape(3, 20, 2)
    middles = places.mean(1)
    within = np.linalg.norm(places - middles[:, None], axis=2).mean()
    between = np.linalg.norm(middles[[0, 1, 2]] - middles[[1, 2, 0]], axis=1).min()
    assert between > 3 * within
    assert map_positions(features) == found
    assert map_positions(features[:59])["method"] == "pca"
