"""Splits: exact, stratified, the same for the same images, kept in a manifest."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from clearsight.config.schema import DataConfig
from clearsight.data.images import ImageSet, content_ids
from clearsight.data.splits import (
    Split,
    copies_of_training,
    from_manifest,
    manifest,
    split,
)
from clearsight.data.stratify import apportion
from clearsight.errors import ConfigError, DataError

PARTS = ("train", "validation", "test")


def make(counts: dict[str, list[int]], *, copies: dict[int, int] | None = None) -> ImageSet:
    """`counts`: images per class of each given part; `copies`: image i gets image j's pixels."""
    parts = np.concatenate([np.full(sum(c), part, "U10") for part, c in counts.items()])
    labels = np.concatenate(
        [np.full(n, k, np.int64) for c in counts.values() for k, n in enumerate(c)]
    )
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 4, 4, 3), np.uint8)
    for target, origin in (copies or {}).items():
        pixels[target] = pixels[origin]
    classes = tuple("abcdefghij"[: len(next(iter(counts.values())))])
    return ImageSet(images=pixels, labels=labels, classes=classes, ids=content_ids(pixels),
                    parts=parts, name="made")  # fmt: skip


def sizes(images: ImageSet, result: Split) -> dict[str, list[int]]:
    k = len(images.classes)
    return {
        part: np.bincount(images.labels[getattr(result, part)], minlength=k).tolist()
        for part in PARTS
    }


def described(images: ImageSet, result: Split) -> dict[str, list[bytes]]:
    return {part: images.ids[getattr(result, part)].tolist() for part in PARTS}


@pytest.mark.parametrize(
    ("total", "counts", "shares"),
    [
        (10, [50, 50], [5, 5]),
        (7, [10, 20, 30], [1, 2, 4]),  # 1.17, 2.33, 3.5: the seventh to the largest remainder
        (5, [10, 10], [3, 2]),  # a tie: to the first
        (10, [97, 2, 1], [8, 1, 1]),  # 9.7, 0.2, 0.1: nobody gets nothing
        (2, [5, 5, 5], [1, 1, 0]),  # not enough for all
        (0, [5, 5], [0, 0]),
        (4, [8, 0], [4, 0]),
        (0, [0, 0], [0, 0]),
    ],
)
def test_apportion_by_largest_remainders(total: int, counts: list[int], shares: list[int]) -> None:
    assert apportion(total, counts) == shares


def test_a_flat_set_divides_80_10_10() -> None:
    images = make({"": [60, 40]})
    result = split(images, DataConfig())
    assert sizes(images, result) == {"train": [48, 32], "validation": [6, 4], "test": [6, 4]}
    everything = np.concatenate([result.train, result.validation, result.test])
    assert sorted(everything.tolist()) == list(range(100))
    assert result.sources == {
        "train": "what is left",
        "validation": "split off: 0.1 of 100 training-side images, stratified, seed 42",
        "test": "split off: 0.1 of all 100 images, stratified, seed 42",
    }


def test_given_parts_are_respected() -> None:
    images = make({"train": [40, 20], "validation": [5, 5], "test": [3, 7]})
    result = split(images, DataConfig(validation=0.5, test=0.5))
    assert sizes(images, result) == {"train": [40, 20], "validation": [5, 5], "test": [3, 7]}
    assert result.sources == dict.fromkeys(PARTS, "given")
    for part in PARTS:
        assert set(images.parts[getattr(result, part)]) == {part}


def test_a_missing_validation_is_a_fraction_of_the_training_side() -> None:
    images = make({"train": [50, 50], "test": [10, 10]})
    assert sizes(images, split(images, DataConfig(validation=0.2))) == {
        "train": [40, 40], "validation": [10, 10], "test": [10, 10],
    }  # fmt: skip


