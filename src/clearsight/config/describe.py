"""Every setting of a recipe as help and reference show it: flag, type, default, meaning."""

import dataclasses
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from clearsight.config.schema import Config, PhaseConfig


@dataclass(frozen=True)
class Setting:
    """One field as help shows it, and as a flag: `--data.size`."""

    flag: str
    type: str
    default: str
    help: str


def settings() -> Iterator[tuple[str, list[Setting]]]:
    """(table, its settings), for help and the reference."""
    for section in dataclasses.fields(Config):
        if section.name == "name":
            continue
        cls: Any = PhaseConfig if section.name == "phases" else section.default_factory
        prefix = "phases.0" if section.name == "phases" else section.name
        hints = typing.get_type_hints(cls)
        rows = []
        for f in dataclasses.fields(cls):
            if not f.metadata["show"]:
                continue
            unit = f" ({f.metadata['unit']})" if f.metadata["unit"] else ""
            default = "" if f.default is None else str(f.default)
            rows.append(
                Setting(
                    f"--{prefix}.{f.name}",
                    _type_name(hints[f.name]),
                    default,
                    f.metadata["help"] + unit,
                )
            )
        yield section.name, rows


def _type_name(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return "|".join(typing.get_args(kind))
    if isinstance(kind, types.UnionType):
        kind = next(k for k in typing.get_args(kind) if k is not type(None))
    if typing.get_origin(kind) is tuple:
        return ",".join(_type_name(k) for k in typing.get_args(kind))
    return {int: "INT", float: "NUMBER", str: "TEXT", bool: "BOOL"}[kind]
