"""Manifests edited by hand: the key is named, and nothing but the project's error comes out."""

import copy
from typing import Any

import pytest

from clearsight.config.schema import DataConfig
from clearsight.data.images import ImageSet
from clearsight.data.manifests import check_manifest
from clearsight.data.splits import from_manifest, manifest, split
from clearsight.errors import DataError


@pytest.fixture
def kept(pets: ImageSet) -> dict[str, Any]:
    return manifest(pets, split(pets, DataConfig()), DataConfig())


def keys(table: dict[str, Any], above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    below = (keys(v, (*above, k)) for k, v in table.items() if isinstance(v, dict))
    return [*((*above, k) for k in table), *(key for found in below for key in found)]


def holder(table: dict[str, Any], key: tuple[str, ...]) -> dict[str, Any]:
    for name in key[:-1]:
        table = table[name]
    return table


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def test_every_key_may_miss_and_is_named(pets: ImageSet, kept: dict[str, Any]) -> None:
    every = keys(kept)
    assert ("parts", "test", "ids") in every
    assert ("counts", "train", "cat") in every
    for key in every:
        changed = copy.deepcopy(kept)
        del holder(changed, key)[key[-1]]
        with pytest.raises(DataError, match=rf"split manifest: {'.'.join(key)}: found nothing"):
            from_manifest(pets, changed)


@pytest.mark.parametrize(
    "value", [True, -1, 1.5, "x" * 10_000, [1.5], ["a", "a"], {"a": 1}, float("nan"), deep(100_000)]
)
def test_every_key_of_another_type_is_named(
    pets: ImageSet, kept: dict[str, Any], value: object
) -> None:
    for key in keys(kept):
        changed = copy.deepcopy(kept)
        holder(changed, key)[key[-1]] = value
        with pytest.raises(DataError) as caught:
            from_manifest(pets, changed)
        assert len(str(caught.value)) < 500
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("value", [None, 3, "text", [], deep(100_000), {}])
def test_what_is_no_table_is_refused(value: object) -> None:
    with pytest.raises(DataError, match=r"split manifest: (the whole|format): found"):
        check_manifest(value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (("classes",), ["cat", "cat"], "classes: found a list, expected a list of different names"),
        (("extra",), deep(100_000), "extra: found a key that is not known"),
        (("parts", "test", "labels"), [5, 0], "labels: found 2 labels up to 5, expected one for"),
        (("parts", "test", "labels"), [2**70, 0], "labels: found a list, expected a list of whole"),
        (("parts", "test", "ids"), ["a", "a"], "ids: found an id twice"),
        (("fractions", "test"), 1.0, "fractions.test: found 1.0, expected a number from 0 to 1"),
    ],
)
def test_contradictions_are_named(
    kept: dict[str, Any], key: tuple[str, ...], value: object, message: str
) -> None:
    holder(kept, key)[key[-1]] = value
    with pytest.raises(DataError, match=message):
        check_manifest(kept)
