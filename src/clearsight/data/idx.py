"""IDX files: the images and labels of MNIST, and of the sets made like it.

Source: Y. LeCun, C. Cortes and C. Burges, "The MNIST database of handwritten digits", 1998, "FILE
FORMATS FOR THE MNIST DATABASE".
"""

import gzip
import json
import re
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from clearsight.data.names import class_names, listed, parts_in, printable
from clearsight.data.records import Records, Source, class_labels, file_digests
from clearsight.data.walking import scan
from clearsight.errors import DataError

# train-images-idx3-ubyte, t10k-labels.idx1-ubyte.gz, emnist-digits-test-images-idx3-ubyte.gz
_NAME = re.compile(r"(?P<front>.*?)(?P<what>images|labels)[-.]idx\d-[a-z]+(?:\.gz)?", re.IGNORECASE)
_TEST = "t10k"  # what MNIST calls its test part
_BYTES = 0x08  # the type code of unsigned bytes
_MOST = 4 * 2**30  # bytes of one file, unpacked
_RATIO = 1100  # deflate makes a file 1,032 times smaller at most


class _Pair(NamedTuple):
    part: str
    images: Path
    labels: Path


def idx_folder(folder: Path) -> Source | None:
    """The IDX files in a folder as one data set; None where it holds none.

    Raises `DataError` for images without labels, and for the files of several data sets.
    """
    found = _beside(folder)
    if not found:
        return None
    whole = [path for path in found if path.suffix.lower() != ".gz"]
    names = {path.name for path in whole}  # beside the same file as it was downloaded
    files = whole + [path for path in found if path not in whole and path.stem not in names]
    pairs = [_pair(path, files) for path in files if _told(path)["what"].lower() == "images"]
    place = printable(folder)
    if not pairs:
        raise DataError(f"{place}: found {printable(files[0].name)} without its file of images")
    fronts = {_without_part(pair.images) for pair in pairs}
    if len(fronts) > 1 or len({pair.part for pair in pairs}) < len(pairs):
        shown = listed(printable(pair.images.name) for pair in pairs)
        raise DataError(
            f"{place}: found the IDX files of several data sets ({shown}); put each data set into "
            "a folder of its own, or name one of the files of images as the source"
        )
    return _source(pairs, printable(folder.resolve().name))


def idx_source(path: Path) -> Source:
    """A file of images, uint8 [N, H, W], with the file of labels beside it, uint8 [N].

    `path` is either of the two, as published or unpacked; `train`, `test` and `t10k` in its name
    tell the part. The classes are the labels in use, as numbers.
    """
    files = _beside(path.parent)
    if _told(path)["what"].lower() == "labels":
        front = _told(path)["front"]
        of_images = [other for other in files if _is(other, front, "images")]
        if not of_images:
            raise DataError(f"{printable(path)}: there is no file of images beside these labels")
        path = of_images[0]
    return _source([_pair(path, files)], printable(path.name.split(".")[0]))


def is_idx(path: Path) -> bool:
    """Whether a file is called as IDX files are: `train-images-idx3-ubyte`, `….gz`."""
    return _NAME.fullmatch(path.name) is not None and not path.name.startswith(".")


def _beside(folder: Path) -> list[Path]:
    paths = (Path(entry.path) for entry in scan(folder))
    return [path for path in paths if is_idx(path) and path.is_file()]


def _told(path: Path) -> re.Match[str]:
    found = _NAME.fullmatch(path.name)
    assert found is not None, path
    return found


def _is(path: Path, front: str, what: str) -> bool:
    told = _told(path)
    return told["front"].lower() == front.lower() and told["what"].lower() == what


def _pair(images: Path, files: Sequence[Path]) -> _Pair:
    front = _told(images)["front"]
    labels = [path for path in files if _is(path, front, "labels")]
    if not labels:
        raise DataError(
            f"{printable(images)}: there is no file of labels beside it; put "
            f"{printable(front)}labels-idx1-ubyte there"
        )
    parts = {"test"} if _TEST in front.lower() else parts_in(front)
    return _Pair(parts.pop() if len(parts) == 1 else "", images, labels[0])


def _without_part(path: Path) -> tuple[str, ...]:
    """The words of a file's name that tell no part: those of one data set have the same."""
    words = re.split(r"[-_.]", _told(path)["front"].lower())
    return tuple(word for word in words if word and word != _TEST and not parts_in(word))


def _source(pairs: Sequence[_Pair], name: str) -> Source:
    files = [file for pair in pairs for file in (pair.images, pair.labels)]
    content = [[pair.part for pair in pairs], file_digests(files)]
    return Source(name=name, fingerprint=json.dumps(content), read=lambda: _read(pairs))


def _read(pairs: Sequence[_Pair]) -> Records:
    images: list[np.ndarray] = []
    values: list[np.ndarray] = []
    places: list[str] = []
    for pair in pairs:
        pixels, labels = _array(pair.images, 3), _array(pair.labels, 1)
        if len(pixels) != len(labels):
            raise DataError(
                f"{printable(pair.labels)}: found {len(labels):,} labels for the {len(pixels):,} "
                f"images of {printable(pair.images.name)}; download both again"
            )
        images += list(pixels)
        values.append(labels)
        places += [f"{printable(pair.images)}, image {i}" for i in range(len(pixels))]
    place = f"{printable(pairs[0].labels)}: labels"
    labels, distinct = class_labels(np.concatenate(values), place)
    counts = [len(of_part) for of_part in values]
    folder = f"{printable(pairs[0].images.parent)}/"
    return Records(
        images=images,
        labels=labels,
        classes=class_names(distinct, place),
        parts=np.repeat(np.array([pair.part for pair in pairs], "U10"), counts),
        locate=places.__getitem__,
        files=[place.removeprefix(folder) for place in places],
    )


def _array(path: Path, dimensions: int) -> np.ndarray:
    """The array of an IDX file: uint8, of `dimensions` axes. Raises `DataError`."""
    place = printable(path)
    packed = path.suffix.lower() == ".gz"
    size = path.stat().st_size
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            head = file.read(4 + 4 * dimensions)
            if len(head) < 4 or head[:2] != b"\0\0":
                raise DataError(f"{place}: is no IDX file; download it again")
            if head[2] != _BYTES or head[3] != dimensions:
                raise DataError(
                    f"{place}: found values of type 0x{head[2]:02x} with {head[3]} axes, expected "
                    f"unsigned bytes (0x08) with {dimensions}"
                )
            shape = struct.unpack(f">{dimensions}I", head[4:].ljust(4 * dimensions, b"\0"))
            count = int(np.prod(shape, dtype=object))
            # Judged before anything is unpacked: a few bytes can declare anything.
            most = min(_MOST, size * _RATIO) if packed else size - len(head)
            content = file.read(count + 1) if 0 < count <= most else b""
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{place}: can't be read ({error}); download it again") from error
    if not content or len(content) != count:
        sides = " × ".join(f"{side:,}" for side in shape)
        raise DataError(
            f"{place}: its header declares {sides} bytes, which is not what it holds; "
            "download it again"
        )
    return np.frombuffer(content, np.uint8).reshape(shape)