def test_a_missing_test_is_a_fraction_of_all() -> None:
    images = make({"train": [45, 45], "validation": [5, 5]})
    assert sizes(images, split(images, DataConfig(test=0.1))) == {
        "train": [40, 40], "validation": [5, 5], "test": [5, 5],
    }  # fmt: skip


def test_a_subset_is_exact_and_comes_from_the_training_side() -> None:
    images = make({"train": [60, 30, 10], "test": [10, 10, 10]})
    result = split(images, DataConfig(subset=50, validation=0.2))
    assert sizes(images, result) == {
        "train": [24, 12, 4], "validation": [6, 3, 1], "test": [10, 10, 10],
    }  # fmt: skip
    assert result.sources["train"] == "given, 50 of 100 images drawn, stratified, seed 42"
    odd = split(images, DataConfig(subset=37, validation=0.0))
    assert len(odd.train) == 37
    assert len(odd.validation) == 0


def test_a_subset_of_a_flat_set_is_drawn_after_the_test_part() -> None:
    images = make({"": [50, 50]})
    whole, part = (split(images, DataConfig(subset=s)) for s in (None, 40))
    assert part.test.tolist() == whole.test.tolist()
    assert sizes(images, part) == {"train": [18, 18], "validation": [2, 2], "test": [5, 5]}


def test_without_validation_all_is_trained_on() -> None:
    images = make({"train": [50, 50], "test": [10, 10]})
    result = split(images, DataConfig(validation=0))
    assert sizes(images, result)["train"] == [50, 50]
    assert result.sources["validation"] == "none"
    assert result.validation.dtype == np.int64


def test_depends_on_content_labels_and_seed_only() -> None:
    images = make({"train": [30, 30], "test": [10, 10]}, copies={5: 35, 7: 2})
    order = np.random.default_rng(1).permutation(len(images))
    shuffled = replace(
        images,
        images=images.images[order],
        labels=images.labels[order],
        parts=images.parts[order],
        ids=images.ids[order],
        name="renamed",
    )
    config = DataConfig(validation=0.2, subset=50)
    assert described(images, split(images, config)) == described(shuffled, split(shuffled, config))
    other = split(images, replace(config, seed=43))
    assert described(images, other) != described(images, split(images, config))


def test_validation_is_what_ranks_lowest() -> None:
    images = make({"train": [4, 4], "test": [1, 1]})
    result = split(images, DataConfig(validation=0.25, seed=7))
    for k in range(2):
        members = [i for i in range(8) if images.labels[i] == k]
        ranks = {i: hashlib.sha256(b"7 " + images.ids[i][:64]).hexdigest() for i in members}
        lowest = min(members, key=ranks.__getitem__)
        assert [i for i in result.validation if images.labels[i] == k] == [lowest]


def test_copies_of_an_image_stay_on_one_side() -> None:
    copies = {i: i - 1 for i in range(1, 60, 2)} | {80: 70, 81: 70}
    images = make({"": [60, 60]}, copies=copies)
    result = split(images, DataConfig(validation=0.2, test=0.2))
    contents = [{i[:64] for i in images.ids[getattr(result, part)]} for part in PARTS]
    assert not contents[0] & contents[1]
    assert not contents[0] & contents[2]
    assert not contents[1] & contents[2]
    assert sizes(images, result) == {"train": [36, 36], "validation": [12, 12], "test": [12, 12]}


def test_a_small_class_is_in_every_part() -> None:
    images = make({"": [97, 3]})
    assert sizes(images, split(images, DataConfig())) == {
        "train": [79, 1], "validation": [9, 1], "test": [9, 1],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("counts", "config", "message"),
    [
        ({"train": [9, 0], "test": [5, 5]}, DataConfig(), "class 'b', with 5 .* none in train"),
        (
            {"train": [9, 9, 9], "test": [5, 5, 5]},
            DataConfig(subset=2, validation=0),
            "class 'c'.* in train",
        ),
    ],
)
def test_a_class_missing_in_train_is_refused(
    counts: dict[str, list[int]], config: DataConfig, message: str
) -> None:
    with pytest.raises(DataError, match=f"made: {message}.*add images, remove the class"):
        split(make(counts), config)


