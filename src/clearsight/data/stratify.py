"""Stratified draws from ranked images: every class has its share, and groups stay whole."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from clearsight.data.images import ImageSet
from clearsight.errors import ConfigError, DataError

# Shares of a group by which it brings a part nearer to what it wants, the best groups first.
_WANTED_SHARES = (1.0, 0.8, 0.6, 0.4, 0.2)


def ranked(images: ImageSet, groups: np.ndarray, seed: int) -> np.ndarray:
    """All positions by rank; the images of a group stand side by side, by label.

    A group has the lowest rank of its images.
    """
    ranks = np.array(
        [hashlib.sha256(f"{seed} ".encode() + i[:64]).hexdigest() for i in images.ids.tolist()]
    )
    descending = np.argsort(ranks, kind="stable")[::-1]
    lowest = np.empty(int(groups.max(initial=-1)) + 1, np.int64)
    lowest[groups[descending]] = descending  # the last that is written stays
    return np.lexsort((images.ids, images.labels, ranks[lowest[groups]]))


def split_off(
    images: ImageSet,
    groups: np.ndarray,
    pool: np.ndarray,
    total: int,
    large: np.ndarray,
    part: str,
    *,
    reserve: int,
) -> tuple[np.ndarray, np.ndarray]:
    """(about `total` images, the others) of the ranked `pool`, at least one of each `large` class.

    `large`: bool [K], the classes to take from. Of each, images of `reserve` groups are left.
    Fewer than `total` where duplicates stand in the way; fewer or more where the source gives
    groups. Raises `DataError` where no class can be in both.
    """
    labels = images.labels[pool]
    different = different_images(images, groups, pool)
    large = large & (different > reserve)
    if not large.any():
        what = "different images" if images.groups is None else "groups of images"
        raise DataError(
            f"{images.name}: no class has {reserve + 1} {what}, which it takes to be in "
            f"{part} as well as in train; add images, or set data.{part} to 0"
        )
    counts = np.bincount(labels, minlength=len(large)) * large
    wanted = apportion(min(max(total, int(large.sum())), len(pool)), counts.tolist())
    member = groups[pool]
    starts = np.flatnonzero(np.append(True, member[1:] != member[:-1])).tolist()
    blocks = list(pairwise([*starts, len(pool)]))
    copies = [Counter(labels[start:stop].tolist()) for start, stop in blocks]
    taken = np.zeros(len(blocks), bool)

    def nearer(block: int) -> int:
        """By how many images a group brings the part nearer to what is wanted of its classes."""
        return sum(abs(wanted[k]) - abs(wanted[k] - n) for k, n in copies[block].items())

    def may_go(block: int) -> bool:
        return not taken[block] and all(different[k] > reserve for k in copies[block])

    def take(block: int) -> None:
        taken[block] = True
        for k, count in copies[block].items():
            wanted[k] -= count
            different[k] -= 1

    # Duplicates of one image are seldom more than one: all of them are wanted, or none is taken.
    # Of the groups that the source gives, hardly any may be wanted as a whole: then those follow of
    # which most images are, and for a class that has none by then the one that does least harm.
    for least in (1.0,) if images.groups is None else _WANTED_SHARES:
        if max(wanted) <= 0:
            break
        for block in range(len(blocks)):
            if may_go(block) and nearer(block) >= least * copies[block].total():
                take(block)
    if images.groups is not None:
        for k in np.flatnonzero(large).tolist():
            holders = [block for block in range(len(blocks)) if copies[block][k]]
            possible = [block for block in holders if may_go(block)]
            if possible and not taken[holders].any():
                take(max(possible, key=nearer))
    chosen = np.repeat(taken, [stop - start for start, stop in blocks])
    return pool[chosen], pool[~chosen]


def grouped_folds(labels: np.ndarray, groups: np.ndarray, folds: int) -> np.ndarray:
    """int64 [N]: the fold of each image, 0 … `folds`-1, no group in two, classes spread evenly.

    `labels` int64 [N]; `groups` int64 [N], -1 for an image on its own. Groups are dealt out the
    largest first, then in the order given, each to the fold that has the smallest share of its
    classes so far.
    """
    alone = np.flatnonzero(groups < 0)
    groups = groups.copy()
    groups[alone] = groups.max(initial=-1) + 1 + np.arange(len(alone))
    _, first, member = np.unique(groups, return_index=True, return_inverse=True)
    counts = np.zeros((len(first), int(labels.max(initial=-1)) + 1))
    np.add.at(counts, (member, labels), 1)
    of_class = np.maximum(counts.sum(0), 1)
    found = np.empty(len(first), np.int64)
    filled = np.zeros((folds, counts.shape[1]))
    for group in np.lexsort((first, -counts.sum(1))).tolist():
        share = (filled / of_class) @ counts[group]
        found[group] = fold = np.lexsort((filled.sum(1), share))[0]
        filled[fold] += counts[group]
    return found[member]


def different_images(images: ImageSet, groups: np.ndarray, pool: np.ndarray) -> np.ndarray:
    """int64 [K]: how many different images, or groups, of each class are in the ranked `pool`."""
    member, labels = groups[pool], images.labels[pool]
    first = np.append(True, (member[1:] != member[:-1]) | (labels[1:] != labels[:-1]))
    return np.bincount(labels[first[: len(labels)]], minlength=len(images.classes))


def draw_subset(images: ImageSet, pool: np.ndarray, total: int) -> np.ndarray:
    """`total` images of the ranked `pool`, by class. Raises `ConfigError` where it has fewer."""
    if total > len(pool):
        raise ConfigError(
            f"data.subset: found {total:,}, but {images.name} has only {len(pool):,} images to "
            "draw from; lower it or leave it out"
        )
    labels = images.labels[pool]
    counts = np.bincount(labels, minlength=len(images.classes)).tolist()
    chosen = [
        np.flatnonzero(labels == k)[:share] for k, share in enumerate(apportion(total, counts))
    ]
    return pool[np.sort(np.concatenate(chosen))]


def apportion(total: int, counts: Sequence[int]) -> list[int]:
    """Shares of `total` in proportion to `counts` (Hamilton's method of largest remainders).

    Ties go to the first. Where `total` suffices, nobody who has something gets nothing: the largest
    share gives.
    """
    whole = max(1, sum(counts))
    shares = [total * count // whole for count in counts]
    by_remainder = sorted(range(len(counts)), key=lambda k: -(total * counts[k] % whole))
    for k in by_remainder[: total - sum(shares)]:
        shares[k] += 1
    for k, count in enumerate(counts):
        if count and not shares[k] and max(shares) > 1:
            shares[shares.index(max(shares))] -= 1
            shares[k] = 1
    return shares
