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
    figure = confusion_matrix(np.eye(classes, dtype=int) * 5, names)
    save(figure, tmp_path / "confusion_matrix.png")
    with Image.open(tmp_path / "confusion_matrix.png") as image:
        assert max(image.size) < 2000


def test_confusion_matrix_writes_counts_and_colours_shares() -> None:
    axes = confusion_matrix([[3, 1], [0, 0]], ["cat", "dog"]).axes[0]
    assert {text.get_text(): text.get_position() for text in axes.texts} == {
        "3": (0, 0), "1": (1, 0),
    }  # fmt: skip
    assert np.asarray(axes.images[0].get_array()).tolist() == [[0.75, 0.25], [0.0, 0.0]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog"]
    assert axes.get_ylabel() == "true class"


def test_beyond_20_classes_counts_are_left_out() -> None:
    counts = np.eye(21, dtype=int)
    assert not confusion_matrix(counts, ["x"] * 21).axes[0].texts
    assert len(confusion_matrix(counts[:20, :20], ["x"] * 20).axes[0].texts) == 20


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