@pytest.mark.parametrize(
    ("counts", "config", "expected", "notes"),
    [
        ({"": [97, 1]}, DataConfig(),
         {"train": [77, 1], "validation": [10, 0], "test": [10, 0]},
         ("1 of 2 classes have no images in validation and test and are not measured there: "
          "'b' (1 in train)",)),
        ({"": [96, 2]}, DataConfig(),
         {"train": [76, 2], "validation": [10, 0], "test": [10, 0]},
         ("1 of 2 classes have no images in validation and test and are not measured there: "
          "'b' (2 in train)",)),
        ({"": [96, 2]}, DataConfig(validation=0),
         {"train": [87, 1], "validation": [0, 0], "test": [9, 1]}, ()),
        ({"train": [50, 1], "test": [5, 5]}, DataConfig(),
         {"train": [45, 1], "validation": [5, 0], "test": [5, 5]},
         ("1 of 2 classes have no images in validation and are not measured there: "
          "'b' (1 in train)",)),
        ({"train": [50, 10], "test": [5, 0]}, DataConfig(),
         {"train": [45, 9], "validation": [5, 1], "test": [5, 0]},
         ("1 of 2 classes have no images in test and are not measured there: 'b' (9 in train)",)),
        ({"": [90, 1, 1, 1, 1, 1]}, DataConfig(),
         {"train": [70, 1, 1, 1, 1, 1], "validation": [10, 0, 0, 0, 0, 0],
          "test": [10, 0, 0, 0, 0, 0]},
         ("5 of 6 classes have no images in validation and test and are not measured there: "
          "'b' (1 in train), 'c' (1 in train), 'd' (1 in train) and 2 more",)),
        ({"": [3, 3]}, DataConfig(test=0.9, validation=0.9),
         {"train": [1, 1], "validation": [1, 1], "test": [1, 1]}, ()),
    ],
)  # fmt: skip
def test_a_class_too_small_for_every_part_stays_in_train_and_is_named(
    counts: dict[str, list[int]], config: DataConfig, expected: dict[str, list[int]],
    notes: tuple[str, ...],
) -> None:  # fmt: skip
    images = make(counts)
    result = split(images, config)
    assert sizes(images, result) == expected
    assert result.notes == notes
    assert from_manifest(images, manifest(images, result, config)).notes == notes


def test_copies_do_not_make_a_class_large() -> None:
    images = make({"": [97, 6]}, copies=dict.fromkeys(range(98, 103), 97))
    result = split(images, DataConfig())
    assert sizes(images, result)["train"][1] == 6
    assert result.notes[0].endswith("'b' (6 in train)")


def test_copies_under_another_label_leave_train_an_image_of_each_class() -> None:
    images = make({"": [50, 3]}, copies={50: 0, 51: 1, 52: 2})
    for seed in range(20):
        result = split(images, DataConfig(validation=0.4, test=0.4, seed=seed))
        assert min(sizes(images, result)["train"]) >= 1
        contents = [set(images.ids[getattr(result, part)].astype("S64")) for part in PARTS]
        assert not contents[0] & contents[1]
        assert not contents[0] & contents[2]
        assert not contents[1] & contents[2]


@pytest.mark.parametrize(
    ("counts", "config", "message"),
    [
        ({"": [2, 2]}, DataConfig(), "no class has 3 different images, .* in test as well"),
        ({"": [1, 1]}, DataConfig(test=0), "no class has 2 different images, .* in validation"),
        (
            {"train": [9, 9], "test": [5, 5]},
            DataConfig(subset=2),
            "no class has 2 .* in validation",
        ),
        ({"test": [9, 9]}, DataConfig(), "all of its images are given for validation or test"),
    ],
)
def test_a_set_too_small_for_a_part_is_refused(
    counts: dict[str, list[int]], config: DataConfig, message: str
) -> None:
    with pytest.raises(DataError, match=f"made: {message}"):
        split(make(counts), config)


