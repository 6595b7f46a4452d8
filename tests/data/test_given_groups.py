"""Groups and weights that the source gives: groups stay whole in a split, weights are recorded."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from clearsight.config.schema import DataConfig
from clearsight.data.groups import joined
from clearsight.data.images import ImageSet, content_ids
from clearsight.data.relabelling import Corrections, relabel
from clearsight.data.splits import Split, from_manifest, has_hash, manifest, split, with_weights
from clearsight.data.stratify import grouped_folds
from clearsight.errors import DataError

PARTS = ("train", "validation", "test")


def photos(groups: list[int], labels: list[int], parts: list[str] | None = None) -> ImageSet:
    """A noise picture for each group and label."""
    n = len(labels)
    pixels = np.random.default_rng(0).integers(0, 256, (n, 8, 8, 3), np.uint8)
    return ImageSet(
        images=pixels, labels=np.array(labels), classes=("cat", "dog"), ids=content_ids(pixels),
        parts=np.array(parts or [""] * n, "U10"), name="photos", groups=np.array(groups),
    )  # fmt: skip


def divided(images: ImageSet, result: Split) -> list[int]:
    """The groups with images in several parts."""
    assert images.groups is not None
    sides = [set(images.groups[getattr(result, part)].tolist()) for part in PARTS]
    every = {group for side in sides for group in side if group >= 0}
    return sorted(group for group in every if sum(group in side for side in sides) > 1)


def test_groups_are_joined_where_either_connects() -> None:
    groups = np.array([0, 0, 1, 2, 3, 4, 1])
    others = np.array([7, -1, 7, 9, -1, 9, -1])
    found = joined(groups, others)
    assert found.tolist() == [0, 0, 0, 2, 3, 2, 0]
    assert joined(groups, np.full(7, -1)).tolist() == groups.tolist()
    assert joined(groups[:0], others[:0]).tolist() == []


@pytest.mark.parametrize("seed", range(8))
def test_groups_stay_on_one_side_and_shares_are_kept(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(60), rng.integers(1, 10, 60)).tolist()
    images = photos(groups, rng.integers(0, 2, len(groups)).tolist())
    result = split(images, DataConfig(seed=seed, validation=0.2, test=0.2))
    assert divided(images, result) == []
    everything = np.concatenate([getattr(result, part) for part in PARTS])
    assert sorted(everything.tolist()) == list(range(len(images)))
    for part in ("test", "validation"):
        found = getattr(result, part)
        assert abs(len(found) - 0.2 * len(images)) <= 5  # a group has 9 at most
        assert abs(np.bincount(images.labels[found], minlength=2)[0] / len(found) - 0.5) < 0.2


def test_groups_that_are_larger_than_a_part_go_there_whole() -> None:
    """A tenth of 100 images is wanted, and no group has fewer than 25."""
    images = photos(np.repeat([0, 1, 2, 3], 25).tolist(), [0, 1] * 50)
    result = split(images, DataConfig())
    assert [len(getattr(result, part)) for part in PARTS] == [50, 25, 25]
    assert divided(images, result) == []


def test_a_group_goes_to_the_part_that_it_brings_nearest_to_its_share() -> None:
    """Ten of 100 are wanted: a group of nine, of each class four or five, is nearest."""
    groups = [0] * 9 + [1] * 41 + [2] * 50
    images = photos(groups, [k % 2 for k in range(100)])
    result = split(images, DataConfig(validation=0, test=0.1))
    assert images.groups is not None
    assert set(images.groups[result.test].tolist()) == {0}


def test_duplicates_and_groups_hold_together() -> None:
    images = photos([0, 0, 1, 1, *range(2, 42)], [0, 1] * 22)
    pixels = images.images.copy()
    pixels[2] = pixels[1]  # the same picture in two groups
    images = replace(images, images=pixels, ids=content_ids(pixels))
    for seed in range(3):
        result = split(images, DataConfig(seed=seed, validation=0.3, test=0.3))
        sides = [len({0, 1, 2, 3} & set(getattr(result, part).tolist())) for part in PARTS]
        assert sorted(sides) == [0, 0, 4]


def test_what_is_kept_together_is_said() -> None:
    images = photos([0, 0, 0, 1, 1, *[-1] * 15], [0, 1] * 10)
    result = split(images, DataConfig(validation=0.2, test=0.2))
    assert result.notes == (
        "5 images are in 2 groups of 2 to 3, each of which is kept on one side of the split",
    )
    assert result.sources["test"] == (
        "split off: 0.2 of all 20 images, stratified, seed 42, groups kept together"
    )


def test_groups_that_the_source_divides_are_left_and_named() -> None:
    parts = ["train"] * 12 + ["test"] * 4 + ["validation"] * 4
    images = photos([0, 1, 2, 3, *[-1] * 8, 0, 1, -1, -1, 1, -1, -1, -1], [0, 1] * 10, parts)
    assert split(images, DataConfig()).notes == (
        "1 group has images in both train and validation, as the data set divides them: "
        "accuracy may be overestimated",
        "2 groups have images in both train and test, as the data set divides them: "
        "accuracy may be overestimated",
        "1 group has images in both validation and test, as the data set divides them: "
        "accuracy may be overestimated",
    )


def test_a_class_of_one_group_is_not_measured() -> None:
    images = photos([*range(20), *[99] * 20], [0] * 20 + [1] * 20)
    result = split(images, DataConfig(validation=0.2, test=0.2))
    assert (images.labels[result.test] == 0).all()
    assert result.notes[0].startswith("1 of 2 classes have no images in validation and test")
    with pytest.raises(DataError, match="photos: no class has 3 groups of images, which it takes"):
        split(photos([0] * 10 + [1] * 10, [0, 1] * 10), DataConfig())


def test_images_without_groups_are_split_as_ever() -> None:
    images = photos([-1] * 40, [0, 1] * 20)
    bare = replace(images, groups=None)
    config = DataConfig(validation=0.2, test=0.2)
    for part in PARTS:
        expected = getattr(split(bare, config), part).tolist()
        assert getattr(split(images, config), part).tolist() == expected


def test_the_hash_of_data_without_groups_or_weights_is_as_ever(pets: ImageSet) -> None:
    """As it was before there were any, of the same 20 images."""
    config = DataConfig(group="exact")
    kept = manifest(pets, split(pets, config), config)
    assert kept["hash"] == HASH
    assert kept["parts"]["train"].keys() == {"how", "ids", "labels"}


HASH = "1e18db645ce3cb807f29fbfedbe91e0ba4977c246a16d443b532dced2b2fa2a4"


def test_weights_are_in_the_manifest_and_part_of_its_hash(pets: ImageSet) -> None:
    config = DataConfig()
    images = replace(pets, weights=np.arange(20.0))
    parts = split(images, config)
    kept = manifest(images, parts, config)
    assert kept["parts"]["test"]["weights"] == images.weights[parts.test].tolist()  # ty: ignore
    assert from_manifest(images, kept).test.tolist() == parts.test.tolist()
    changed = replace(images, weights=np.arange(20.0) + 1)
    for other in (pets, changed):  # the source says otherwise by now
        assert not has_hash(other, split(other, config), config, kept["hash"])
        again = with_weights(other, from_manifest(other, kept), kept)
        assert again.weights is not None
        assert again.weights.tolist() == images.weights.tolist()  # ty: ignore
    plain = manifest(pets, parts, config)
    assert with_weights(changed, parts, plain).weights is None


@pytest.mark.parametrize("value", [[1.0], [-1.0] * 16, ["1"] * 16, [True] * 16, "heavy", None])
def test_a_manifest_with_damaged_weights_is_refused(pets: ImageSet, value: Any) -> None:
    images = replace(pets, weights=np.ones(20))
    kept = copy.deepcopy(manifest(images, split(images, DataConfig()), DataConfig()))
    assert len(kept["parts"]["train"]["ids"]) == 16
    kept["parts"]["train"]["weights"] = value
    with pytest.raises(DataError, match=r"split manifest: parts\.train\.weights: found"):
        from_manifest(images, kept)


def test_a_train_part_without_weight_is_refused(pets: ImageSet) -> None:
    parts = np.array(["train"] * 10 + ["test"] * 10, "U10")
    images = replace(pets, parts=parts, weights=np.repeat([0.0, 1.0], 10))
    with pytest.raises(DataError, match="pets: all 8 images in train have the weight 0; give"):
        split(images, DataConfig(validation=0.2))


def test_corrected_labels_leave_groups_and_weights(pets: ImageSet) -> None:
    images = replace(pets, groups=np.arange(20), weights=np.ones(20))
    found = relabel(images, Corrections(path=None, classes={pets.ids[0].decode(): "dog"}))  # ty: ignore
    assert found.groups is images.groups
    assert found.weights is images.weights


@pytest.mark.parametrize("seed", range(3))
def test_folds_hold_groups_together_and_spread_classes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = np.concatenate([np.repeat(np.arange(40), rng.integers(1, 9, 40)), np.full(50, -1)])
    labels = rng.integers(0, 3, len(groups))
    folds = grouped_folds(labels, groups, 5)
    assert all(len(set(folds[groups == group].tolist())) == 1 for group in range(40))
    of_fold = np.array([np.bincount(labels[folds == fold], minlength=3) for fold in range(5)])
    assert of_fold.sum() == len(groups)
    assert np.ptp(of_fold, 0).max() <= 8  # the largest group


def test_images_on_their_own_are_dealt_out_evenly() -> None:
    folds = grouped_folds(np.array([0, 1] * 10), np.full(20, -1), 5)
    assert np.bincount(folds).tolist() == [4] * 5
    assert np.bincount(folds[::2]).tolist() == [2] * 5
    assert grouped_folds(np.empty(0, np.int64), np.empty(0, np.int64), 5).tolist() == []
