"""Edits of JSON-like content, for tests of what reads it."""

import copy
from typing import Any


def paths_of(value: Any, path: tuple = ()) -> list[tuple]:
    """The path of every value inside dicts, lists and tuples: their keys and indices."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, inner in items:
        found.append((*path, key))
        if isinstance(inner, dict | list | tuple):
            found += paths_of(inner, (*path, key))
    return found


def edited(content: Any, path: tuple, value: Any) -> Any:
    """A copy of `content` with `value` at `path`, or without what is there if it is `...`."""
    content = copy.deepcopy(content)
    here = content
    for key in path[:-1]:
        here = here[key]
    if value is ...:
        del here[path[-1]]
    else:
        here[path[-1]] = value
    return content
