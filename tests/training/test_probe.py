"""The linear probe: which images it takes, and what it says of labels with and without meaning."""

import numpy as np
import pytest

from clearsight.training.probe import IMAGES, choose, probe


def images_of(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Noise, brighter in the upper half for odd labels."""
    images = np.random.default_rng(seed).integers(0, 100, (len(labels), 16, 16, 3), dtype=np.uint8)
    images[labels % 2 == 1, :8] += 60
    return images


def test_labels_with_a_meaning_beat_all_shuffled_ones() -> None:
    labels = np.arange(200) % 2
    result = probe(images_of(labels), labels)
    assert (result.n, result.classes, result.accuracy) == (200, 2, 1.0)
    assert result.guessing == pytest.approx(0.5, abs=0.05)
    assert result.p == pytest.approx(1 / 201)


def test_labels_without_one_do_not_stand_out() -> None:
    labels = np.arange(200) % 2
    result = probe(images_of(labels), np.random.default_rng(1).integers(0, 2, 200))
    assert result.p > 0.05
    assert 0.3 < result.accuracy < 0.7


def test_uneven_classes_do_not_pass_for_knowledge() -> None:
    # Always to say the large class is right for 90 %, with any labels.
    labels = np.zeros(200, np.int64)
    labels[np.random.default_rng(2).choice(200, 20, replace=False)] = 1
    assert probe(images_of(np.arange(200)), labels).p > 0.05


def test_the_same_images_give_the_same_numbers() -> None:
    labels = np.arange(120) % 3
    assert probe(images_of(labels), labels) == probe(images_of(labels), labels)


def test_classes_are_chosen_evenly() -> None:
    chosen = choose(np.repeat(np.arange(10), 1000))
    assert len(chosen) == IMAGES
    assert np.bincount(chosen // 1000).tolist() == [30] * 10


def test_of_many_classes_some_are_chosen() -> None:
    chosen = choose(np.repeat(np.arange(1000), 20))
    assert np.bincount(np.unique(chosen // 20, return_counts=True)[1]).tolist() == [0] * 15 + [20]


@pytest.mark.parametrize(
    "labels",
    [np.arange(6) % 2, np.arange(99) % 2, np.arange(500), np.zeros(500, np.int64), np.arange(0)],
    ids=["six", "too few", "one of each", "one class", "none"],
)
def test_too_few_images_are_not_judged(labels: np.ndarray) -> None:
    assert len(choose(labels)) == 0
