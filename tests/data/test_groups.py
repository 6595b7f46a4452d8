"""Groups of near duplicates: searched once, kept in the cache, and kept on one side of a split."""

from dataclasses import replace

import numpy as np
import pytest

from clearsight.config.schema import DataConfig
from clearsight.data import duplicates, groups
from clearsight.data.groups import (
    Near,
    exact_groups,
    find_near,
    first_of_pairs,
    near_groups,
    near_training,
    training_duplicates,
)
from clearsight.data.images import ImageSet, content_ids
from clearsight.data.splits import from_manifest, has_hash, manifest, split
from clearsight.errors import DataError


def photos(n: int, copies: dict[int, int], parts: str = "", classes: int = 2) -> ImageSet:
    """n noise pictures; `copies`: image i is a brighter version of image j."""
    pixels = np.random.default_rng(0).integers(20, 200, (n, 16, 16, 3), np.uint8)
    for count, (copy, original) in enumerate(copies.items()):
        pixels[copy] = pixels[original] + 2 + count % 40
    return ImageSet(
        images=pixels, labels=np.arange(n) % classes, classes=tuple("abcdef"[:classes]),
        ids=content_ids(pixels), parts=np.full(n, parts, "U10"), name="photos",
    )  # fmt: skip


FAMILY = {10: 4, 50: 4, 71: 4, 33: 8, 60: 21}
FAMILIES = ({4, 10, 50, 71}, {8, 33}, {21, 60})


def parts_of(result, members: set[int]) -> set[str]:
    return {
        part
        for part in ("train", "validation", "test")
        if members & set(getattr(result, part).tolist())
    }


def test_versions_of_versions_are_one_group() -> None:
    found = near_groups(photos(80, FAMILY))
    assert [set(np.flatnonzero(found == found[i])) for i in (71, 33, 60)] == list(FAMILIES)
    assert len(np.unique(found)) == 80 - len(FAMILY)


@pytest.mark.parametrize("seed", range(5))
def test_near_duplicates_stay_on_one_side(seed: int) -> None:
    images = photos(80, FAMILY)
    result = split(images, DataConfig(seed=seed))
    assert all(len(parts_of(result, family)) == 1 for family in FAMILIES)
    assert [len(result.train), len(result.validation), len(result.test)] == [64, 8, 8]
    for part in (result.validation, result.test):
        assert np.bincount(images.labels[part]).tolist() == [4, 4]
    assert result.notes == (
        "8 images are near duplicates, in 3 groups that are kept on one side of the split each; "
        "data.group exact does not",
    )
    assert result.sources["test"].endswith(f"seed {seed}, near duplicates kept together")


def test_without_near_duplicates_the_split_is_the_one_of_exact_ones() -> None:
    images = photos(80, {})
    near, exact = (split(images, DataConfig(group=group)) for group in ("near", "exact"))
    assert near.test.tolist() == exact.test.tolist()
    assert manifest(images, near, DataConfig()) == manifest(images, exact, DataConfig())


def test_exact_separates_them_again() -> None:
    images = photos(80, FAMILY)
    sides = [
        parts_of(split(images, DataConfig(seed=seed, group="exact")), FAMILIES[0])
        for seed in range(5)
    ]
    assert max(map(len, sides)) > 1


def test_a_given_test_part_is_left_as_it_is_and_auto_does_not_look(monkeypatch) -> None:
    images = photos(80, FAMILY)
    parts = np.where(np.arange(80) < 60, "train", "test").astype("U10")
    images = replace(images, parts=parts)
    near = split(images, DataConfig(group="near", validation=0.2))
    assert sorted(near.test.tolist()) == list(range(60, 80))
    # 71 and 60 are in the given test part; the others of their groups are on the training side.
    for family in ({4, 10, 50}, {8, 33}):
        assert len(parts_of(near, family)) == 1
    monkeypatch.setattr(duplicates, "near_duplicates", None)
    auto, exact = (split(images, DataConfig(group=group)) for group in ("auto", "exact"))
    assert auto.validation.tolist() == exact.validation.tolist()
    assert auto.sources == exact.sources


