"""IDX files, written byte by byte as the MNIST database describes them."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from clearsight.data.sources import find_source, load_images
from clearsight.errors import DataError
from tests.conftest import stacked

PIXELS = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)


def images(pixels: np.ndarray = PIXELS) -> bytes:
    return b"\x00\x00\x08\x03" + struct.pack(">3I", *pixels.shape) + pixels.tobytes()


def labels(*values: int) -> bytes:
    return b"\x00\x00\x08\x01" + struct.pack(">I", len(values)) + bytes(values)


def write(folder: Path, **files: bytes) -> Path:
    """The files of a set: `train_images` is written as `train-images-idx3-ubyte`."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        axes = 3 if name.endswith("images") else 1
        (folder / f"{name.replace('_', '-')}-idx{axes}-ubyte").write_bytes(content)
    return folder


def mnist(folder: Path) -> Path:
    return write(
        folder,
        train_images=images(),
        train_labels=labels(7, 2, 10, 2, 7),
        t10k_images=images(PIXELS[:2]),
        t10k_labels=labels(2, 7),
    )


def test_a_folder_as_mnist_is_published(tmp_path: Path) -> None:
    source = find_source(str(mnist(tmp_path / "mnist")))
    records = source.read()
    assert source.name == "mnist"
    assert records.classes == ("2", "7", "10")  # as numbers, not as text
    assert records.labels.tolist() == [0, 1, 1, 0, 2, 0, 1]
    assert records.parts.tolist() == ["test"] * 2 + ["train"] * 5
    assert records.files[-1] == "train-images-idx3-ubyte, image 4"


def test_the_pixels_become_images(tmp_path: Path) -> None:
    loaded = load_images(str(mnist(tmp_path / "mnist")), size=4, fit="stretch")
    assert loaded.images.shape == (7, 4, 4, 3)
    records = find_source(str(tmp_path / "mnist")).read()
    assert np.array_equal(stacked(records)[records.parts == "train"], PIXELS)


def test_packed_files_are_the_same_data(tmp_path: Path) -> None:
    plain = find_source(str(mnist(tmp_path / "plain"))).read()
    packed = mnist(tmp_path / "packed")
    for path in list(packed.iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    both = find_source(str(packed)).read()  # each file twice, used once
    assert len(both.labels) == 7
    for path in list(packed.iterdir()):
        if path.suffix != ".gz":
            path.unlink()
    alone = find_source(str(packed)).read()
    assert np.array_equal(stacked(alone), stacked(plain))
    assert alone.labels.tolist() == both.labels.tolist() == plain.labels.tolist()


@pytest.mark.parametrize("what", ["images-idx3", "labels-idx1"])
def test_one_pair_by_either_of_its_files(tmp_path: Path, what: str) -> None:
    records = find_source(str(mnist(tmp_path / "mnist") / f"t10k-{what}-ubyte")).read()
    assert records.parts.tolist() == ["test"] * 2
    assert records.labels.tolist() == [0, 1]


def test_names_with_dots_and_in_front(tmp_path: Path) -> None:
    folder = tmp_path / "emnist"
    folder.mkdir()
    (folder / "emnist-letters-train-images.idx3-ubyte").write_bytes(images())
    (folder / "emnist-letters-train-labels.idx1-ubyte").write_bytes(labels(1, 2, 1, 2, 1))
    (folder / "._emnist-letters-train-images.idx3-ubyte").write_bytes(b"of macOS")
    assert find_source(str(folder)).read().parts.tolist() == ["train"] * 5


def test_what_misses_or_is_of_two_sets_is_refused(tmp_path: Path) -> None:
    alone = write(tmp_path / "alone", train_images=images())
    with pytest.raises(DataError, match=r"no file of labels beside it; put train-labels-idx1"):
        find_source(str(alone))
    only_labels = write(tmp_path / "labels", train_labels=labels(1))
    with pytest.raises(DataError, match="without its file of images"):
        find_source(str(only_labels))
    two = mnist(tmp_path / "two")
    write(two, kmnist_test_images=images(), kmnist_test_labels=labels(1, 2, 3, 4, 5))
    with pytest.raises(DataError, match=r"files of several data sets .*a folder of its own"):
        find_source(str(two))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train_images", b"no such file", "is no IDX file"),
        ("train_images", b"", "is no IDX file"),
        ("train_images", b"\x00\x00\x0d" + images()[3:], "found values of type 0x0d"),
        ("train_images", labels(1, 2, 3, 4, 5), "with 1 axes, expected"),
        ("train_images", images()[:-1], "its header declares 5 × 4 × 3 bytes"),
        ("train_images", images() + b"\0", "its header declares 5 × 4 × 3 bytes"),
        ("train_images", images()[:9], "its header declares 5 × 0 × 0 bytes"),
        ("train_images", b"\0\0\x08\x03" + b"\xff" * 12, "declares 4,294,967,295 × 4,294,967,295"),
        ("train_labels", labels(1, 2), "found 2 labels for the 5 images"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_damaged_files_are_named(
    tmp_path: Path, name: str, content: bytes, message: str, packed: bool
) -> None:
    folder = write(tmp_path / "mnist", train_images=images(), train_labels=labels(1, 2, 1, 2, 1))
    path = next(folder.glob(f"{name.replace('_', '-')}*"))
    path.write_bytes(content)
    if packed:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(content))
        path.unlink()
    with pytest.raises(DataError, match=rf"{path.name}.*{message}"):
        find_source(str(folder)).read()


def test_a_broken_download_is_named(tmp_path: Path) -> None:
    folder = mnist(tmp_path / "mnist")
    path = folder / "train-images-idx3-ubyte"
    (folder / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes())[:-12])
    path.unlink()
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz: can't be read .*again"):
        find_source(str(folder)).read()
