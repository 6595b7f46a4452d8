"""Figures of an evaluation for few classes and many, and for a faultless model."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clearsight.figures.evaluation import confusion_matrix, per_class, worst_mistakes
from clearsight.figures.save import save


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_confusion_matrix_of_any_size(classes: int, tmp_path: Path) -> None:
    names = [f"class ${k}^" for k in range(classes)]
    labels = np.arange(classes).repeat(5)
    figure = confusion_matrix(labels, labels, names)
    save(figure, tmp_path / "confusion_matrix.png")
    with Image.open(tmp_path / "confusion_matrix.png") as image:
        assert max(image.size) < 2000


def test_confusion_matrix_writes_counts_and_colours_shares() -> None:
    labels, predicted = np.array([0, 0, 0, 0]), np.array([0, 0, 1, 0])
    axes = confusion_matrix(labels, predicted, ["cat", "dog"]).axes[0]
    assert {text.get_text(): text.get_position() for text in axes.texts} == {
        "3": (0, 0), "1": (1, 0),
    }  # fmt: skip
    assert np.asarray(axes.images[0].get_array()).tolist() == [[0.75, 0.25], [0.0, 0.0]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog"]
    assert axes.get_ylabel() == "true class"


def test_beyond_30_classes_counts_are_left_out() -> None:
    labels = np.arange(31)
    assert not confusion_matrix(labels, labels, ["x"] * 31).axes[0].texts
    assert len(confusion_matrix(labels[:30], labels[:30], ["x"] * 30).axes[0].texts) == 30


def test_of_many_classes_the_matrix_shows_the_most_confused(tmp_path: Path) -> None:
    # 10 images of each of 1,000 classes. Class k < 15 is taken for class 500 + k three times, and
    # once for class 900, which is left out; the shares stay those of all ten.
    labels = np.arange(1000).repeat(10)
    predicted = labels.copy()
    for k in range(15):
        predicted[10 * k : 10 * k + 3] = 500 + k
        predicted[10 * k + 3] = 900
    names = [f"c{k}" for k in range(1000)]
    figure = confusion_matrix(labels, predicted, names)
    axes = figure.axes[0]
    assert axes.get_title("left") == "Confusion matrix: the 30 most confused of 1,000 classes"
    shown = [label.get_text() for label in axes.get_yticklabels()]
    assert shown == [f"c{k}" for k in (*range(15), *range(500, 515))]
    shares = np.asarray(axes.images[0].get_array())
    assert shares[0].tolist() == [0.6, *[0] * 14, 0.3, *[0] * 14]
    assert shares[29].tolist() == [*[0] * 29, 1.0]
    save(figure, tmp_path / "matrix.png")


def test_a_faultless_model_of_many_classes_has_no_matrix() -> None:
    figure = confusion_matrix(np.arange(101), np.arange(101), ["x"] * 101)
    assert "no image was taken for another class" in figure.axes[0].texts[0].get_text()


def test_of_many_classes_the_best_and_the_worst_have_bars(tmp_path: Path) -> None:
    rows = [
        {"name": f"c{k}", "precision": k / 1000, "recall": k / 1000, "f1": k / 1000}
        for k in range(1000)
    ]
    figure = per_class(rows)
    axes = figure.axes[0]
    assert axes.get_title("left") == "Scores per class: best and worst 20 of 1,000"
    shown = [label.get_text() for label in axes.get_yticklabels()]
    assert shown == [f"c{k}" for k in (*range(20), *range(980, 1000))]
    assert [text.get_text() for text in axes.texts] == ["… 960 other classes …"]
    save(figure, tmp_path / "per_class.png")
    with Image.open(tmp_path / "per_class.png") as image:
        assert max(image.size) < 2000


def test_per_class_has_the_best_on_top() -> None:
    rows = [
        {"name": "cat", "precision": 0.5, "recall": 0.7, "f1": 0.58, "support": 10},
        {"name": "dog", "precision": 0.9, "recall": 0.8, "f1": 0.85, "support": 10},
    ]
    axes = per_class(rows).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog"]
    assert axes.get_ylim()[0] < axes.get_ylim()[1]  # the last one is on top
    widths = {bars.get_label(): [bar.get_width() for bar in bars] for bars in axes.containers}
    assert widths == {"precision": [0.5, 0.9], "recall": [0.7, 0.8], "F1": [0.58, 0.85]}


def test_worst_mistakes_are_the_most_confident_wrong_ones() -> None:
    images = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    probabilities = np.array([[0.6, 0.4], [0.95, 0.05], [0.9, 0.1], [0.01, 0.99]])
    figure = worst_mistakes(images, np.array([1, 0, 1, 1]), probabilities, ("cat", "dog"), n=12)
    assert [int(np.asarray(axes.images[0].get_array())[0, 0, 0]) for axes in figure.axes] == [2, 0]
    assert [text.get_text() for text in figure.axes[0].texts] == ["cat 90.0 %", "is dog"]


def test_worst_mistakes_name_the_ends_of_their_files() -> None:
    images = np.zeros((2, 8, 8, 3), np.uint8)
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2]])
    files = np.array(["pets/cat/a_very_long_name_0001.png", ""])
    figure = worst_mistakes(images, np.ones(2, int), probabilities, ("cat", "dog"), files=files)
    first, second = ([text.get_text() for text in axes.texts] for axes in figure.axes)
    assert first == ["cat 90.0 %", "is dog", "…ry_long_name_0001.png"]
    assert second == ["cat 80.0 %", "is dog"]


def test_worst_mistakes_stop_at_n(tmp_path: Path) -> None:
    images = np.zeros((30, 8, 8, 3), np.uint8)
    probabilities = np.tile([0.9, 0.1], (30, 1))
    figure = worst_mistakes(images, np.ones(30, int), probabilities, ("cat", "dog"), n=7)
    assert len(figure.axes) == 7
    save(figure, tmp_path / "worst_mistakes.png")


def test_no_mistakes_is_said() -> None:
    images = np.zeros((3, 8, 8, 3), np.uint8)
    figure = worst_mistakes(images, np.zeros(3, int), np.tile([0.9, 0.1], (3, 1)), ("cat", "dog"))
    assert "all 3 images are predicted correctly" in figure.axes[0].texts[0].get_text()
