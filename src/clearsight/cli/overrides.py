"""Dotted flags of `train`: `--data.size 64`, `--phases.0.epochs=3`.

They are taken out of the arguments before the command-line parser sees them, because an index
into the phases is beyond it; `config.load_recipe` checks names and values.
"""

import re
from collections.abc import Sequence

from clearsight.errors import UsageError

_DOTTED = re.compile(r"--([A-Za-z_][\w-]*(?:\.[\w-]+)+)(?:=(.*))?", re.DOTALL)
_NEGATIVE_NUMBER = re.compile(r"-\.?\d")


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


def _is_flag(token: str) -> bool:
    return token.startswith("-") and not _NEGATIVE_NUMBER.match(token)
