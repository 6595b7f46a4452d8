"""benchmarks/unlike.py: the scores against scikit-learn, and what is told of them."""

from types import ModuleType

import numpy as np
import torch
from sklearn.covariance import EmpiricalCovariance
from sklearn.neighbors import NearestNeighbors

from benchmarks.foreign_images import foreign_sets, made_outliers

rng = np.random.default_rng(0)


def test_nearest_neighbours_are_scikit_learns(unlike: ModuleType) -> None:
    known, new = (rng.normal(size=(n, 5)).astype(np.float32) for n in (40, 7))
    score = unlike.nearest_neighbours(torch.from_numpy(known), 3)
    found = score(unlike.Output(torch.from_numpy(new), torch.empty(7, 2))).numpy()
    oracle = NearestNeighbors(n_neighbors=3).fit(known / np.linalg.norm(known, axis=1)[:, None])
    distances, _ = oracle.kneighbors(new / np.linalg.norm(new, axis=1)[:, None])
    np.testing.assert_allclose(found, distances[:, -1], rtol=1e-4)


def test_distances_to_class_means_are_scikit_learns(unlike: ModuleType) -> None:
    # With so many images the covariances are hardly shrunk.
    labels = rng.integers(0, 3, 30_000)
    known = rng.normal(size=(30_000, 4)) @ rng.normal(size=(4, 4)) + 5 * labels[:, None]
    new = known[:20] + rng.normal(size=(20, 4))
    means = np.stack([known[labels == k].mean(0) for k in range(3)])
    shared = EmpiricalCovariance(assume_centered=True).fit(known - means[labels])
    nearest = np.min([shared.mahalanobis(new - mean) for mean in means], axis=0)
    whole = EmpiricalCovariance().fit(known)
    scores = unlike.mahalanobis(torch.from_numpy(known).float(), torch.from_numpy(labels))
    output = unlike.Output(torch.from_numpy(new).float(), torch.empty(20, 3))
    found = scores["nearest class mean"](output).numpy()
    np.testing.assert_allclose(found, nearest, rtol=0.02, atol=0.02)
    relative = scores["relative Mahalanobis"](output).numpy()
    np.testing.assert_allclose(relative, nearest - whole.mahalanobis(new), rtol=0.03, atol=0.1)


def test_a_class_without_images_is_no_mean(unlike: ModuleType) -> None:
    labels = torch.tensor([0, 2] * 10)
    features = torch.from_numpy(rng.normal(size=(20, 3))).float() + labels[:, None]
    scores = unlike.mahalanobis(features, labels)
    assert scores["nearest class mean"](unlike.Output(features, features)).isfinite().all()


def test_judged_by_hand(unlike: ModuleType) -> None:
    inside, outside = np.arange(20.0), np.array([4.5, 18.0, 18.5, 30.0])
    found = unlike.judge(inside, outside, threshold=18.2)
    # Pairs with the outside score larger (half for equal): 5 + 18.5 + 19 + 20 of 80.
    assert found["auroc"] == 62.5 / 80
    assert found["fpr95"] == 2 / 4  # 19 of 20 inside pass at 18, and so do 4.5 and 18
    assert found["flagged"] == 2 / 4
    assert found["n"] == 4


def test_every_set_has_images_of_the_size_asked_for() -> None:
    images = rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    sets = made_outliers(images, np.random.default_rng(1))
    sets |= foreign_sets(32, 6, np.random.default_rng(1))
    assert len(sets) == 13
    for name, pixels in sets.items():
        assert (name, pixels.shape, pixels.dtype) == (name, (6, 32, 32, 3), np.uint8)
        assert len(np.unique(pixels.reshape(6, -1), axis=0)) > 1
    again = foreign_sets(32, 6, np.random.default_rng(1))
    assert all(np.array_equal(pixels, sets[name]) for name, pixels in again.items())


def test_tiles_in_another_order_keep_their_pixels() -> None:
    images = rng.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    shuffled = made_outliers(images, rng)["tiles in another order"]
    assert not np.array_equal(shuffled, images)
    for before, after in zip(images, shuffled, strict=True):
        np.testing.assert_array_equal(np.sort(before, axis=None), np.sort(after, axis=None))
