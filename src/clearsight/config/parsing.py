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

from clearsight.errors import ConfigError, shown
from clearsight.progress import SILENT, Progress

YEAR = 366 * 24 * 3600.0
LONGEST_TEXT = 4096  # characters, as of a path
HIGHEST = 10**9  # of numbers whose field says no more
SEED = 2**32 - 1  # the highest that NumPy takes
_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
}


def setting(
    default: Any,
    meaning: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float = HIGHEST,
    show: bool = True,
    was: str = "",
) -> Any:
    """A dataclass field with its meaning, unit and closed range [`low`, `high`].

    `was` is its name before it was renamed: still read until 1.0, and what the recipe hash is over.
    """
    metadata = {
        "help": meaning, "unit": unit, "low": low, "high": high, "show": show, "was": was,
    }  # fmt: skip
    return field(default=default, metadata=metadata)


def parse(cls: Any, table: Mapping[str, Any], path: str = "", progress: Progress = SILENT) -> Any:
    """`table` as a frozen `cls`; unknown keys, wrong types and values out of range are errors.

    `path` is what errors put before a key: the recipe's file, or the table's dotted name. A setting
    under its former name is read, and `progress` told of the new one.
    """
    if not isinstance(table, Mapping):
        raise ConfigError(f"{path}: found {shown(table)}, expected a table of settings")
    known = {f.name: f for f in dataclasses.fields(cls)}
    renamed = former_names(cls)
    hints = typing.get_type_hints(cls)
    values = {}
    # In a file's top table the file is no part of the setting's name.
    prefix = f"{path}: " if path.endswith(".toml") else f"{path}.".lstrip(".")
    for key, value in table.items():
        name = f"{prefix}{key}"
        if key in renamed:
            new = renamed[key]
            if new in table:
                raise ConfigError(f"{name}: found beside {new}, its new name; remove {key}")
            progress.say(f"{name}: this setting is called {new} now; {key} is read until 1.0")
            key = new  # noqa: PLW2901
        if key not in known:
            raise ConfigError(
                f"{shown(name)[1:-1]}: no such setting{did_you_mean(key, known)}; "
                f"known here: {', '.join(known)}"
            )
        values[key] = _convert(value, hints[key], known[key].metadata, name, progress)
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(f"{prefix}{error}") from None


def former_names(cls: Any) -> dict[str, str]:
    """Former → present name of each renamed setting of `cls`."""
    return {f.metadata["was"]: f.name for f in dataclasses.fields(cls) if f.metadata.get("was")}


