"""Nested tables as flat ones, under the dotted names that flags have."""

import json
from collections.abc import Mapping
from typing import Any


def flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables and lists of tables as {dotted name: value}: `phases.0.lr`; None is left out.

    A list of anything else becomes JSON text.
    """
    values: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            values |= flatten(value, f"{name}.")
        elif isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
            values |= flatten({str(k): item for k, item in enumerate(value)}, f"{name}.")
        elif isinstance(value, list):
            values[name] = json.dumps(value)
        elif value is not None:
            values[name] = value
    return values


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """{dotted name: (value in `a`, value in `b`)} of what differs, sorted; None: not there."""
    left, right = flatten(a), flatten(b)
    pairs = {key: (left.get(key), right.get(key)) for key in sorted(left.keys() | right.keys())}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}