def test_equal_images_cannot_be_split() -> None:
    images = make({"": [20, 20]}, copies=dict.fromkeys(range(1, 40), 0))
    with pytest.raises(DataError, match="no class has 3 different images"):
        split(images, DataConfig())


def test_neither_validation_nor_test_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match=r"data\.validation and data\.test: found 0 for both"):
        split(make({"": [50, 50]}), DataConfig(validation=0, test=0))
    given = make({"train": [50, 50], "test": [5, 5]})
    assert len(split(given, DataConfig(validation=0, test=0)).test) == 10


def test_test_images_that_are_also_training_images_are_found() -> None:
    images = make({"train": [3, 3], "validation": [1, 1], "test": [2, 2]},
                  copies={8: 1, 11: 1, 9: 6})  # fmt: skip
    result = split(images, DataConfig())
    found = copies_of_training(images, result.train, result.test)
    assert sorted(result.test[found].tolist()) == [8, 11]
    assert copies_of_training(images, result.train, result.validation).tolist() == []
    first = np.array([11, 9, 8])
    assert copies_of_training(images, np.array([1, 2]), first).tolist() == [0, 2]
    nothing = np.array([], np.int64)
    assert copies_of_training(images, nothing, first).tolist() == []
    assert copies_of_training(images, first, nothing).tolist() == []


def test_a_subset_larger_than_the_set_is_refused() -> None:
    images = make({"train": [50, 50], "test": [5, 5]})
    with pytest.raises(ConfigError, match=r"data\.subset: found 101, but made has only 100"):
        split(images, DataConfig(subset=101))


def test_a_manifest_gives_the_split_back_in_any_order() -> None:
    images = make({"": [30, 30]}, copies={5: 6})
    config = DataConfig(validation=0.2)
    result = split(images, config)
    kept = json.loads(json.dumps(manifest(images, result, config)))
    assert kept["counts"]["train"] == {"a": 21, "b": 21}
    assert kept["seed"] == 42
    assert kept["fractions"] == {"validation": 0.2, "test": 0.1}
    assert kept["parts"]["test"]["how"] == result.sources["test"]
    assert kept["parts"]["test"]["ids"] == [i.decode() for i in images.ids[result.test]]
    order = np.random.default_rng(1).permutation(60)
    shuffled = replace(images, images=images.images[order], labels=images.labels[order],
                       ids=images.ids[order])  # fmt: skip
    again = from_manifest(shuffled, kept)
    assert described(shuffled, again) == described(images, result)
    assert again.sources == result.sources


def test_a_manifest_of_other_images_is_refused() -> None:
    images = make({"": [30, 30]})
    config = DataConfig()
    kept = manifest(images, split(images, config), config)
    fewer = replace(images, images=images.images[3:], labels=images.labels[3:],
                    ids=images.ids[3:], parts=images.parts[3:], files=images.files[3:])  # fmt: skip
    with pytest.raises(DataError, match=r"3 of the 60 images in the split manifest are missing"):
        from_manifest(fewer, kept)
    with pytest.raises(DataError, match=r"classes x, y, the split manifest has a, b"):
        from_manifest(replace(images, classes=("x", "y")), kept)
    with pytest.raises(DataError, match=r"60 of the 60 .* another label"):
        from_manifest(replace(images, labels=1 - images.labels), kept)


def test_a_changed_manifest_is_refused() -> None:
    images = make({"": [30, 30]})
    kept = manifest(images, split(images, DataConfig()), DataConfig())
    ids = kept["parts"]["train"]["ids"]
    ids[0], ids[1] = ids[1], ids[0]
    with pytest.raises(DataError, match="doesn't fit its hash"):
        from_manifest(images, kept)