def test_a_class_of_versions_of_one_photograph_stays_in_train() -> None:
    copies = dict.fromkeys(range(3, 40, 2), 1)  # all images of class b
    images = photos(80, copies)
    images = replace(images, labels=np.where(np.arange(80) < 40, np.arange(80) % 2, 0))
    result = split(images, DataConfig())
    for part in (result.validation, result.test):
        assert np.bincount(images.labels[part], minlength=2)[1] == 0
    assert "'b' (20 in train)" in result.notes[0]


def test_only_versions_of_one_photograph_cannot_be_split() -> None:
    images = photos(40, {i: i % 2 for i in range(2, 40)})
    with pytest.raises(DataError, match="no class has 3 different images"):
        split(images, DataConfig())


def test_images_alike_by_nature_are_split_as_they_were() -> None:
    from clearsight.data.sources import load_images

    digits = load_images("digits")
    near, exact = (split(digits, DataConfig(group=group)) for group in ("near", "exact"))
    assert near.sources == exact.sources
    assert near.test.tolist() == exact.test.tolist()


def test_a_manifest_gives_the_split_back_whatever_the_grouping() -> None:
    images = photos(80, FAMILY)
    config = DataConfig()
    made = split(images, config)
    kept = manifest(images, made, config)
    again = from_manifest(images, kept)
    assert again.test.tolist() == made.test.tolist()
    exact = replace(config, group="exact")
    assert has_hash(images, made, config, kept["hash"])
    assert not has_hash(images, split(images, exact), exact, kept["hash"])


def test_pairs_are_kept_in_the_cache(isolated, monkeypatch) -> None:
    images = photos(520, FAMILY)
    first = find_near(images)
    entries = list(isolated.rglob("near-duplicates/*/pairs.npz"))
    assert len(entries) == 1
    monkeypatch.setattr(duplicates, "near_duplicates", None)  # would fail
    again = find_near(images)
    assert again.pairs.tolist() == first.pairs.tolist()
    assert (again.uniform, again.note) == (False, None)


def test_a_damaged_entry_is_made_again(isolated) -> None:
    images = photos(520, FAMILY)
    first = find_near(images)
    (entry,) = isolated.rglob("near-duplicates/*/pairs.npz")
    for content in (b"", b"PK\3\4broken", entry.read_bytes()[:200]):
        entry.write_bytes(content)
        assert find_near(images).pairs.tolist() == first.pairs.tolist()


def test_test_images_with_a_version_in_training() -> None:
    images = photos(80, FAMILY)
    train, part = np.array([4, 5, 6, 33]), np.array([7, 71, 8, 60, 21])
    assert near_training(images, train, part).tolist() == [1, 2]
    assert near_training(images, train[:0], part).tolist() == []


def test_a_duplicate_in_training_is_the_exact_one_else_the_most_similar(monkeypatch) -> None:
    images = photos(10, {})
    # 0 and 1 are the same picture; 2 is a version of 3 and of 4, 5 of 6 and 6 of 7.
    ids = images.ids.copy()
    ids[1] = ids[0] + b"-2"
    images = replace(images, ids=ids)
    pairs = np.array([[0, 2], [2, 3], [2, 4], [5, 6], [6, 7]])
    similarity = np.array([0.1, 0.8, 0.9, 0.9, 0.9], np.float32)
    monkeypatch.setattr(groups, "find_near", lambda *_: Near(pairs, similarity, False, None))
    train, part = np.array([1, 3, 4, 7]), np.array([0, 2, 5, 6, 8])
    found = training_duplicates(images, train, part)
    assert found.tolist() == [1, 4, 7, 7, -1]
    assert near_training(images, train, part).tolist() == [0, 1, 2, 3]


def test_pairs_stand_for_exact_copies() -> None:
    same = np.array([0, 1, 2, 0, 1])
    found = first_of_pairs(np.array([[0, 1], [1, 2]]), same, np.array([4, 3, 1]))
    assert found.tolist() == [[1, 0], [0, -1]]
    assert exact_groups(photos(3, {})).tolist() != [0, 0, 0]
