"""Heatmaps as figures: the right panels with the right titles, for few and odd samples too."""

import numpy as np
from matplotlib.figure import Figure

from clearsight.figures.heatmaps import (
    ConfusedPair,
    heatmap_confusions,
    heatmap_image,
    heatmap_samples,
)

CLASSES = ("cat", "dog", "ship")
RNG = np.random.default_rng(0)


def pixels(n: int) -> np.ndarray:
    return RNG.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)


def maps(n: int) -> np.ndarray:
    return RNG.random((n, 8, 8), dtype=np.float32)


def titles(figure: Figure) -> list[str]:
    return [axes.get_title("left") for axes in figure.axes if axes.get_title("left")]


def shown(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def test_samples_put_right_ones_left_and_wrong_ones_right_and_say_both_classes() -> None:
    images = pixels(3)
    probabilities = np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0.3, 0, 0.7]], np.float32)
    figure = heatmap_samples(
        images,
        maps(3),
        labels=np.array([0, 0, 2]),
        predicted=np.array([0, 1, 2]),
        probabilities=probabilities,
        classes=CLASSES,
        method="LayerCAM",
    )
    assert titles(figure) == [
        "truth: cat", "cat 90%", "truth: ship", "ship 70%", "truth: cat", "dog 80%",
    ]  # fmt: skip
    panels = shown(figure)
    assert len(panels) == 6
    np.testing.assert_array_equal(panels[0], images[0])
    np.testing.assert_array_equal(panels[4], images[1])


def test_samples_say_when_nothing_is_wrong_or_there_is_nothing() -> None:
    probabilities = np.array([[0.9, 0.1, 0]], np.float32)
    figure = heatmap_samples(
        pixels(1),
        maps(1),
        labels=np.array([0]),
        predicted=np.array([0]),
        probabilities=probabilities,
        classes=CLASSES,
        method="LayerCAM",
    )
    texts = [text.get_text() for half in figure.subfigs for text in half.texts]
    assert "no wrong prediction among these images" in texts
    none = np.zeros(0, np.int64)
    figure = heatmap_samples(
        pixels(0),
        maps(0),
        labels=none,
        predicted=none,
        probabilities=probabilities[:0],
        classes=CLASSES,
        method="LayerCAM",
    )
    assert titles(figure) == ["Where the model looks"]


def test_where_the_map_is_zero_the_image_is_grey_and_where_it_is_one_it_is_coloured() -> None:
    image = np.full((2, 2, 3), 100, np.uint8)
    cam = np.array([[0, 1], [0, 0]], np.float32)
    figure = heatmap_image(image, cam[None], ["cat"], np.array([0.5]), "a.png")
    overlay = shown(figure)[1]
    assert np.ptp(overlay[0, 0]) < 0.01
    assert np.ptp(overlay[0, 1]) > 0.2
    assert titles(figure) == ["image", "cat 50%"]


def test_confusion_analysis_has_a_row_per_pair_with_count_and_both_maps() -> None:
    pairs = [
        ConfusedPair(
            true="cat", predicted="dog", count=12,
            images=pixels(2), predicted_maps=maps(2), true_maps=maps(2),
        ),
        ConfusedPair(
            true="ship", predicted="cat", count=1,
            images=pixels(1), predicted_maps=maps(1), true_maps=maps(1),
        ),
    ]  # fmt: skip
    figure = heatmap_confusions(pairs, method="LayerCAM")
    assert titles(figure) == ["dog", "cat", "dog", "cat", "cat", "ship"]
    assert len(shown(figure)) == 9
    headings = [[t.get_text() for t in row.subfigs[0].texts] for row in figure.subfigs]
    assert headings == [["cat", "→ dog", "12 times"], ["ship", "→ cat", "once"]]


def test_confusion_analysis_without_confusions_says_so() -> None:
    assert titles(heatmap_confusions([], method="LayerCAM")) == ["Confusions"]


def test_a_map_of_zeros_is_named_so() -> None:
    cams = np.stack([np.zeros((8, 8), np.float32), maps(1)[0]])
    figure = heatmap_image(pixels(1)[0], cams, ["cat", "dog"], np.array([0.5, 0.4]), "a.png")
    texts = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert texts == [[], ["no evidence"], []]


def test_figures_name_the_method_and_say_at_their_foot_whether_to_trust_it() -> None:
    pair: ConfusedPair = {
        "true": "cat", "predicted": "dog", "count": 3,
        "images": pixels(1), "predicted_maps": maps(1), "true_maps": maps(1),
    }  # fmt: skip
    figure = heatmap_confusions([pair], method="LayerCAM", verdict="Do not trust these maps.")
    assert figure.get_suptitle().endswith("by LayerCAM")
    assert figure.get_supxlabel() == "Do not trust these maps."
    assert heatmap_confusions([pair], method="LayerCAM").get_supxlabel() == ""
