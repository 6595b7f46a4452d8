"""The official archives: checksum first, then a restricted unpickler."""

import hashlib
import io
import pickle
import struct
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clearsight.data import archives
from clearsight.data.archives import (
    CIFAR10,
    CIFAR100,
    Layout,
    archive_source,
    extracted_source,
    is_extracted,
    unpickle,
)
from clearsight.errors import DataError
from tests.conftest import stacked


def python2_pickle(pixels: np.ndarray, labels: list[int]) -> bytes:
    """What Python 2's cPickle wrote, protocol 2: the official files' own form."""

    def text(value: bytes) -> bytes:
        return b"T" + struct.pack("<I", len(value)) + value

    def integer(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
        b"(K\x01" + integer(len(pixels)) + integer(3072) + b"\x86cnumpy\ndtype\n" + text(b"u1") +
        b"K\x00K\x01\x87R(K\x03" + text(b"|") + b"NNN" + integer(-1) + integer(-1) + b"K\x00tb"
        b"\x89" + text(pixels.tobytes()) + b"tb"
    )  # fmt: skip
    numbers = b"](" + b"".join(integer(label) for label in labels) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + numbers + b"u."


def batch(seed: int, labels: list[int]) -> tuple[np.ndarray, list[int]]:
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), 3072), np.uint8)
    return pixels, labels


def cifar10_files() -> dict[str, bytes]:
    files = {f"data_batch_{i}": python2_pickle(*batch(i, [0, 1])) for i in range(1, 6)}
    files["test_batch"] = python2_pickle(*batch(9, [1, 0]))
    files["batches.meta"] = pickle.dumps({"label_names": ["cat", "dog"]}, protocol=2)
    return files


