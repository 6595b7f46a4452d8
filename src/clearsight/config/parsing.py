"""Raw tables to frozen dataclasses: one parser for TOML and flags, whatever the dataclass.

The fields say all there is to check: types, choices, and in their metadata the closed range.
"""

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any, Literal

from clearsight.errors import ConfigError


def setting(
    default: Any,
    meaning: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    show: bool = True,
) -> Any:
    """A dataclass field with its meaning, unit and closed range [`low`, `high`]."""
    about = {"help": meaning, "unit": unit, "low": low, "high": high, "show": show}
    return field(default=default, metadata=about)


def parse(cls: Any, table: Mapping[str, Any], where: str = "") -> Any:
    """`table` as a frozen `cls`; unknown keys, wrong types and values out of range are errors."""
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where}: found {table!r}, expected a table of settings")
    known = {f.name: f for f in dataclasses.fields(cls)}
    hints = typing.get_type_hints(cls)
    values = {}
    for key, value in table.items():
        place = f"{where}: {key}" if where.endswith(".toml") else f"{where}.{key}".lstrip(".")
        if key not in known:
            hint = did_you_mean(key, known)
            raise ConfigError(f"{place}: no such setting{hint}; known here: {', '.join(known)}")
        values[key] = _convert(value, hints[key], known[key].metadata, place)
    return cls(**values)


def parse_duration(text: str | float, where: str = "duration") -> float:
    """Seconds of the number 90, of `"90s"`, `"5m"`, `"1.5h"`; text must name its unit."""
    if isinstance(text, int | float) and not isinstance(text, bool):
        return float(text)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|m|min|h)\s*", str(text))
    if not match:
        raise ConfigError(
            f"{where}: found {text!r}, expected a duration with its unit, such as 90s, 5m or 1h"
        )
    return float(match[1]) * {"s": 1, "m": 60, "min": 60, "h": 3600}[match[2]]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _convert(value: Any, kind: Any, about: Mapping[str, Any], place: str) -> Any:
    options = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if type(None) in options:
        if value is None or value == "":
            return None
        kind = next(option for option in options if option is not type(None))
    if dataclasses.is_dataclass(kind):
        return parse(kind, value, place)
    if typing.get_origin(kind) is tuple:
        if ... not in typing.get_args(kind):
            return _convert_numbers(value, len(typing.get_args(kind)), about, place)
        return _convert_tuple(value, typing.get_args(kind)[0], place)
    if typing.get_origin(kind) is Literal:
        choices = typing.get_args(kind)
        if value not in choices:
            hint = did_you_mean(str(value), choices)
            raise ConfigError(
                f"{place}: found {value!r}{hint}, expected one of {', '.join(choices)}"
            )
        return value
    if about.get("unit") == "duration":
        value = parse_duration(value, place)
    return _in_range(_scalar(value, kind, place), about, place)


def _convert_tuple(value: Any, kind: Any, place: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{place}: found {value!r}, expected a list")
    if dataclasses.is_dataclass(kind):
        return tuple(parse(kind, item, f"{place}.{i}") for i, item in enumerate(value))
    return tuple(tuple(_scalar(v, int, place) for v in item) for item in value)


def _convert_numbers(
    value: Any, count: int, about: Mapping[str, Any], place: str
) -> tuple[float, ...]:
    """`count` numbers of a list, or of text such as `0.5,0.5,0.5`."""
    items = value.strip("[] ").split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or len(items) != count:
        raise ConfigError(f"{place}: found {value!r}, expected {count} numbers, as in 0.5,0.5,0.5")
    return tuple(_in_range(_scalar(item, float, place), about, place) for item in items)


def _scalar(value: Any, kind: Any, place: str) -> Any:
    """`value` as `kind`; flags arrive as text, TOML values typed. A float is never cut to int."""
    words: dict[Any, str] = {
        int: "a whole number",
        float: "a number",
        str: "text",
        bool: "true or false",
    }
    if kind is bool and str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    if isinstance(value, str) and kind in (int, float):
        try:
            value = kind(value)
        except ValueError:
            raise ConfigError(f"{place}: found {value!r}, expected {words[kind]}") from None
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise ConfigError(f"{place}: found {value!r}, expected {words[kind]}")
    return value


def _in_range(value: Any, about: Mapping[str, Any], place: str) -> Any:
    low, high = about.get("low"), about.get("high")
    # `not (>=)` also refuses NaN.
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        span = f"from {low} to {high}" if high is not None else f"{low} or more"
        unit = about.get("unit")
        unit = f" {unit}" if unit and unit != "duration" else ""
        raise ConfigError(f"{place}: found {value}, expected {span}{unit}")
    return value
