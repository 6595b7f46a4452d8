"""CIFAR-10 and CIFAR-100 as published: an archive of pickles, read without trusting them.

The checksum comes first; then an unpickler that admits only what these files need. Members are read
straight from the archive, nothing is extracted.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009;
https://www.cs.toronto.edu/~kriz/cifar.html
"""

import io
import pickle
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from clearsight.data.names import printable
from clearsight.data.records import Records, Source, check_labels, file_digests
from clearsight.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One published archive. `md5` is its checksum, `files` maps each member to its own."""

    name: str
    archive: str
    md5: str
    folder: str
    files: Mapping[str, str]
    meta: str
    label_names: str
    labels: str


CIFAR10 = Layout(
    name="cifar10",
    archive="cifar-10-python.tar.gz",
    md5="c58f30108f718f92721af3b95e74349a",
    folder="cifar-10-batches-py",
    files={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
        "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    },
    meta="batches.meta",
    label_names="label_names",
    labels="labels",
)
CIFAR100 = Layout(
    name="cifar100",
    archive="cifar-100-python.tar.gz",
    md5="eb9058c3a382ffc7106e4002c42a8d85",
    folder="cifar-100-python",
    files={
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        "meta": "7973b15100ade9c7d40fb424638fde48",
    },
    meta="meta",
    label_names="fine_label_names",
    labels="fine_labels",
)
LAYOUTS = {layout.name: layout for layout in (CIFAR10, CIFAR100)}


def is_published(path: Path) -> bool:
    """Whether a file is an official archive, or is called like one."""
    if any(path.name == layout.archive for layout in LAYOUTS.values()):
        return True
    if not path.name.endswith((".tar.gz", ".tgz")):
        return False
    return file_digests([path], "md5")[0] in {layout.md5 for layout in LAYOUTS.values()}


def archive_source(path: Path) -> Source:
    """An official archive. Raises `DataError` where the checksum is none of the published."""
    (md5,) = file_digests([path], "md5")
    layout = next((known for known in LAYOUTS.values() if known.md5 == md5), None)
    if layout is None:
        published = ", ".join(f"{known.md5} ({known.archive})" for known in LAYOUTS.values())
        raise DataError(
            f"{path}: its MD5 checksum is {md5}, expected one of {published}; download it again"
        )
    return Source(
        name=layout.name,
        fingerprint=f"md5 {md5}",
        read=lambda: _records(_members(path, layout), layout, path),
    )


def is_extracted(folder: Path, layout: Layout) -> bool:
    """Whether `folder` holds the files of an official archive."""
    return all((folder / file).is_file() for file in layout.files)


def extracted_source(folder: Path, layout: Layout) -> Source:
    """An extracted official archive. Raises `DataError` for a file with another checksum."""
    files = [folder / file for file in layout.files]
    for file, found in zip(files, file_digests(files, "md5"), strict=True):
        expected = layout.files[file.name]
        if found != expected:
            raise DataError(
                f"{file}: its MD5 checksum is {found}, expected {expected}; "
                "extract the archive again"
            )
    return Source(
        name=layout.name,
        fingerprint=f"md5 {layout.md5}",
        read=lambda: _records({file.name: file.read_bytes() for file in files}, layout, folder),
    )


def _members(path: Path, layout: Layout) -> dict[str, bytes]:
    """The bytes of the archive's members that the layout knows, by their bare name."""
    members = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                place = PurePosixPath(member.name)
                known = place.name in layout.files and str(place.parent) == layout.folder
                content = archive.extractfile(member) if known and member.isfile() else None
                if content is not None:
                    members[place.name] = content.read()
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise DataError(
            f"{path}: can't be read as a tar.gz archive ({error}); download it again"
        ) from error
    missing = [file for file in layout.files if file not in members]
    if missing:
        raise DataError(
            f"{path}: {', '.join(missing)} not found in its folder {layout.folder}; "
            "download it again"
        )
    return members


def _records(members: Mapping[str, bytes], layout: Layout, path: Path) -> Records:
    meta = unpickle(members[layout.meta], f"{path}: {layout.meta}")
    batches = [file for file in layout.files if file != layout.meta]
    pixels, labels, parts, names = [], [], [], []
    for file in batches:
        place = f"{path}: {file}"
        batch = unpickle(members[file], place)
        images, values = _batch(batch, layout.labels, place)
        pixels.append(images)
        labels += values
        parts += ["test" if file.startswith("test") else "train"] * len(values)
        names += [f"{place}, image {i}" for i in range(len(values))]
    try:
        classes = tuple(str(name) for name in meta[layout.label_names])
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{path}: {layout.meta} holds no {layout.label_names}; download it again"
        ) from error
    all_labels = np.array(labels, np.int64)
    check_labels(all_labels, len(classes), names.__getitem__)
    return Records(
        images=[image for batch in pixels for image in batch],
        labels=all_labels,
        classes=classes,
        parts=np.array(parts, "U10"),
        locate=names.__getitem__,
        files=[name.removeprefix(f"{path}: ") for name in names],
    )


def _batch(batch: Any, labels: str, place: str) -> tuple[np.ndarray, list[int]]:
    """Pixels uint8 [N, 32, 32, 3] and N labels of one batch file."""
    data, values = (batch.get("data"), batch.get(labels)) if isinstance(batch, dict) else (0, 0)
    if not (
        isinstance(data, np.ndarray)
        and data.dtype == np.uint8
        and data.shape[1:] == (3072,)
        and isinstance(values, list)
        and len(values) == len(data)
        and all(isinstance(value, int) for value in values)
    ):
        raise DataError(
            f"{place}: expected data (uint8, N × 3072) and {labels} (N whole numbers), "
            "found something else; download it again"
        )
    # Each row is a red, a green and a blue plane.
    planes = data.reshape(-1, 3, 32, 32)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), values


def unpickle(content: bytes, place: str) -> Any:
    """The object in a pickle of plain values and numpy arrays.

    Raises `DataError`, naming `place`, for a pickle that asks for anything else: pickles can name
    any function to be called. Text of Python 2 is read as Latin-1.
    """
    try:
        return _Unpickler(io.BytesIO(content), place).load()
    except (
        pickle.UnpicklingError, ValueError, TypeError, KeyError, IndexError, AttributeError,
        EOFError, MemoryError, UnicodeError, OverflowError,
    ) as error:  # fmt: skip
        raise DataError(
            f"{place}: can't be unpickled ({printable(str(error))[:200]}); "
            "download the data set again"
        ) from error


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, place: str) -> None:
        super().__init__(file, encoding="latin1")
        self.place = place

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            asked = printable(f"{module}.{name}")[:200]
            raise DataError(
                f"{self.place}: the pickle asks for {asked}, which image data don't need; "
                "do not use this file"
            )
        return _ADMITTED[module, name]


def _latin1(text: str, encoding: str) -> bytes:
    """`_codecs.encode` as pickles of protocol 2 use it, for bytes."""
    if encoding != "latin1":
        raise ValueError(f"bytes encoded as {encoding!r}")
    return text.encode("latin1")


_reconstruct = np.empty(0).__reduce__()[0]
_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("_codecs", "encode"): _latin1,
}
