"""The audit: counts, duplicates by content, conflicts of labels, as data and as text."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clearsight.config.schema import DataConfig
from clearsight.data.audit import audit
from clearsight.data.images import ImageSet, content_ids
from clearsight.data.splits import Split, split
from clearsight.errors import DataError

REAL = Path(
    os.environ.get("CLEARSIGHT_TEST_DATA", Path(__file__).parents[2].parent / "shared" / "datasets")
)


def image_set(
    n: int, labels: list[int], copies: dict[int, int], parts: list[str] | None = None
) -> ImageSet:
    """n noise images of 2 classes; `copies` maps a position to the one whose pixels it repeats."""
    images = np.random.default_rng(0).integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
    for copy, original in copies.items():
        images[copy] = images[original]
    return ImageSet(
        images=images,
        labels=np.array(labels, np.int64),
        classes=("cat", "dog"),
        ids=content_ids(images),
        parts=np.array(parts or [""] * n, dtype="U10"),
        name="pets",
        notes=("1 stray file: notes.txt",),
    )


def split_of(train: list[int], validation: list[int], test: list[int]) -> Split:
    return Split(
        train=np.array(train), validation=np.array(validation, np.int64), test=np.array(test),
        sources={},
    )  # fmt: skip


def test_counts_and_imbalance_per_part() -> None:
    images = image_set(7, [0, 0, 0, 1, 0, 1, 0], {})
    report = audit(images, split_of([0, 1, 2, 3], [6], [4, 5]))
    assert report.counts == {"train": [3, 1], "validation": [1, 0], "test": [1, 1]}
    assert [report.imbalance(part) for part in report.counts] == [3.0, None, 1.0]
    assert report.lines()[:4] == [
        "pets: 7 images of 8 × 8 px in 2 classes",
        "train: 4 images, from 1 (dog) to 3 (cat) of a class, ratio 3.0",
        "validation: 1 images, from 0 (dog) to 1 (cat) of a class",
        "test: 2 images, 1 of each class",
    ]


def test_images_outside_the_split_do_not_count() -> None:
    images = image_set(6, [0, 1, 0, 1, 0, 1], {5: 0})
    report = audit(images, split_of([0, 1], [], [2, 3]))
    assert report.images == 4
    assert report.exact == ()


def test_exact_duplicates_within_and_across_parts() -> None:
    images = image_set(8, [0] * 4 + [1] * 4, {2: 0, 3: 0, 5: 0, 7: 6})
    report = audit(images, split_of([0, 1, 2], [3, 4], [5, 6, 7]))
    pairs = {(pair.parts, pair.positions) for pair in report.exact}
    assert pairs == {
        (("train", "train"), (0, 2)),
        (("train", "validation"), (0, 3)),
        (("train", "test"), (0, 5)),
        (("validation", "test"), (3, 5)),
        (("test", "test"), (6, 7)),
    }
    assert [pair.parts[1] for pair in report.exact[:2]] == ["test", "test"], "across parts first"
    assert report.near == ()


def test_label_conflicts_name_both_classes() -> None:
    images = image_set(6, [0, 1, 1, 1, 0, 0], {3: 0, 2: 1})
    report = audit(images, split_of([0, 1, 2], [], [3, 4, 5]))
    assert [pair.positions for pair in report.conflicts] == [(0, 3)]
    assert any(
        line.startswith("same pixels, different labels: cat in train and dog in test")
        for line in report.lines()
    )


def test_near_duplicates_across_parts() -> None:
    images = image_set(40, [0, 1] * 20, {31: 4})
    images.images[31] = np.clip(images.images[4].astype(int) + 2, 0, 255)
    images = replace(images, ids=content_ids(images.images))
    report = audit(images, split_of(list(range(20)), [], list(range(20, 40))))
    (pair,) = report.near
    assert (pair.positions, pair.parts, pair.labels) == ((4, 31), ("train", "test"), (0, 1))
    assert 0.9 < pair.similarity <= 1
    assert "near duplicates: 1 test image has one in train" in report.lines()


def test_without_a_split_the_source_names_the_parts() -> None:
    parts = ["test", "train", "train", "validation", "test", "train"]
    images = image_set(6, [0, 1, 0, 1, 1, 0], {4: 1}, parts)
    report = audit(images)
    assert list(report.counts) == ["train", "validation", "test"]
    assert [(pair.parts, pair.positions) for pair in report.exact] == [(("train", "test"), (1, 4))]
    assert list(audit(image_set(4, [0, 1, 0, 1], {})).counts) == ["all"]


def test_report_passes_on_damage_and_notes() -> None:
    report = audit(image_set(4, [0, 1, 0, 1], {}), corrupt=("cat/1.png: truncated",))
    assert report.lines()[-2:] == ["corrupt: cat/1.png: truncated", "1 stray file: notes.txt"]


def test_a_set_that_cannot_be_split_is_reported_with_the_reason() -> None:
    images = image_set(6, [0, 1] * 3, dict.fromkeys(range(1, 6), 0))
    with pytest.raises(DataError) as reason:
        split(images, DataConfig())
    report = audit(images, unsplit=str(reason.value))
    assert report.counts == {"all": [3, 3]}
    assert len(report.exact) == 5
    assert len(report.conflicts) == 3
    expected = f"it can't be split for training: {reason.value}"
    assert expected in report.lines()
    assert expected in report.to_dict()["notes"]


def test_a_rare_class_is_reported() -> None:
    images = image_set(41, [0] * 40 + [1], {})
    report = audit(images, split(images, DataConfig()))
    assert report.counts["train"][1] == 1
    assert (
        "1 of 2 classes have no images in validation and test and are not measured there: "
        "'dog' (1 in train)"
    ) in report.lines()


def test_dict_is_json_and_has_totals() -> None:
    copies = dict.fromkeys(range(1, 150), 0)
    images = image_set(160, [0] * 150 + [1] * 10, copies)
    found = json.loads(json.dumps(audit(images).to_dict()))
    assert found["parts"]["all"] == {"images": 160, "counts": [150, 10], "imbalance": 15.0}
    exact = found["exact_duplicates"]
    assert exact["total"] == 149
    assert exact["parts"] == {"all": {"pairs": 149, "images": 150}}
    assert len(exact["pairs"]) == 100


@pytest.mark.slow
def test_cifar10_has_near_duplicates_across_train_and_test() -> None:
    from clearsight.data.sources import load_images

    if not (REAL / "cifar10").is_dir():
        pytest.skip(f"CIFAR-10 is not at {REAL / 'cifar10'}: set CLEARSIGHT_TEST_DATA")
    images = load_images("cifar10", data_dir=REAL, download=False)

    started = time.process_time()
    report = audit(images)
    # 27 s on a quiet machine; a search of all pairs would take many times as long.
    assert time.process_time() - started < 120
    across = report.to_dict()["near_duplicates"]["parts"]["train–test"]["images"]
    # Barz and Denzler 2020 list 286; mirrored and small changes of view count here as well.
    assert 400 <= across <= 490
    assert report.exact == ()
