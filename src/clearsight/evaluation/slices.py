"""Slices: on which kinds of images a model is less accurate than on the others.

Kinds are classes, fifths of what can be measured of an image, and flags. Each slice is compared
with all other images by Fisher's exact test, one-sided, and the p values are corrected for how many
slices were looked at (Holm 1979): where no slice differs, one is called significant in at most 5 %
of evaluations, however the slices overlap.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from clearsight.evaluation.intervals import accuracy_interval
from clearsight.wording import percent

BINS = 5
UNITS = {"file size": " kB", "original size": " px"}
SIGNIFICANT = 0.05
_PIXELS = 2**22  # at a time


def properties(images: np.ndarray) -> dict[str, np.ndarray]:
    """What can be measured of each image, by name: float32 [N] each; `images`: uint8 [N, H, W, 3].

    - `brightness`: mean of the grey values (ITU-R BT.601), 0–255
    - `contrast`: their standard deviation
    - `sharpness`: standard deviation of their Laplacian over four neighbours
    - `colourfulness`: of Hasler and Süsstrunk 2003, 0 for grey to about 110
    """
    found: dict[str, list[np.ndarray]] = {
        name: [] for name in ("brightness", "contrast", "sharpness", "colourfulness")
    }
    rows = max(1, _PIXELS // max(1, images.shape[1] * images.shape[2]))
    for start in range(0, len(images), rows):
        red, green, blue = np.moveaxis(images[start : start + rows].astype(np.float32), 3, 0)
        grey = 0.299 * red + 0.587 * green + 0.114 * blue
        inner = grey[:, 1:-1, 1:-1]
        around = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
        red_green, yellow_blue = red - green, (red + green) / 2 - blue
        spread = np.hypot(red_green.std((1, 2)), yellow_blue.std((1, 2)))
        mean = np.hypot(red_green.mean((1, 2)), yellow_blue.mean((1, 2)))
        found["brightness"].append(grey.mean((1, 2)))
        found["contrast"].append(grey.std((1, 2)))
        found["sharpness"].append((around - 4 * inner).std((1, 2)))
        found["colourfulness"].append(spread + 0.3 * mean)
    return {name: np.concatenate([np.empty(0, np.float32), *v]) for name, v in found.items()}


def evaluate_slices(
    right: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    values: Mapping[str, np.ndarray],
    flags: Mapping[str, tuple[np.ndarray, str, str]],
) -> dict[str, Any]:
    """The content of `slices.json`, of N measured images.

    - `right`: bool [N]; `labels`: int [N], the true classes, of `classes`
    - `values`: float [N] by name, cut into fifths; images where a value is NaN are in none
    - `flags`: by name (bool [N], what images with it are, what those without it are)

    A slice has `property`, `images` (which ones, in words), `n`, `accuracy` with its 95 % interval,
    `rest` (the accuracy of all others), `p` and `p_corrected`. `worst` is the index of the least
    accurate significant one, or None.
    """
    right = np.asarray(right, bool)
    slices = cut(labels, classes, values, flags)
    n, wrong = len(right), int((~right).sum())
    sizes = np.array([len(chosen) for _, _, chosen in slices], np.int64)
    misses = np.array([int((~right[chosen]).sum()) for _, _, chosen in slices], np.int64)
    p = fisher_less(misses, sizes, wrong, n)
    corrected = holm(p)
    rows = [
        {
            "property": kind,
            "images": name,
            "n": int(size),
            "accuracy": accuracy_interval(int(size - missed), int(size)),
            "rest": (n - wrong - int(size - missed)) / (n - int(size)),
            "p": float(p[i]),
            "p_corrected": float(corrected[i]),
        }
        for i, ((kind, name, _), size, missed) in enumerate(
            zip(slices, sizes.tolist(), misses.tolist(), strict=True)
        )
    ]
    return {"n": n, "accuracy": (n - wrong) / max(1, n), "slices": rows, "worst": _worst(rows)}


Slice = tuple[str, str, np.ndarray]
"""The property, which images, in words, and which they are: int64 indices."""


def cut(
    labels: np.ndarray,
    classes: Sequence[str],
    values: Mapping[str, np.ndarray],
    flags: Mapping[str, tuple[np.ndarray, str, str]],
) -> list[Slice]:
    """The slices of N images, see `evaluate_slices`, without those that are empty or hold all."""
    slices = (
        *_by_class(labels, classes),
        *(each for name, value in values.items() for each in _by_value(name, value)),
        *(each for name, flag in flags.items() for each in _by_flag(name, *flag)),
    )
    return [each for each in slices if 0 < len(each[2]) < len(labels)]


def _worst(rows: Sequence[Mapping[str, Any]]) -> int | None:
    significant = [i for i, row in enumerate(rows) if row["p_corrected"] <= SIGNIFICANT]
    return min(
        significant, key=lambda i: (rows[i]["accuracy"]["value"], -rows[i]["n"]), default=None
    )


def slices_sentence(found: Mapping[str, Any]) -> str:
    """The worst slice that is significant, in words, or that there is none."""
    rows = found["slices"]
    looked = f"{len(rows):,} slices looked at"
    worst = _worst(rows)
    if worst is None:
        return f"no slice is significantly less accurate than the other images ({looked})"
    row = rows[worst]
    low, high = (f"{100 * row['accuracy'][key]:.2f}" for key in ("low", "high"))
    p = row["p_corrected"]
    return (
        f"worst slice: {row['images']}, accuracy {percent(row['accuracy']['value'])} "
        f"(95 % interval {low} to {high} %, n = {row['n']:,}), of the other images "
        f"{percent(row['rest'])}; p {'< 0.001' if p < 0.001 else f'= {p:.3f}'} corrected for "
        f"{looked}"
    )


def fisher_less(misses: np.ndarray, sizes: np.ndarray, wrong: int, n: int) -> np.ndarray:
    """float64 [S]: p of each slice under equal accuracy, one-sided (Fisher's exact test).

    The probability that of `wrong` mistakes among `n` images at least `misses` fall into a slice of
    `sizes` images.
    """
    from scipy.stats import hypergeom

    return np.minimum(hypergeom.sf(misses - 1, n, wrong, sizes), 1.0)


def holm(p: np.ndarray) -> np.ndarray:
    """float64 [S]: p values that hold for all S tests at once (Holm 1979)."""
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def _by_class(labels: np.ndarray, classes: Sequence[str]) -> Iterator[Slice]:
    order = np.argsort(labels, kind="stable")
    ends = np.searchsorted(labels[order], np.arange(len(classes) + 1))
    for k, name in enumerate(classes):
        yield "class", f"class {name}", order[ends[k] : ends[k + 1]]


def _by_value(name: str, values: np.ndarray) -> Iterator[Slice]:
    """Fifths of the images by a value; where it has few different values, equal ones together."""
    known, unit = np.flatnonzero(np.isfinite(values)), UNITS.get(name, "")
    if not len(known):
        return
    found = values[known].astype(np.float64)
    distinct = np.unique(found)
    if len(distinct) <= BINS:
        for value in distinct:
            yield name, f"{name} {value:,.4g}{unit}", known[found == value]
        return
    # Between values that occur, so that equal ones fall on one side.
    cuts = np.unique(np.quantile(found, np.arange(1, BINS) / BINS, method="lower"))
    place = np.searchsorted(cuts, found, side="left")
    for k in range(len(cuts) + 1):
        if k == 0:
            words = f"{name} up to {cuts[0]:,.4g}{unit}"
        elif k == len(cuts):
            words = f"{name} over {cuts[-1]:,.4g}{unit}"
        else:
            words = f"{name} over {cuts[k - 1]:,.4g} up to {cuts[k]:,.4g}{unit}"
        yield name, words, known[place == k]


def _by_flag(name: str, flag: np.ndarray, with_it: str, without: str) -> Iterator[Slice]:
    yield name, with_it, np.flatnonzero(flag)
    yield name, without, np.flatnonzero(~flag)
