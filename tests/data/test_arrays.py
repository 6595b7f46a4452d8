"""`.npz` files and the bundled digits."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from clearsight.data.arrays import digits_source, npz_source
from clearsight.data.records import Records
from clearsight.errors import DataError
from tests.conftest import stacked

GREY = np.arange(4 * 6 * 5, dtype=np.uint8).reshape(4, 6, 5)


def read(path: Path, **arrays: object) -> Records:
    np.savez(path / "set.npz", **arrays)  # ty: ignore[invalid-argument-type]
    return npz_source(path / "set.npz").read()


def test_reads_images_labels_classes_and_parts(tmp_path: Path) -> None:
    parts = ["train", "val", "test", ""]
    records = read(tmp_path, images=GREY, labels=[1, 0, 1, 1], classes=["cat", "dog"], parts=parts)
    assert records.classes == ("cat", "dog")
    assert records.labels.tolist() == [1, 0, 1, 1]
    assert records.parts.tolist() == ["train", "validation", "test", ""]
    assert np.array_equal(stacked(records), GREY)
    assert records.locate(3) == f"{tmp_path}/set.npz, image 3"


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_reads_channels(tmp_path: Path, channels: int) -> None:
    pixels = np.repeat(GREY[..., None], channels, 3)
    image = read(tmp_path, images=pixels, labels=[0, 1, 0, 1]).images[2]
    assert isinstance(image, np.ndarray)
    assert np.array_equal(image, GREY[2] if channels == 1 else pixels[2])


def test_reads_the_layout_of_train_and_test_arrays(tmp_path: Path) -> None:
    records = read(tmp_path, x_train=GREY, y_train=[[3], [5], [5], [3]], x_test=GREY[:1],
                   y_test=[[5]])  # fmt: skip
    assert records.classes == ("3", "5")
    assert records.labels.tolist() == [0, 1, 1, 0, 1]
    assert records.parts.tolist() == ["train"] * 4 + ["test"]


def test_reads_medmnist_as_published(tmp_path: Path) -> None:
    records = read(
        tmp_path,
        train_images=GREY, train_labels=np.array([[0], [1], [0], [1]], np.uint8),
        val_images=GREY[:1], val_labels=np.array([[1]], np.uint8),
        test_images=GREY[2:], test_labels=np.array([[0], [1]], np.uint8),
    )  # fmt: skip
    assert records.parts.tolist() == ["train"] * 4 + ["validation"] + ["test"] * 2
    assert records.labels.tolist() == [0, 1, 0, 1, 1, 0, 1]
    assert np.array_equal(stacked(records), np.concatenate([GREY, GREY[:1], GREY[2:]]))


def test_text_labels_name_the_classes(tmp_path: Path) -> None:
    records = read(tmp_path, images=GREY, labels=["fox", "cat", "cat", "fox"])
    assert records.classes == ("cat", "fox")
    assert records.labels.tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": GREY / 255.0, "labels": [0, 1, 0, 1]}, "images: found float64 of shape"),
        ({"images": GREY[0], "labels": [0] * 6}, r"images: found uint8 of shape \(6, 5\)"),
        ({"images": GREY, "labels": [0, 1]}, r"labels: found the shape \(2,\), expected a label"),
        ({"images": GREY, "labels": [0.5] * 4}, "labels: found float64 values"),
        ({"images": GREY, "labels": [0, 1, 0, 2], "classes": ["a", "b"]},
         "image 3: found label 2, expected 0 to 1"),
        ({"images": GREY, "labels": [0] * 4, "parts": ["a"] * 4}, "parts: found 'a'"),
        ({"images": GREY, "labels": [0] * 4, "parts": ["train"]}, r"parts: found the shape \(1,\)"),
        ({"images": GREY, "labels": [0, 1, 0, 1], "classes": ["a", "a"]}, "'a' more than once"),
        ({"images": GREY, "labels": [0, 1, 0, 1], "classes": ["a", "a "]}, "'a' more than once"),
        ({"images": GREY, "labels": [0, 1, 0, 1], "classes": "ab"}, r"classes: found <U2 of shape"),
        ({"images": GREY, "labels": [0, 1, 0, 1], "classes": [0.5, 1.5]}, "classes: found float64"),
        ({"images": GREY, "labels": [0, 1, 0, 1], "classes": ["a", "x" * 300]}, "300 characters"),
        ({"images": GREY, "labels": ["a", "a ", "b", "b"]}, "'a' more than once"),
        ({"images": GREY, "labels": [b"a", b"caf\xe9", b"b", b"b"]}, "labels: .*not valid UTF-8"),
        ({"images": GREY, "labels": np.full(4, 2**64 - 1)}, "labels: found 18446744073709551615"),
        ({"images": GREY, "labels": [True, False, True, True]}, "labels: found bool values"),
        ({"images": GREY, "labels": 0}, r"labels: found the shape \(\)"),
        ({"images": GREY, "labels": np.zeros(4, "M8[s]")}, "labels: found datetime64"),
        ({"images": GREY, "labels": np.zeros(4, "i4,i4")}, "labels: found"),
        ({"images": GREY, "labels": [0, 1, 0, 1], "parts": [0, 1, 2, 2]}, "parts: found .* int64"),
        ({"x_train": GREY, "y_train": [0, 1, 0, 1], "x_test": GREY}, "found x_test without y_test"),
        ({"x_train": GREY, "y_train": [0, 1, 0, 1], "x_test": GREY, "y_test": list("abab")},
         "some labels are whole numbers and some are class names"),
        ({"train_images": GREY, "train_labels": np.zeros((4, 14), np.uint8)},
         "train_labels: found 14 labels an image, expected one"),
        ({"train_images": GREY}, "found train_images without train_labels"),
        ({"train_images": GREY[None], "train_labels": [[0]]}, "train_images: found uint8 of shape"),
        ({"pixels": GREY}, "found the arrays pixels, expected images and labels, or x_train"),
    ],
)  # fmt: skip
def test_refuses_by_field(tmp_path: Path, arrays: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=rf"set\.npz.*{message}"):
        read(tmp_path, **arrays)


def test_refuses_pickled_objects(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"set\.npz: can't be read as \.npz .*plain arrays"):
        read(tmp_path, images=GREY, labels=np.array([0, "a", None, 1], object))


def test_arrays_of_other_names_are_not_read(tmp_path: Path) -> None:
    odd = np.array([0, None], object)
    assert read(tmp_path, images=GREY, labels=[0, 1, 0, 1], about=odd).classes == ("0", "1")


def test_names_of_classes_and_parts_in_bytes_and_in_any_script(tmp_path: Path) -> None:
    classes = np.array(["café", "日本"])
    parts = [b"training", b"dev", b"testing", b""]
    records = read(tmp_path, images=GREY, labels=[1, 0, 1, 1], parts=parts,
                   classes=np.char.encode(classes, "utf-8"))  # fmt: skip
    assert records.classes == ("café", "日本")
    assert records.parts.tolist() == ["train", "validation", "test", ""]
    assert read(tmp_path, images=GREY, labels=classes[[0, 1, 1, 0]]).classes == ("café", "日本")


@pytest.mark.parametrize("shape", ["(10000000000000, 28, 28)", "(-4, 6, 5)", "(4, 6, 500)",
                                   f"({'9' * 400}, 1, 1)", "(2, 6, 5)"])  # fmt: skip
def test_a_shape_that_the_bytes_do_not_fit_is_refused(tmp_path: Path, shape: str) -> None:
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    head = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    path = tmp_path / "set.npz"
    np.savez(path, labels=[0, 1, 0, 1])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("images.npy", head + GREY.tobytes())
    with pytest.raises(DataError, match=r"set\.npz: can't be read as \.npz \(images declares"):
        npz_source(path).read()


def test_a_member_that_is_no_array_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    np.savez(path, labels=[0, 1, 0, 1])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("images", b"text")
    with pytest.raises(DataError, match=r"can't be read as \.npz \(EOF: reading magic string"):
        npz_source(path).read()


@pytest.mark.parametrize(
    ("offset", "value", "reason"), [(8, 1, "is encrypted"), (10, 97, "compression .* supported")]
)
def test_encrypted_files_and_unknown_compression_are_refused(
    tmp_path: Path, offset: int, value: int, reason: str
) -> None:
    path = tmp_path / "set.npz"
    np.savez(path, images=GREY, labels=[0, 1, 0, 1])
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + offset] = value
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"set\.npz: can't be read as \.npz .*{reason}"):
        npz_source(path).read()


def test_refuses_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    path.write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(DataError, match=r"set\.npz: can't be read as \.npz"):
        npz_source(path).read()


def test_names_each_image_by_its_file_and_position(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", images=GREY, labels=[0, 1, 0, 1])
    assert list(npz_source(tmp_path / "set.npz").read().files[:2]) == [
        "set.npz, image 0", "set.npz, image 1",
    ]  # fmt: skip
    assert digits_source().read().files[3] == "digits, image 3"


def test_digits_reach_from_0_to_255() -> None:
    records = digits_source().read()
    pixels = stacked(records)
    assert pixels.shape == (1797, 8, 8)
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert set(np.unique(pixels)) == {round(v * 255 / 16) for v in range(17)}
    assert records.classes == tuple("0123456789")
    assert set(records.parts) == {""}
