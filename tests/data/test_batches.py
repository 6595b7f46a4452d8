"""Batches: seeded orders, whole epochs, exact statistics."""

import numpy as np
import pytest
import torch

from clearsight.data.batches import Batches, channel_statistics
from clearsight.data.images import ImageSet

CPU = torch.device("cpu")


def indices(batches: Batches, epoch: int) -> list[int]:
    return torch.cat([batch.indices for batch in batches.epoch(epoch)]).tolist()


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
    (batch,) = Batches(images, part, batch=100, seed=0, device=CPU).epoch(0)
    where = part[batch.indices.numpy()]
    assert np.array_equal(batch.images.numpy(), images.images[where])
    assert np.array_equal(batch.labels.numpy(), images.labels[where])


def test_the_indices_alone_are_those_of_the_batches(images: ImageSet) -> None:
    batches = Batches(images, np.arange(10, 60), batch=20, seed=3, device=CPU)
    places = batches.indices(4)
    assert [len(each) for each in places] == [20, 20]  # the smaller last one is dropped as well
    assert torch.cat(places).tolist() == indices(batches, 4)
    assert max(torch.cat(places).tolist()) < 50  # places in the part, not in the data set


def test_the_last_smaller_batch_is_dropped(images: ImageSet) -> None:
    batches = Batches(images, np.arange(100), batch=30, seed=0, device=CPU)
    assert len(batches) == 3
    assert len(indices(batches, 0)) == 90


def test_balanced_sampling_draws_classes_equally_often(images: ImageSet) -> None:
    by_class = [np.flatnonzero(images.labels == k) for k in range(3)]
    part = np.concatenate([by_class[0], by_class[1][:4], by_class[2][:4]])  # 40 : 4 : 4
    batches = Batches(images, part, batch=48, seed=0, device=CPU, balanced=True)
    labels = torch.cat([b.labels for e in range(20) for b in batches.epoch(e)])
    shares = torch.bincount(labels) / len(labels)
    assert shares.tolist() == pytest.approx([1 / 3] * 3, abs=0.06)


def test_channel_statistics_are_those_of_the_pixels(images: ImageSet) -> None:
    part = np.arange(0, 120, 2)
    mean, std = channel_statistics(images, part)
    pixels = images.images[part].astype(np.float64) / 255
    assert mean == pytest.approx(pixels.mean((0, 1, 2)).tolist())
    assert std == pytest.approx(pixels.std((0, 1, 2)).tolist())
