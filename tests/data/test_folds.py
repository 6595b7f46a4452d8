"""Folds as splits: every image is tested once, groups stay whole, and order changes nothing."""

from dataclasses import replace

import numpy as np
import pytest

from clearsight.config.recipes import load_recipe, recipe_hash
from clearsight.config.schema import DataConfig
from clearsight.data.images import ImageSet, content_ids
from clearsight.data.splits import Split, from_manifest, manifest, split
from clearsight.errors import ConfigError, DataError


def photos(n: int, groups: list[int] | None = None, parts: str = "") -> ImageSet:
    pixels = np.random.default_rng(0).integers(0, 256, (n, 8, 8, 3), np.uint8)
    return ImageSet(
        images=pixels, labels=np.arange(n) % 2, classes=("cat", "dog"), ids=content_ids(pixels),
        parts=np.full(n, parts, "U10"), name="photos",
        groups=None if groups is None else np.array(groups),
    )  # fmt: skip


def every_fold(images: ImageSet, folds: int, **settings: float) -> list[Split]:
    configs = [DataConfig(folds=folds, fold=k + 1, **settings) for k in range(folds)]  # ty: ignore
    return [split(images, config) for config in configs]


def test_every_image_is_tested_once_and_classes_are_even() -> None:
    images = photos(50)
    results = every_fold(images, 5)
    assert sorted(np.concatenate([r.test for r in results]).tolist()) == list(range(50))
    for k, result in enumerate(results, 1):
        assert np.bincount(images.labels[result.test]).tolist() == [5, 5]
        assert [len(result.train), len(result.validation)] == [35, 5]
        assert not set(result.train.tolist()) & set(result.test.tolist())
        assert result.sources["test"] == f"fold {k} of 5 of all 50 images, stratified, seed 42"


def test_groups_and_duplicates_stay_whole() -> None:
    images = photos(60, groups=[k // 4 for k in range(60)])
    pixels = images.images.copy()
    pixels[5] = pixels[0]  # a copy joins the groups 0 and 1
    images = replace(images, images=pixels, ids=content_ids(pixels))
    for result in every_fold(images, 3):
        for part in (result.test, result.validation, result.train):
            assert len({*range(8)} & set(part.tolist())) in (0, 8)
        assert images.groups is not None
        assert not set(images.groups[result.test]) & set(images.groups[result.train])


def test_the_parts_of_the_source_and_the_order_of_images_change_nothing() -> None:
    images = photos(40)
    order = np.random.default_rng(1).permutation(40)
    other = replace(
        images, images=images.images[order], labels=images.labels[order], ids=images.ids[order],
        parts=np.repeat(["train", "test"], 20).astype("U10"), files=images.files,
    )  # fmt: skip
    for one, two in zip(every_fold(images, 4), every_fold(other, 4), strict=True):
        assert images.ids[one.test].tolist() == other.ids[two.test].tolist()
        assert images.ids[one.validation].tolist() == other.ids[two.validation].tolist()


def test_a_fold_is_read_back_from_its_manifest() -> None:
    images, config = photos(20), DataConfig(folds=4, fold=3, validation=0)
    result = split(images, config)
    assert len(result.validation) == 0
    again = from_manifest(images, manifest(images, result, config))
    assert again.test.tolist() == result.test.tolist()


def test_another_seed_gives_other_folds() -> None:
    images = photos(40)
    assert {tuple(r.test.tolist()) for r in every_fold(images, 4)} != {
        tuple(r.test.tolist()) for r in every_fold(images, 4, seed=1)
    }


@pytest.mark.parametrize("settings", [{"folds": 5}, {"fold": 1}, {"folds": 3, "fold": 4}])
def test_a_fold_needs_its_number(settings: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=r"fold: found .* folds, expected one from 1 to data\.f"):
        DataConfig(**settings)  # ty: ignore


def test_more_folds_than_groups_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"data\.folds: found 4, but photos has only 3 different"):
        every_fold(photos(30, groups=[k % 3 for k in range(30)]), 4)


def test_a_class_that_only_one_group_has_cannot_be_cross_validated() -> None:
    images = photos(20, groups=[0 if k % 2 else k for k in range(20)])
    with pytest.raises(DataError, match="class 'dog', with 10 images in all, has none in train"):
        every_fold(images, 3)


def test_the_folds_of_a_recipe_have_one_hash() -> None:
    hashes = [recipe_hash(load_recipe("digits", {"data.folds": 5, "data.fold": k})) for k in (1, 2)]
    assert hashes[0] == hashes[1] != recipe_hash(load_recipe("digits"))
