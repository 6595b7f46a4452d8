"""Near duplicates: versions of the same photograph, as opposed to similar photographs.

Found are copies that were mirrored, shifted, cropped, padded, rescaled, recompressed, recoloured,
made grey or slightly turned. For every image the images with the closest descriptors
(`data.descriptors`) are looked up in an index; the candidates are laid onto each other pixel by
pixel (`data.alignment`), and those whose details agree are near duplicates. The index compares an
image with the √n cells' centres and with the images in the nearest of them, so time grows with
n^1.5.

`benchmarks/near_duplicates.py` measures recall on planted copies, and draws the pairs found.
"""

import os
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clearsight.data.alignment import align
from clearsight.data.descriptors import (
    LENGTH,
    SHIFTS,
    Projection,
    edges,
    fit_projection,
    mirrored,
    pooled,
    thumbnails,
)
from clearsight.progress import SILENT, Progress

UNIFORM_THRESHOLD = 0.97
"""Where images are alike by nature, rough likeness proves nothing."""

_MOST_DISTANT = 0.45  # squared distance of candidates' descriptors
_NEIGHBOURS = 8
_CELLS_PROBED = 8
_FEWEST_INDEXED, _FEWEST_LIMITED = 5_000, 200
_SMALLEST = 8  # px
_BLOCK, _COMPARED = 250, 2_000  # images and pairs that a thread works on at a time
_MOST_CANDIDATES, _ALWAYS_COMPARED = 4, 10_000  # pairs: per image, and of few images
_UNIFORM_SHARE, _LEAST_CLOSED = 0.1, 0.7
_FEWEST_PATHS, _MOST_PATHS = 30, 500


@dataclass(frozen=True, kw_only=True)
class NearDuplicates:
    """Pairs of near duplicates among N images.

    - `pairs`: int64 [P, 2], the lower first, in ascending order
    - `similarity`: float32 [P], 0–1
    - `mirrored`: bool [P], whether one is mirrored
    - `transform`: float32 [P, 3, 3], from the first image, mirrored where they are, to the second:
      places from -1 to 1
    - `uniform`: whether so many of the images are alike by nature, as scans of digits are, that
      only pairs that are nearly identical count
    - `note`: a sentence where that is so, or the search was cut short
    """

    pairs: np.ndarray
    similarity: np.ndarray
    mirrored: np.ndarray
    transform: np.ndarray
    uniform: bool = False
    note: str | None = None


def near_duplicates(
    images: np.ndarray, positions: np.ndarray, groups: np.ndarray, progress: Progress = SILENT
) -> NearDuplicates:
    """The near duplicates among the images at `positions` (int64 [N]) of `images`.

    `images`: uint8 [M, S, S, 3]; `groups`: int [N], equal for exact duplicates, of which only the
    first is looked at. Pairs are indices into `positions`; images under 8 px have too little detail
    to have any. Of an image with very many near
    duplicates not all pairs are found, but it is connected with them.
    """
    _, first = np.unique(groups, return_index=True)
    first = np.sort(first)
    if len(first) < 2 or images.shape[1] < _SMALLEST:
        return _none()
    with _workers() as workers:
        grey = thumbnails(images, positions[first])
        candidates, cut = _candidates(grey, workers, progress)
        found = _verified(grey, candidates, workers, progress)
        found = _without_lookalikes(grey, found)
    return replace(found, pairs=first[found.pairs], note=found.note or cut)


