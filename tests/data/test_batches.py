"""Batches: seeded orders, whole epochs, exact statistics."""

import numpy as np
import pytest
import torch

from clearsight.data.batches import Batches, channel_statistics
from clearsight.data.images import ImageSet

CPU = torch.device("cpu")


def indices(batches: Batches, epoch: int) -> list[int]:
    return torch.cat(batches.indices(epoch)).tolist()


def test_an_epoch_shows_each_image_once_in_an_order_of_its_own(images: ImageSet) -> None:
    part = np.arange(100)
    batches = Batches(images, part, batch=25, seed=0, device=CPU)
    assert len(batches) == 4
    assert sorted(indices(batches, 0)) == list(range(100))
    assert indices(batches, 0) == indices(batches, 0)
    assert indices(batches, 0) != indices(batches, 1)
    other = Batches(images, part, batch=25, seed=1, device=CPU)
    assert indices(batches, 0) != indices(other, 0)


def test_pixels_and_labels_belong_to_the_indices(images: ImageSet) -> None:
    part = np.array([7, 3, 90, 41])
    batches = Batches(images, part, batch=100, seed=0, device=CPU)
    (drawn,) = batches.indices(0)
    pixels, labels = batches.take(drawn)
    expected = part[drawn.numpy()]
    assert np.array_equal(pixels.numpy(), images.images[expected])
    assert np.array_equal(labels.numpy(), images.labels[expected])


def test_resized_batches_show_the_same_images_smaller(images: ImageSet) -> None:
    batches = Batches(images, np.arange(50), batch=20, seed=3, device=CPU)
    smaller = batches.resized(0.5)
    assert batches.resized(1.0) is batches
    assert indices(smaller, 1) == indices(batches, 1)
    for drawn in batches.indices(1):
        (small, labels), (own, own_labels) = smaller.take(drawn), batches.take(drawn)
        assert small.shape == (20, 16, 16, 3)
        assert small.dtype == torch.uint8
        assert torch.equal(labels, own_labels)
        # Resampling keeps what an image looks like from afar.
        means, due = (each.float().mean((1, 2)) for each in (small, own))
        assert torch.allclose(means, due, atol=3.0)


def test_an_epoch_may_leave_images_out(images: ImageSet) -> None:
    batches = Batches(images, np.arange(10, 60), batch=20, seed=3, device=CPU)
    assert [len(each) for each in batches.indices(4)] == [20, 20]  # the smaller last is dropped
    kept = torch.arange(50) % 2 == 0
    (drawn,) = batches.indices(4, kept)
    assert len(drawn) == 20
    assert all(index % 2 == 0 for index in drawn.tolist())
    few = batches.indices(4, torch.arange(50) < 7)
    assert [sorted(each.tolist()) for each in few] == [list(range(7))]


def test_the_last_smaller_batch_is_dropped(images: ImageSet) -> None:
    batches = Batches(images, np.arange(100), batch=30, seed=0, device=CPU)
    assert len(batches) == 3
    assert len(indices(batches, 0)) == 90


def test_balanced_sampling_draws_classes_equally_often(images: ImageSet) -> None:
    by_class = [np.flatnonzero(images.labels == k) for k in range(3)]
    part = np.concatenate([by_class[0], by_class[1][:4], by_class[2][:4]])  # 40 : 4 : 4
    batches = Batches(images, part, batch=48, seed=0, device=CPU, balanced=True)
    drawn = torch.cat([each for epoch in range(20) for each in batches.indices(epoch)])
    _, labels = batches.take(drawn)
    shares = torch.bincount(labels) / len(labels)
    assert shares.tolist() == pytest.approx([1 / 3] * 3, abs=0.06)


def test_channel_statistics_are_those_of_the_pixels(images: ImageSet) -> None:
    part = np.arange(0, 120, 2)
    mean, std = channel_statistics(images, part)
    pixels = images.images[part].astype(np.float64) / 255
    assert mean == pytest.approx(pixels.mean((0, 1, 2)).tolist())
    assert std == pytest.approx(pixels.std((0, 1, 2)).tolist())
