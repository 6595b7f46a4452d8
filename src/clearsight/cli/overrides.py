"""Dotted flags of `train`: `--data.size 64`, `--phases.0.epochs=3`.

They are taken out of the arguments before the command-line parser sees them, because an index
into the phases is beyond it; `config.load_recipe` checks names and values.
"""

import re
from collections.abc import Container, Mapping, Sequence

from clearsight.errors import UsageError

_DOTTED = re.compile(r"--([A-Za-z_][\w-]*(?:\.[\w-]+)+)(?:=(.*))?", re.DOTALL)
_NEGATIVE_NUMBER = re.compile(r"-\.?\d")

# What others call a field.
_USUAL = {"learning_rate": "lr", "batch_size": "batch", "img_size": "size",
          "image_size": "size", "imgsz": "size", "wd": "weight_decay"}  # fmt: skip


def take_overrides(tokens: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """`tokens` without dotted flags, and these as {dotted name: text}; the last one counts.

    What follows a bare `--` is left alone. Raises `UsageError` for a flag without a value.
    """
    rest: list[str] = []
    overrides: dict[str, str] = {}
    waiting = iter(tokens)
    for token in waiting:
        if token == "--":
            rest += [token, *waiting]
            break
        match = _DOTTED.fullmatch(token)
        if not match:
            rest.append(token)
            continue
        value = match[2] if match[2] is not None else next(waiting, None)
        if value is None or (match[2] is None and _is_flag(value)):
            raise UsageError(f"--{match[1]}: found no value; give one, as in --{match[1]} VALUE")
        overrides[match[1].replace("-", "_")] = value
    return rest, overrides


def data_fields(overrides: Mapping[str, str]) -> dict[str, str]:
    """{field of `[data]`: text} of dotted flags. Raises `UsageError` for those of other tables."""
    for name in overrides:
        if not name.startswith("data."):
            raise UsageError(f"--{name}: found no field of [data]; only those are flags here")
    return {name.removeprefix("data."): value for name, value in overrides.items()}


def field_hint(tokens: Sequence[str], known: Container[str]) -> str | None:
    """What to write instead of the first unknown flag that is the last name of a field, or nearly.

    `--epochs` → `--phases.0.epochs`; `known` are the flags of the command itself.
    """
    from difflib import get_close_matches

    from clearsight.config.describe import settings

    flags = [row.flag for _, rows in settings() for row in rows]
    names = {flag.rpartition(".")[2] for flag in flags}
    for token in tokens:
        flag = token.partition("=")[0]
        if not flag.startswith("--") or flag in known:
            continue
        name = flag[2:].replace("-", "_")
        near = get_close_matches(_USUAL.get(name, name), names, n=1, cutoff=0.7)
        found = [each for each in flags if near and each.endswith(f".{near[0]}")]
        if found:
            return f"{flag} is a field of the recipe: write {' or '.join(found)}"
    return None


def _is_flag(token: str) -> bool:
    return token.startswith("-") and not _NEGATIVE_NUMBER.match(token)
