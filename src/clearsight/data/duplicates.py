"""Near duplicates: versions of the same photograph, as opposed to similar photographs.

Every image gets a perceptual hash: its grey values averaged to 8 × 8, without mean and contrast,
kept as 64 numbers rather than 64 bits, because bits are too coarse at 32 px. Pairs whose hashes
agree are compared at 32 × 32 by their edges: the lesser of the correlations of the horizontal and
of the vertical grey differences, over the whole image and over its centre. Similar photographs
share a rough layout, a horizon or a frame, but not all of these; recompressed, recoloured,
retouched or brightened versions of one photograph do. Mirrored, rotated or shifted versions are not
found.

The thresholds were set by eye on CIFAR-10's 60,000 images. Of the pairs whose edges agree to
0.5–0.6 every third is false; from 0.6 up, about five of the 223 test images found have a partner in
the training set that is another photograph. Comparing the centre removes images with equal frames:
all 17 pairs whose labels differ, and 19 of the other 1,076. Barz and Denzler 2020 (ciFAIR), who
searched by hand and also count shifted and very similar images, list 286 test images.
"""

from collections.abc import Iterator

import numpy as np
from threadpoolctl import threadpool_limits

HASH_SIDE = 8
EDGE_SIDE = 32
HASH_THRESHOLD = 0.9
EDGE_THRESHOLD = 0.6
CENTRE = slice(6, -6)
CENTRE_THRESHOLD = 0.4

# Scans of digits are alike by nature: where more than this share of all pairs agrees in its hash,
# rough likeness proves nothing, and only near identity counts.
UNIFORM_SHARE = 1e-3
UNIFORM_THRESHOLD = 0.97

MOST_CANDIDATES = 2_000_000


def near_duplicates(
    images: np.ndarray, positions: np.ndarray, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray, str | None]:
    """Pairs of near duplicates: (pairs int64 [P, 2], similarity float32 [P] in 0–1, note).

    `images`: uint8 [M, S, S, 3], of which those at `positions` (int64 [N]) are looked at; `groups`:
    int [N], equal for exact duplicates, whose pairs are left out. Pairs are indices into
    `positions`, the lower first. The note says so where the data set called for another threshold,
    or the search was stopped at `MOST_CANDIDATES`.
    """
    # The products are too small to share: with two busy cores the threads would mostly wait.
    with threadpool_limits(1, user_api="blas"):
        return _search(*_hash(images, positions), groups)


def _search(
    grey: np.ndarray, hashes: np.ndarray, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray, str | None]:
    hash_threshold, edge_threshold, note = HASH_THRESHOLD, EDGE_THRESHOLD, None
    if _share_alike(hashes) > UNIFORM_SHARE:
        hash_threshold = edge_threshold = UNIFORM_THRESHOLD
        note = (
            "the images are so alike that only pairs that agree to "
            f"{UNIFORM_THRESHOLD:.0%} count as near duplicates"
        )
    found = [(np.empty((0, 2), np.int64), np.empty(0, np.float32))]
    candidates = 0
    for block in _alike(hashes, hash_threshold):
        pairs = block[groups[block[:, 0]] != groups[block[:, 1]]]
        candidates += len(pairs)
        if candidates > MOST_CANDIDATES:
            note = (
                f"the search for near duplicates stopped after {MOST_CANDIDATES:,} pairs that "
                "look alike; there are more than those reported"
            )
            break
        similarity = _edge_similarity(grey, pairs)
        alike = similarity >= edge_threshold
        pairs, similarity = pairs[alike], similarity[alike]
        same = _edge_similarity(grey[:, CENTRE, CENTRE], pairs) >= CENTRE_THRESHOLD
        found.append((pairs[same], similarity[same]))
    return np.concatenate([p for p, _ in found]), np.concatenate([s for _, s in found]), note


def _hash(images: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(grey uint8 [N, 32, 32], hashes float32 [N, 64] of unit length)."""
    n, side = len(positions), images.shape[1]
    luma = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
    average = _averaging(side, EDGE_SIDE)
    cell = EDGE_SIDE // HASH_SIDE
    grey = np.empty((n, EDGE_SIDE, EDGE_SIDE), np.uint8)
    hashes = np.empty((n, HASH_SIDE**2), np.float32)
    for start in range(0, n, 1000):
        block = slice(start, start + 1000)
        values = images[positions[block]].astype(np.float32).reshape(-1, 3) @ luma
        values = values.reshape(-1, side, side)
        if side != EDGE_SIDE:
            values = average @ values @ average.T
        grey[block] = values.round()
        cells = values.reshape(-1, HASH_SIDE, cell, HASH_SIDE, cell).sum(4).sum(2)
        hashes[block] = cells.reshape(len(values), -1) / cell**2
    hashes -= hashes.mean(1, keepdims=True)
    # A flat image has no layout: its hash stays near zero, and agrees with none.
    hashes /= np.maximum(np.linalg.norm(hashes, axis=1, keepdims=True), 1.0)
    return grey, hashes


def _averaging(side: int, cells: int) -> np.ndarray:
    """float32 [cells, side]: the matrix that averages `side` pixels into `cells` by their area."""
    edges = np.arange(cells + 1) * side / cells
    pixels = np.arange(side)
    low = np.maximum(edges[:-1, None], pixels)
    high = np.minimum(edges[1:, None], pixels + 1)
    return (np.clip(high - low, 0, None) * cells / side).astype(np.float32)


def _share_alike(hashes: np.ndarray) -> float:
    """Share of all pairs whose hashes agree, from at most 2,000 evenly spaced images."""
    sample = hashes[:: max(1, len(hashes) // 2000)]
    n = len(sample)
    alike = int((sample @ sample.T > HASH_THRESHOLD).sum())
    # Of fewer than a hundred images, one pair of duplicates would be more than the share.
    return (alike - n) / (n * (n - 1)) if n >= 100 else 0.0


def _alike(hashes: np.ndarray, threshold: float) -> Iterator[np.ndarray]:
    """Blocks of pairs (int64 [P, 2]) whose hashes have a cosine above `threshold`.

    All pairs are compared; blocks that fit the processor's cache make that 3 s of one core for
    60,000 images.
    """
    n = len(hashes)
    transposed = np.ascontiguousarray(hashes.T)
    for row in range(0, n, 512):
        for column in range(row, n, 2048):
            cosine = hashes[row : row + 512] @ transposed[:, column : column + 2048]
            first, second = np.divmod(np.flatnonzero(cosine > threshold), cosine.shape[1])
            pairs = np.stack([first + row, second + column], axis=1)
            yield pairs[pairs[:, 0] < pairs[:, 1]]


def _edge_similarity(grey: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """float32 [P]: correlation of the edges, the lesser of horizontal and vertical."""
    similarity = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), 2000):
        block = pairs[start : start + 2000]
        a, b = grey[block[:, 0]].astype(np.float32), grey[block[:, 1]].astype(np.float32)
        across = _correlation(a[:, :, 2:] - a[:, :, :-2], b[:, :, 2:] - b[:, :, :-2])
        down = _correlation(a[:, 2:] - a[:, :-2], b[:, 2:] - b[:, :-2])
        similarity[start : start + 2000] = np.minimum(across, down)
    return similarity


def _correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """float32 [P]: cosine of each pair of maps, 0 where one is empty."""
    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.einsum("ij,ij->i", a, b) / np.maximum(lengths, 1e-6)
