"""The figures of a data set show what they were given, for few classes and for many."""

import numpy as np
import pytest
from matplotlib.patches import StepPatch

from clearsight.figures.data import (
    augmentation_examples,
    class_distribution,
    duplicates,
    sample_images,
)
from clearsight.figures.save import save


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*shape, 8, 8, 3), dtype=np.uint8)


def names(k: int) -> list[str]:
    return [f"class_{i}" for i in range(k)]


@pytest.mark.parametrize("k", [2, 10, 100])
def test_one_sample_of_each_class_in_order(k: int, tmp_path) -> None:
    images, labels = noise(3 * k), np.arange(3 * k) % k
    figure = sample_images(images, labels, names(k))
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == names(k)
    for shown, image in zip(axes.images, images[:k], strict=True):
        assert np.array_equal(np.asarray(shown.get_array()), image)
    save(figure, tmp_path / "samples.png")


def test_of_many_classes_some_show_a_sample(tmp_path) -> None:
    figure = sample_images(noise(1000), np.arange(1000), names(1000))
    assert figure.get_suptitle() == "One image each of 40 of the 1,000 classes"
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert len(texts) == 40
    assert (texts[0], texts[-1]) == ("class_0", "class_999")
    save(figure, tmp_path / "samples.png")


def test_of_many_classes_the_counts_are_sorted_and_the_extremes_named(tmp_path) -> None:
    counts = {"train": [5] * 2100, "test": [2] * 1050 + [1] * 1049 + [7]}
    figure = class_distribution(counts, names(2100))
    titles = [axes.get_title("left") for axes in figure.axes]
    assert titles == [
        "train (10,500): 5 of each class",
        "test (3,156): 7 (class_2099) to 1 (class_1050) of a class",
    ]
    steps = figure.axes[1].patches[0]
    assert isinstance(steps, StepPatch)
    values = steps.get_data()[0]
    assert values.tolist() == [7] + [2] * 1050 + [1] * 1049
    save(figure, tmp_path / "distribution.png")


def test_class_without_a_sample_says_so() -> None:
    figure = sample_images(noise(2), np.array([0, 0]), ["cat", "dog"])
    (axes,) = figure.axes
    assert len(axes.images) == 1
    assert [text.get_text() for text in axes.texts] == ["cat", "dog", "none here"]


def test_few_classes_share_one_panel_of_grouped_bars(tmp_path) -> None:
    figure = class_distribution({"train": [30, 90], "test": [5, 7]}, ["cat", "dog"])
    (axes,) = figure.axes
    train, test = axes.containers
    assert [bar.get_height() for bar in train] == [30, 90]
    assert [bar.get_height() for bar in test] == [5, 7]
    right = [bar.get_x() + bar.get_width() for bar in train]
    assert all(a <= bar.get_x() for a, bar in zip(right, test, strict=True)), "bars overlap"
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["train (120)", "test (12)"]
    save(figure, tmp_path / "distribution.png")


def test_many_classes_get_a_panel_per_part() -> None:
    figure = class_distribution({"train": [9] * 100, "test": [1] * 100}, names(100))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["train (900)", "test (100)"]
    assert len(figure.axes[1].get_xticklabels()) == 100


def test_augmentation_rows_begin_with_the_original(tmp_path) -> None:
    originals, augmented = noise(2), noise(2, 3)
    figure = augmentation_examples(originals, augmented)
    shown = [np.asarray(axes.images[0].get_array()) for axes in figure.axes]
    expected = [originals[0], *augmented[0], originals[1], *augmented[1]]
    assert all(np.array_equal(a, b) for a, b in zip(shown, expected, strict=True))
    save(figure, tmp_path / "augmentation.png")


def test_duplicates_stand_side_by_side_with_part_and_label(tmp_path) -> None:
    first, second = noise(2), noise(2)[::-1]
    figure = duplicates(
        first, second, parts=[("train", "test")] * 2, labels=[("cat", "cat"), ("cat", "dog")],
        similarity=[0.98, 0.7], total=12,
    )  # fmt: skip
    same, differ = figure.axes
    pixels = np.asarray(same.images[0].get_array())
    assert np.array_equal(pixels[:, :8], first[0])
    assert np.array_equal(pixels[:, -8:], second[0])
    assert [text.get_text() for text in differ.texts] == ["train\ncat", "test\ndog"]
    assert same.texts[0].get_color() != differ.texts[0].get_color()
    assert "2 of 12 pairs" in figure.get_suptitle()
    save(figure, tmp_path / "duplicates.png")


def test_no_duplicates_is_a_figure_that_says_so() -> None:
    figure = duplicates(noise(0), noise(0), parts=[], labels=[], similarity=[], total=0)
    assert figure.axes[0].texts[0].get_text() == "None found."
