"""The shape of a split's manifest, checked before anything in it is used."""

import math
from collections.abc import Callable
from typing import Any, get_args

from clearsight.data.images import Fit
from clearsight.data.names import PARTS, printable
from clearsight.errors import DataError


def check_manifest(manifest: object) -> None:
    """Raises `DataError`, naming the key, for anything but a manifest as `splits.manifest` writes.

    Every key and type is checked, so that what follows meets neither a missing key nor depth.
    """
    table = _table(manifest, "", _KEYS)
    for part, counts in _table(table["counts"], "counts", PARTS).items():
        for name, count in _table(counts, f"counts.{part}", table["classes"]).items():
            _check(_is_count(count), f"counts.{part}.{name}", count, "a number of images")
    for name, value in _table(table["fractions"], "fractions", ("validation", "test")).items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        _check(is_number and 0 <= value < 1, f"fractions.{name}", value, "a number from 0 to 1")
    seen: set[str] = set()
    for part, value in _table(table["parts"], "parts", PARTS).items():
        place, content = (
            f"parts.{part}",
            _table(value, f"parts.{part}", ("how", "ids", "labels"), ("weights",)),
        )
        _check(isinstance(content["how"], str), f"{place}.how", content["how"], "text")
        ids, labels = content["ids"], content["labels"]
        _check(_is_list(ids, _is_text), f"{place}.ids", ids, "a list of image ids")
        _check(_is_list(labels, _is_count), f"{place}.labels", labels, "a list of whole numbers")
        _check(
            len(labels) == len(ids) and max(labels, default=0) < len(table["classes"]),
            f"{place}.labels",
            f"{len(labels):,} labels up to {max(labels, default=0)}",
            f"one for each of {len(ids):,} ids, below the number of classes",
        )
        weights = content.get("weights", [])
        _check(_is_list(weights, _is_weight), f"{place}.weights", weights, "a list of numbers")
        _check(
            "weights" not in content or len(weights) == len(ids),
            f"{place}.weights",
            f"{len(weights):,} weights",
            f"one for each of {len(ids):,} ids",
        )
        fresh = len(seen) + len(ids)
        seen.update(ids)
        _check(len(seen) == fresh, f"{place}.ids", "an id twice", "each id once")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_weight(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _is_list(value: object, fits: Callable[[object], bool]) -> bool:
    return isinstance(value, list) and all(map(fits, value))


_KEYS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "format": (_is_count, "a whole number"),
    "source": (_is_text, "text"),
    "size": (_is_count, "a number of pixels"),
    "fit": (lambda value: value in get_args(Fit), f"one of {', '.join(get_args(Fit))}"),
    "seed": (_is_count, "a whole number"),
    "subset": (lambda value: value is None or _is_count(value), "a number of images, or null"),
    "fractions": (lambda value: isinstance(value, dict), "a table"),
    "classes": (
        lambda value: _is_list(value, _is_text) and len(set(value)) == len(value),
        "a list of different names",
    ),
    "counts": (lambda value: isinstance(value, dict), "a table"),
    "parts": (lambda value: isinstance(value, dict), "a table"),
    "hash": (_is_text, "text"),
}


def _table(value: object, place: str, keys: Any, optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """`value` as a table of exactly these keys; of the top level, values are checked too."""
    _check(isinstance(value, dict), place or "the whole", value, "a table")
    assert isinstance(value, dict)
    prefix = f"{place}." if place else ""
    for key in keys:
        _check(key in value, f"{prefix}{key}", "nothing", "the key")
        if keys is _KEYS:
            fits, expected = _KEYS[key]
            _check(fits(value[key]), f"{prefix}{key}", value[key], expected)
    for key in value:
        _check(
            key in keys or key in optional,
            f"{prefix}{key}",
            "a key that is not known",
            "none of this name",
        )
    return value


def _check(holds: bool, place: str, found: object, expected: str) -> None:
    if not holds:
        told = found if isinstance(found, str | int | float) else f"a {type(found).__name__}"
        raise DataError(
            f"split manifest: {printable(place)[:80]}: found {printable(str(told)[:60])}, "
            f"expected {expected}; take the run's own split.json, unchanged"
        )
