"""Which images of a data set belong together: near duplicates, searched once and kept in the cache.

An entry is `clearsight/near-duplicates/<key>/pairs.npz` in the user's cache folder; the key is a
hash of the images' ids, in order, their size and fitting. Any of them may be deleted at any time.
"""

import hashlib
import io
import os
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from clearsight.data.images import ImageSet
from clearsight.errors import FileError
from clearsight.files import replacing
from clearsight.progress import SILENT, Progress
from clearsight.runtime.disk_cache import cache_folder, make_room

_FORMAT = 1
_FEWEST_CACHED = 500  # fewer are searched at once
_DISK = 1.0  # GiB


class Near(NamedTuple):
    """The near duplicates of a data set, as in `duplicates.NearDuplicates`."""

    pairs: np.ndarray
    similarity: np.ndarray
    uniform: bool
    note: str | None


def exact_groups(images: ImageSet) -> np.ndarray:
    """int64 [N], equal where the originals' pixels are: from the ids, without their `-2`."""
    return np.unique(images.ids.astype("S64"), return_inverse=True)[1]


def near_groups(images: ImageSet, progress: Progress = SILENT) -> np.ndarray:
    """int64 [N], equal for exact and near duplicates, and for what is connected by them."""
    from clearsight.data.duplicates import connected

    exact = exact_groups(images)
    pairs = find_near(images, progress).pairs
    count = int(exact.max(initial=-1)) + 1
    return connected(count, exact[pairs])[exact]


def joined(groups: np.ndarray, others: np.ndarray) -> np.ndarray:
    """int64 [N], equal for images that are connected by equal `groups` and equal `others`.

    Both int64 [N], `groups` from 0; where `others` is -1 it connects nothing.
    """
    from clearsight.data.duplicates import connected

    order = np.lexsort((groups, others))
    order = order[others[order] >= 0]
    same = others[order[1:]] == others[order[:-1]]
    pairs = np.stack([groups[order[:-1]], groups[order[1:]]], 1)[same]
    return connected(int(groups.max(initial=-1)) + 1, pairs)[groups]


def find_near(images: ImageSet, progress: Progress = SILENT) -> Near:
    """The near duplicates among all images, from the cache where they lie there."""
    entry = cache_folder("near-duplicates") / _key(images)
    if (known := _read(entry)) is not None:
        return known
    from clearsight.data.duplicates import near_duplicates

    found = near_duplicates(images.images, np.arange(len(images)), exact_groups(images), progress)
    near = Near(found.pairs, found.similarity, found.uniform, found.note)
    if len(images) >= _FEWEST_CACHED:
        _write(entry, near)
    return near


def near_training(
    images: ImageSet, train: np.ndarray, part: np.ndarray, progress: Progress = SILENT
) -> np.ndarray:
    """int64: which of the images at `part` have a near or exact duplicate at `train`.

    `train` and `part` are indices into `images`, the result is indices into `part`. A version of a
    version counts.
    """
    return np.flatnonzero(training_duplicates(images, train, part, progress) >= 0)


def training_duplicates(
    images: ImageSet, train: np.ndarray, part: np.ndarray, progress: Progress = SILENT
) -> np.ndarray:
    """int64 [P]: of each image at `part` a duplicate among those at `train`, -1 where it has none.

    All are indices into `images`. An exact duplicate comes before a near one, the most similar near
    one before a version of a version.
    """
    from clearsight.data.duplicates import connected

    exact, near = exact_groups(images), find_near(images, progress)
    count = int(exact.max(initial=-1)) + 1
    families = connected(count, exact[near.pairs])
    # Where an index comes twice, numpy keeps the last value: here that of the first training image,
    # and that of the most similar pair.
    trained, (copies, relatives) = train[::-1], np.full((2, count), -1, np.int64)
    copies[exact[trained]] = relatives[families[exact[trained]]] = trained
    found = relatives[families]
    links = exact[np.concatenate([near.pairs, near.pairs[:, ::-1]])]
    own, other = links[np.argsort(np.tile(near.similarity, 2), kind="stable")].T
    known = copies[other] >= 0
    found[own[known]] = copies[other[known]]
    return np.where(copies >= 0, copies, found)[exact[part]]


def first_of_pairs(pairs: np.ndarray, groups: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """int64 [P, 2]: `pairs` of images as indices into `positions`, -1 where none is there.

    An image stands for its exact duplicates: of those at `positions` the first is taken.
    """
    first = np.full(int(groups.max(initial=-1)) + 1, -1, np.int64)
    first[groups[positions[::-1]]] = np.arange(len(positions))[::-1]
    return first[groups[pairs]]


def _key(images: ImageSet) -> str:
    digest = hashlib.sha256(f"{_FORMAT} {images.size} {images.fit} ".encode())
    digest.update(np.ascontiguousarray(images.ids).data)
    return digest.hexdigest()[:32]


def _read(entry: Path) -> Near | None:
    try:
        with np.load(io.BytesIO((entry / "pairs.npz").read_bytes())) as found:
            pairs, similarity = found["pairs"], found["similarity"]
            uniform, note = bool(found["uniform"]), str(found["note"]) or None
        os.utime(entry / "pairs.npz")  # used: it goes last when room is made
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return Near(pairs, similarity, uniform, note)


def _write(entry: Path, near: Near) -> None:
    size = near.pairs.nbytes + near.similarity.nbytes + 2_000
    # Without a cache they are searched again: that takes time, and nothing else.
    with suppress(FileError, OSError):
        if make_room([entry], size, _DISK):
            with replacing(entry / "pairs.npz") as path, path.open("wb") as file:
                np.savez(
                    file,
                    pairs=near.pairs,
                    similarity=near.similarity,
                    uniform=np.array(near.uniform),
                    note=np.array(near.note or ""),
                )