def write_archive(path: Path, folder: str, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


Publish = Callable[[Layout, Path, dict[str, bytes]], None]


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Makes an archive and its files the published ones."""

    def make(layout: Layout, archive: Path, files: dict[str, bytes]) -> None:
        own = replace(
            layout,
            md5=hashlib.md5(archive.read_bytes()).hexdigest(),
            files={name: hashlib.md5(content).hexdigest() for name, content in files.items()},
        )
        monkeypatch.setitem(archives.LAYOUTS, layout.name, own)

    return make


def test_reads_cifar10(tmp_path: Path, publish: Publish) -> None:
    files = cifar10_files()
    path = write_archive(tmp_path / CIFAR10.archive, CIFAR10.folder, files)
    publish(CIFAR10, path, files)
    records = archive_source(path).read()
    assert records.classes == ("cat", "dog")
    assert records.labels.tolist() == [0, 1] * 5 + [1, 0]
    assert records.parts.tolist() == ["train"] * 10 + ["test"] * 2
    # Row 1 of batch 1: planes of red, green and blue, each of 32 rows of 32.
    row = batch(1, [0, 1])[0][1]
    image = records.images[1]
    assert isinstance(image, np.ndarray)
    assert image.shape == (32, 32, 3)
    assert image[3, 7].tolist() == [row[3 * 32 + 7], row[1024 + 3 * 32 + 7], row[2048 + 3 * 32 + 7]]
    assert records.locate(11).endswith("test_batch, image 1")
    assert (records.files[1], records.files[11]) == ("data_batch_1, image 1", "test_batch, image 1")


def test_reads_the_fine_labels_of_cifar100(tmp_path: Path, publish: Publish) -> None:
    def fine(seed: int, labels: list[int]) -> bytes:
        pixels, _ = batch(seed, labels)
        values = {"data": pixels, "fine_labels": labels, "coarse_labels": [0] * len(labels)}
        return pickle.dumps(values, protocol=2)

    names = {"fine_label_names": ["apple", "aster", "bear"], "coarse_label_names": ["thing"]}
    files = {
        "train": fine(0, [0, 1, 2]),
        "test": fine(1, [2, 1, 0]),
        "meta": pickle.dumps(names, protocol=2),
    }
    path = write_archive(tmp_path / CIFAR100.archive, CIFAR100.folder, files)
    publish(CIFAR100, path, files)
    records = archive_source(path).read()
    assert records.classes == ("apple", "aster", "bear")
    assert records.labels.tolist() == [0, 1, 2, 2, 1, 0]
    assert records.parts.tolist() == ["train"] * 3 + ["test"] * 3


def test_reads_the_extracted_folder_alike(tmp_path: Path, publish: Publish) -> None:
    files = cifar10_files()
    path = write_archive(tmp_path / CIFAR10.archive, CIFAR10.folder, files)
    publish(CIFAR10, path, files)
    folder = tmp_path / CIFAR10.folder
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    layout = archives.LAYOUTS["cifar10"]
    assert is_extracted(folder, layout)
    extracted, packed = extracted_source(folder, layout), archive_source(path)
    assert extracted.fingerprint == packed.fingerprint
    assert np.array_equal(stacked(extracted.read()), stacked(packed.read()))
    (folder / "test_batch").write_bytes(b"changed")
    with pytest.raises(DataError, match=r"test_batch: its MD5 checksum is .* extract"):
        extracted_source(folder, layout)


def test_refuses_another_checksum_before_reading(tmp_path: Path) -> None:
    path = tmp_path / "cifar-10-python.tar.gz"
    path.write_bytes(b"not even an archive")
    with pytest.raises(DataError, match=f"MD5 checksum is .*{CIFAR10.md5}.*download it again"):
        archive_source(path)


def test_reads_members_of_its_folder_only(tmp_path: Path, publish: Publish) -> None:
    files = cifar10_files()
    path = write_archive(tmp_path / "x.tar.gz", f"../{CIFAR10.folder}", files)
    publish(CIFAR10, path, files)
    with pytest.raises(DataError, match=r"data_batch_1, .* not found in its folder"):
        archive_source(path).read()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.tar.gz"]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"data": np.zeros((2, 100), np.uint8), "labels": [0, 1]}, "expected data"),
        ({"data": np.zeros((2, 3072), np.float32), "labels": [0, 1]}, "expected data"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [0]}, "expected data"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [0, 7]}, "found label 7"),
        ([], "expected data"),
    ],
)
def test_refuses_batches_of_another_form(
    tmp_path: Path, publish: Publish, values: object, found: str
) -> None:
    files = {**cifar10_files(), "data_batch_1": pickle.dumps(values, protocol=2)}
    path = write_archive(tmp_path / CIFAR10.archive, CIFAR10.folder, files)
    publish(CIFAR10, path, files)
    with pytest.raises(DataError, match=f"data_batch_1.*{found}"):
        archive_source(path).read()


class Call:
    """Unpickles as a call of `function`."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def test_refuses_a_pickle_that_calls_anything_else(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    evil = pickle.dumps({"data": Call(Path.touch, victim)}, protocol=2)
    with pytest.raises(DataError, match=r"evil: the pickle asks for .*do not use this file"):
        unpickle(evil, "evil")
    assert not victim.exists()


@pytest.mark.parametrize(
    "function",
    [b"cos\nsystem\n", b"cbuiltins\neval\n", b"cnumpy\nload\n", b"c_codecs\ndecode\n",
     b"cnumpy.core.multiarray\nfromfile\n", b"cnumpy._core.multiarray\nscalar\n"],
)  # fmt: skip
def test_admits_no_other_name(function: bytes) -> None:
    with pytest.raises(DataError, match="the pickle asks for"):
        unpickle(b"\x80\x02" + function + b"X\x04\x00\x00\x00true\x85R.", "evil")


def test_dotted_names_do_not_slip_through() -> None:
    with pytest.raises(DataError, match="the pickle asks for"):
        unpickle(b"\x80\x04\x8c\x05numpy\x8c\x0fndarray.__new__\x93.", "evil")


def test_codecs_encode_serves_latin1_only() -> None:
    assert unpickle(pickle.dumps(b"\x80\xff", protocol=2), "x") == b"\x80\xff"
    with pytest.raises(DataError, match="can't be unpickled"):
        unpickle(b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.", "x")


@pytest.mark.parametrize("content", [b"", b"\x80\x02}", b"garbage", b"\x80\x02}(K\x01u."])
def test_refuses_a_damaged_pickle(content: bytes) -> None:
    with pytest.raises(DataError, match="x: can't be unpickled"):
        unpickle(content, "x")
