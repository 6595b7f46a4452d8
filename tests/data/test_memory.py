import base64
import io

import numpy as np
import pytest
from PIL import Image

import clearsight
from clearsight.data.memory import from_arrays, pixels_of
from clearsight.errors import DataError

GREY = np.arange(4 * 10 * 10).reshape(4, 10, 10).astype(np.uint8)


def test_arrays_become_an_image_set() -> None:
    images = from_arrays(GREY, ["b", "a", "b", "a"])
    assert images.classes == ("a", "b")
    assert images.labels.tolist() == [1, 0, 1, 0]
    assert images.images.shape == (4, 10, 10, 3)
    assert (images.images == GREY[..., None]).all()
    assert set(images.parts) == {""}
    assert images.name == "arrays"
    assert repr(images) == "<ImageSet arrays: 4 images of 10 × 10 px in 2 classes>"


def test_the_same_pixels_have_the_same_ids_whatever_holds_them() -> None:
    colour = np.repeat(GREY[..., None], 3, axis=3)
    opaque = np.concatenate([colour, np.full((4, 10, 10, 1), 255, np.uint8)], axis=3)
    several = [GREY, GREY[..., None], colour, opaque, list(GREY), map(Image.fromarray, colour)]
    first, *others = (from_arrays(images, [0, 1, 0, 1]).ids.tolist() for images in several)
    assert all(ids == first for ids in others)


def test_a_notebook_shows_the_images_of_each_class_and_escapes_names() -> None:
    html = from_arrays(GREY, ["<b>", "a", "<b>", "a"])._repr_html_()
    assert "a" in html
    assert "&lt;b&gt;, a" in html
    png = base64.b64decode(html.partition("base64,")[2].partition('"')[0])
    with Image.open(io.BytesIO(png)) as sheet:
        assert sheet.size == (2 * 24, 2 * 24)  # two rows of two, 20 px and a gap of 4 each


def test_numbers_have_the_names_that_are_given() -> None:
    images = from_arrays(GREY, [1, 0, 1, 1], ["cat", "dog"])
    assert [images.classes[k] for k in images.labels] == ["dog", "cat", "dog", "dog"]


def test_images_of_several_sizes_are_fitted_to_the_longest_side() -> None:
    images = from_arrays([np.zeros((9, 30), np.uint8), np.zeros((20, 20, 3), np.uint8)], [0, 1])
    assert images.size == 30
    assert from_arrays(GREY, [0, 1, 0, 1], size=16, fit="crop").size == 16
    assert from_arrays([np.zeros((500, 300), np.uint8)] * 2, [0, 1]).size == 224


def test_given_parts_are_kept() -> None:
    images = from_arrays(GREY, [0, 1, 0, 1], parts=["train", "train", "test", ""])
    assert images.parts.tolist() == ["train", "train", "test", ""]


@pytest.mark.parametrize(
    ("images", "labels", "classes", "problem"),
    [
        (GREY / 255, [0, 1, 0, 1], None, "image 0: found float64"),
        (GREY[0], [0, 1, 0, 1], None, r"image 0: found uint8 \[10\], expected"),
        (np.zeros((2, 3, 10, 10), np.uint8), [0, 1], None, r"image 0: found uint8 \[3, 10, 10\]"),
        (["a.png"], [0], None, "image 0: found str"),
        ([], [], None, "found none"),
        (GREY, [0, 1], None, r"labels: found the shape \[2\], expected a label for each of the 4"),
        (GREY, [0.5, 1, 0, 1], None, "labels: found float64"),
        (GREY, [0, 2, 0, 1], ["cat", "dog"], "image 1: found label 2, expected 0 to 1"),
        (GREY, ["cat"] * 4, ["cat", "dog"], "expected whole numbers from 0 to 1"),
        (GREY, [0] * 4, None, "found 1 class"),
        (GREY, [0, 0, 0, 1], ["a", "b", "c"], "no images in class 'c'"),
    ],
)
def test_misuse_is_one_sentence(
    images: np.ndarray, labels: list, classes: list[str] | None, problem: str
) -> None:
    with pytest.raises(DataError, match=problem):
        from_arrays(images, labels, classes)


def test_parts_must_be_known_and_one_per_image() -> None:
    for parts in (["train"], ["train", "test", "exam", ""]):
        with pytest.raises(DataError, match="parts: expected train, validation, test or an empty"):
            from_arrays(GREY, [0, 1, 0, 1], parts=parts)


def test_pixels_are_not_copied_where_they_need_not_be() -> None:
    assert all(np.shares_memory(each, GREY) for each in pixels_of(GREY))
    assert clearsight.from_arrays is from_arrays
