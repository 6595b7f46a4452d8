"""Nearest neighbours by cosine: in one block and in many, and where there are few or none."""

import numpy as np
from sklearn.neighbors import NearestNeighbors

from clearsight.evaluation.neighbours import nearest

RANDOM = np.random.default_rng(0)


def test_neighbours_are_those_of_scikit_learn_in_any_blocks() -> None:
    features = RANDOM.normal(size=(20, 8)).astype(np.float32)
    others = RANDOM.normal(size=(50, 8)).astype(np.float32)
    oracle = NearestNeighbors(n_neighbors=3, metric="cosine").fit(others)
    distances, expected = oracle.kneighbors(features)
    for blocks in ([others], np.split(others, [1, 2, 30]), others[:, None]):
        rows, cosines = nearest(features, blocks, 3)
        np.testing.assert_array_equal(rows, expected)
        np.testing.assert_allclose(cosines, 1 - distances, atol=1e-5)


def test_the_length_of_features_does_not_count_and_the_lower_row_wins() -> None:
    asked = np.array([[3, 0], [0, 0]], np.float32)
    others = np.array([[0, 1], [5, 5], [9, 0], [1, 0]], np.float32)
    rows, cosines = nearest(asked, [others], 4)
    assert rows.tolist() == [[2, 3, 1, 0], [0, 1, 2, 3]]
    np.testing.assert_allclose(cosines, [[1, 1, 0.5**0.5, 0], [0, 0, 0, 0]], rtol=1e-6)


def test_fewer_than_were_asked_for_and_none_at_all() -> None:
    asked = np.ones((2, 3), np.float32)
    assert nearest(asked, [asked[:1]], 3)[0].tolist() == [[0], [0]]
    assert nearest(asked, [], 3)[0].shape == (2, 0)
    assert nearest(asked[:0], [asked], 3)[0].shape == (0, 2)