def parse_duration(text: str | float, path: str = "duration") -> float:
    """Seconds of the number 90, of `"90s"`, `"5m"`, `"1.5h"`, at most a year.

    Text must name its unit.
    """
    if isinstance(text, int | float) and not isinstance(text, bool):
        return _in_range(_scalar(text, float, path), {"low": 0, "high": YEAR, "unit": "s"}, path)
    match = re.fullmatch(r"\s*(\d{1,20}(?:\.\d{1,20})?)\s*(s|m|min|h)\s*", str(text)[:50])
    if not match:
        raise ConfigError(
            f"{path}: found {shown(text)}, expected a duration with its unit, such as 90s, 5m or 1h"
        )
    seconds = float(match[1]) * {"s": 1, "m": 60, "min": 60, "h": 3600}[match[2]]
    return _in_range(seconds, {"low": 0, "high": YEAR, "unit": "s"}, path)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'size'?)` for a name close to a known one, else nothing."""
    # What is much longer than any name is no slip of the pen, and slow to compare.
    close = difflib.get_close_matches(word, list(known), n=1) if len(word) <= 100 else []
    return f" (did you mean {close[0]!r}?)" if close else ""


def _convert(
    value: Any, kind: Any, metadata: Mapping[str, Any], path: str, progress: Progress
) -> Any:
    options = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if type(None) in options:
        if value is None or (isinstance(value, str) and value == ""):
            return None
        kind = next(option for option in options if option is not type(None))
    if dataclasses.is_dataclass(kind):
        return parse(kind, value, path, progress)
    if typing.get_origin(kind) is tuple:
        if ... not in typing.get_args(kind):
            return _convert_numbers(value, len(typing.get_args(kind)), metadata, path)
        return _convert_tuple(value, typing.get_args(kind)[0], path, progress)
    if typing.get_origin(kind) is Literal:
        choices = typing.get_args(kind)
        if value not in choices:
            hint = did_you_mean(value, choices) if isinstance(value, str) else ""
            raise ConfigError(
                f"{path}: found {shown(value)}{hint}, expected one of {', '.join(choices)}"
            )
        return value
    if metadata.get("unit") == "duration":
        value = parse_duration(value, path)
    return _in_range(_scalar(value, kind, path), metadata, path)


def _convert_tuple(value: Any, kind: Any, path: str, progress: Progress) -> tuple[Any, ...]:
    """A list of tables, or one of lists of whole numbers, `kind` saying which."""
    if not isinstance(value, list | tuple):
        hint = f"; write [[{path.rpartition(' ')[2]}]]" if isinstance(value, Mapping) else ""
        raise ConfigError(f"{path}: found {shown(value)}, expected a list{hint}")
    if dataclasses.is_dataclass(kind):
        return tuple(parse(kind, item, f"{path}.{i}", progress) for i, item in enumerate(value))
    width = len(typing.get_args(kind))
    items = []
    for item in value:
        if not isinstance(item, list | tuple) or len(item) != width:
            raise ConfigError(f"{path}: found {shown(item)}, expected lists of {width} numbers")
        items.append(
            tuple(_in_range(_scalar(v, int, path), {"low": 0, "high": HIGHEST}, path) for v in item)
        )
    return tuple(items)


def _convert_numbers(
    value: Any, count: int, metadata: Mapping[str, Any], path: str
) -> tuple[float, ...]:
    """`count` numbers of a list, or of text such as `0.5,0.5,0.5`."""
    items = value.strip("[] ").split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or len(items) != count:
        raise ConfigError(
            f"{path}: found {shown(value)}, expected {count} numbers, as in 0.5,0.5,0.5"
        )
    return tuple(_in_range(_scalar(item, float, path), metadata, path) for item in items)


def _scalar(value: Any, kind: Any, path: str) -> Any:
    """`value` as `kind`; flags arrive as text, TOML values typed. A float is never cut to int."""
    if kind is bool and isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if isinstance(value, str) and kind in (int, float):
        try:
            value = kind(value)
        except ValueError:
            raise ConfigError(f"{path}: found {shown(value)}, expected {_WORDS[kind]}") from None
    if kind is float and type(value) is int:
        # A float holds no more than 308 digits; the field's range says what is wrong.
        value = float(max(min(value, 10**300), -(10**300)))
    if type(value) is not kind:
        raise ConfigError(f"{path}: found {shown(value)}, expected {_WORDS[kind]}")
    if isinstance(value, str):
        _check_text(value, path)
    return value


def _check_text(value: str, path: str) -> None:
    """Raises `ConfigError` for what no file name and no TOML file can hold."""
    if len(value) > LONGEST_TEXT:
        raise ConfigError(
            f"{path}: found {len(value):,} characters, expected at most {LONGEST_TEXT:,}"
        )
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ConfigError(f"{path}: found {shown(value)}, expected no control characters")
    if not value.isascii() and any(0xD800 <= ord(c) < 0xE000 for c in value):
        raise ConfigError(
            f"{path}: found {shown(value)}, a name that is not UTF-8; rename the file or folder"
        )


def _in_range(value: Any, metadata: Mapping[str, Any], path: str) -> Any:
    if isinstance(value, str | bool):
        return value
    low, high = metadata.get("low"), metadata["high"]
    # `not (>=)` also refuses NaN.
    if (low is not None and not value >= low) or not value <= high:
        if low is None:
            span = f"at most {high:,}"
        else:
            open_ended = high == HIGHEST and not value > high
            span = f"{low:,} or more" if open_ended else f"from {low:,} to {high:,}"
        unit = metadata.get("unit")
        unit = f" {unit}" if unit and unit != "duration" else ""
        raise ConfigError(f"{path}: found {shown(value)}, expected {span}{unit}")
    return value