def connected(count: int, pairs: np.ndarray) -> np.ndarray:
    """int64 [count]: for each image the lowest index it is connected with by `pairs` [P, 2]."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), (count, count))
    _, component = connected_components(links, directed=False)
    lowest = np.full(count, count, np.int64)
    np.minimum.at(lowest, component, np.arange(count))
    return lowest[component]


@contextmanager
def _workers() -> Generator[ThreadPoolExecutor]:
    """A thread per core, each of which computes alone.

    The arrays are too small to share: threads of OpenMP would mostly wait for each other.
    """
    import faiss

    before = torch.get_num_threads(), faiss.omp_get_max_threads()

    def alone() -> None:
        torch.set_num_threads(1)
        faiss.omp_set_num_threads(1)

    alone()
    try:
        with ThreadPoolExecutor(os.cpu_count(), initializer=alone) as pool:
            yield pool
    finally:
        torch.set_num_threads(before[0])
        faiss.omp_set_num_threads(before[1])


# Candidates: int64 [C, 4], of the image, its neighbour, whether it was mirrored, which shift.


def _candidates(
    grey: np.ndarray, workers: ThreadPoolExecutor, progress: Progress
) -> tuple[np.ndarray, str | None]:
    import faiss

    projection = fit_projection(grey)
    n = len(grey)

    def describe(start: int) -> np.ndarray:
        return projection(pooled(edges(_block(grey, start))))

    descriptors = np.concatenate(list(workers.map(describe, range(0, n, _BLOCK))))
    if n < _FEWEST_INDEXED:
        index = faiss.IndexFlatL2(LENGTH)
    else:
        index = faiss.IndexIVFFlat(faiss.IndexFlatL2(LENGTH), LENGTH, round(n**0.5))
        index.cp.niter, index.cp.max_points_per_centroid, index.cp.seed = 8, 64, 0
        index.nprobe = _CELLS_PROBED
        index.train(descriptors)
    index.add(descriptors)

    def look_up(start: int) -> tuple[np.ndarray, np.ndarray]:
        return _neighbours(index, projection, _block(grey, start), start)

    found, distances = [], []
    with progress.task("looking for near duplicates", n, unit="images") as advance:
        for rows, distance in workers.map(look_up, range(0, n, _BLOCK)):
            found.append(rows)
            distances.append(distance)
            advance(min(_BLOCK, n))
    return _closest(np.concatenate(found), np.concatenate(distances), n)


def _neighbours(
    index: Any, projection: Projection, block: Tensor, start: int
) -> tuple[np.ndarray, np.ndarray]:
    """(candidates of the block's images, their squared distances float32)."""
    # Few images are no ground to say what is far.
    limit = _MOST_DISTANT if index.ntotal >= _FEWEST_LIMITED else np.inf
    maps = edges(block)
    rows, distances = [], []
    for s, shift in enumerate(SHIFTS):
        features = pooled(maps, shift)
        for is_mirrored in (0, 1):
            queries = projection(mirrored(features) if is_mirrored else features)
            distance, neighbour = index.search(queries, _NEIGHBOURS + 1)
            own = np.arange(start, start + len(block))[:, None]
            keep = (neighbour >= 0) & (neighbour != own) & (distance < limit)
            image, column = np.nonzero(keep)
            row = np.empty((len(image), 4), np.int64)
            row[:, 0], row[:, 1] = image + start, neighbour[image, column]
            row[:, 2], row[:, 3] = is_mirrored, s
            rows.append(row)
            distances.append(distance[keep])
    return np.concatenate(rows), np.concatenate(distances)


def _closest(rows: np.ndarray, distances: np.ndarray, n: int) -> tuple[np.ndarray, str | None]:
    """The closest candidate of each pair, and of those as many as will be compared."""
    low, high = rows[:, :2].min(1), rows[:, :2].max(1)
    key = (low * n + high) * 2 + rows[:, 2]
    order = np.lexsort((distances, key))
    once = order[np.append(True, key[order][1:] != key[order][:-1])[: len(order)]]
    most = max(_MOST_CANDIDATES * n, _ALWAYS_COMPARED)
    if len(once) <= most:
        return rows[once], None
    closest = np.argsort(distances[once], kind="stable")[:most]
    return rows[once[np.sort(closest)]], (
        f"so many images look alike that only the {most:,} closest pairs were compared for near "
        "duplicates; there may be more than those reported"
    )


def _verified(
    grey: np.ndarray, candidates: np.ndarray, workers: ThreadPoolExecutor, progress: Progress
) -> NearDuplicates:
    """Those of the candidates that are near duplicates."""

    def compare(start: int) -> NearDuplicates:
        return _compared(grey, candidates[start : start + _COMPARED])

    found = [_none()]
    with progress.task("comparing candidates", len(candidates), unit="pairs") as advance:
        for some in workers.map(compare, range(0, len(candidates), _COMPARED)):
            found.append(some)
            advance(_COMPARED)
    pairs, similarity, is_mirrored, transform = (
        np.concatenate([getattr(each, name) for each in found])
        for name in ("pairs", "similarity", "mirrored", "transform")
    )
    # A pair may be found as it is and mirrored: an image may be its own mirror image.
    order = np.lexsort((-similarity, pairs[:, 1], pairs[:, 0]))
    key = pairs[order]
    once = order[np.append(True, (key[1:] != key[:-1]).any(1))[: len(order)]]
    return NearDuplicates(
        pairs=pairs[once], similarity=similarity[once],
        mirrored=is_mirrored[once], transform=transform[once],
    )  # fmt: skip


def _compared(grey: np.ndarray, candidates: np.ndarray) -> NearDuplicates:
    image, neighbour = candidates[:, 0], candidates[:, 1]
    is_mirrored = candidates[:, 2] == 1
    a, b = (torch.from_numpy(grey[which]).float() for which in (image, neighbour))
    a[torch.from_numpy(is_mirrored)] = a[torch.from_numpy(is_mirrored)].flip(2)
    shift = -torch.tensor(SHIFTS)[candidates[:, 3]]
    shift[torch.from_numpy(is_mirrored), 0] *= -1
    aligned = align(a, b, shift, torch.from_numpy(is_mirrored))
    keep = (aligned.similarity >= aligned.required).numpy()
    pairs, transform = candidates[keep, :2], aligned.transform[torch.from_numpy(keep)]
    swap = pairs[:, 0] > pairs[:, 1]
    if swap.any():
        flip = torch.diag(torch.tensor([-1.0, 1.0, 1.0]))
        back = torch.linalg.inv(transform[torch.from_numpy(swap)])
        flipped = flip @ back @ flip
        both = torch.from_numpy(is_mirrored[keep][swap])[:, None, None]
        transform[torch.from_numpy(swap)] = torch.where(both, flipped, back)
    return NearDuplicates(
        pairs=np.sort(pairs, axis=1), similarity=aligned.similarity.numpy()[keep],
        mirrored=is_mirrored[keep], transform=transform.numpy(),
    )  # fmt: skip


def _without_lookalikes(grey: np.ndarray, found: NearDuplicates) -> NearDuplicates:
    """The pairs, without the merely alike where the images are alike by nature."""
    many = len(np.unique(found.pairs)) > _UNIFORM_SHARE * len(grey)
    if not many or _closed(grey, found.pairs) >= _LEAST_CLOSED:
        return found
    keep = found.similarity >= UNIFORM_THRESHOLD
    return NearDuplicates(
        pairs=found.pairs[keep], similarity=found.similarity[keep],
        mirrored=found.mirrored[keep], transform=found.transform[keep], uniform=True,
        note="the images are so alike by nature that only pairs that agree to "
        f"{UNIFORM_THRESHOLD:.0%} count as near duplicates",
    )  # fmt: skip


def _closed(grey: np.ndarray, pairs: np.ndarray) -> float:
    """The share of two images with a near duplicate in common that are near duplicates as well.

    Versions of one photograph are versions of each other; scans of digits form chains. 1 where too
    few images have two near duplicates.
    """
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[np.random.default_rng(0).permutation(len(both))]
    both = both[np.argsort(both[:, 0], kind="stable")]
    beside = np.flatnonzero(both[1:, 0] == both[:-1, 0])
    paths = np.stack([both[beside, 1], both[beside + 1, 1]], axis=1)
    if len(paths) < _FEWEST_PATHS:
        return 1.0
    paths = paths[:: -(-len(paths) // _MOST_PATHS)]
    rows = np.pad(paths.repeat(2, axis=0), ((0, 0), (0, 2)))
    rows[1::2, 2] = 1
    agree = np.unique(_compared(grey, rows).pairs, axis=0)
    return len(agree) / len(np.unique(np.sort(paths, axis=1), axis=0))


def _block(grey: np.ndarray, start: int) -> Tensor:
    return torch.from_numpy(grey[start : start + _BLOCK]).float()


def _none() -> NearDuplicates:
    return NearDuplicates(
        pairs=np.empty((0, 2), np.int64), similarity=np.empty(0, np.float32),
        mirrored=np.empty(0, bool), transform=np.empty((0, 3, 3), np.float32),
    )  # fmt: skip
