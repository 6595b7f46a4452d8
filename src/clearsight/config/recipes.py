"""Recipes: a shipped name or a TOML file, with overrides, to a configuration and back."""

import dataclasses
import hashlib
import json
import os
import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clearsight.config.parsing import did_you_mean, former_names, parse
from clearsight.config.schema import Config
from clearsight.errors import ConfigError, FileError, first_line, shown
from clearsight.files import read_text
from clearsight.progress import SILENT, Progress

RECIPES = Path(__file__).parents[1] / "recipes"
LARGEST = 2**20  # bytes of a recipe
LONGEST_NAME = 100  # characters: it becomes part of the run folder's name


def recipe_names() -> list[str]:
    """The shipped recipes, sorted."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def load_recipe(
    recipe: str | Path,
    overrides: Mapping[str, Any] | None = None,
    progress: Progress = SILENT,
) -> Config:
    """The configuration of a shipped recipe's name or a TOML file, with dotted overrides.

    `overrides` maps dotted names to values, as text or typed: `{"phases.0.epochs": "3"}`;
    `"data"` alone means `"data.source"`. A target belongs to recipe and source: where the source is
    overridden by another it is left out, unless it is overridden as well. `progress` is told of
    that, and of settings under a former name. Raises `ConfigError`.
    """
    path = _find(recipe)
    table = _read(path)
    # Files and folders may have names in any bytes, a recipe's name is text.
    stem = os.fsencode(path.stem).decode("utf-8", "replace")
    table.setdefault("name", stem[:LONGEST_NAME])
    config = parse(Config, table, path.name, SILENT if overrides else progress)
    if not overrides:
        return config
    source = overrides.get("data.source", overrides.get("data", config.data.source))
    # By the last part of the name: data that only moved are the same.
    foreign = Path(str(source)).name != Path(config.data.source).name
    target = config.evaluation.target
    if foreign and target is not None and "evaluation.target" not in overrides:
        del table["evaluation"]["target"]
        progress.say(
            f"the recipe's target of {100 * target:g} % is left out: it belongs to its own data; "
            "set one with --evaluation.target"
        )
    # The file alone is right, so that what follows are mistakes of the overrides.
    for name, value in overrides.items():
        _override(table, "data.source" if name == "data" else name, value)
    try:
        return parse(Config, table, progress=progress)
    except ConfigError as error:
        name, colon, problem = str(error).partition(":")
        given = (each for each in map(_printable, overrides) if f"{each}.".startswith(f"{name}."))
        raise ConfigError(f"--{next(given, name)}{colon}{problem}") from None


def _find(recipe: str | Path) -> Path:
    path = Path(recipe)
    if path.suffix == ".toml":
        return path
    if str(recipe) in recipe_names():
        return RECIPES / f"{recipe}.toml"
    raise ConfigError(
        f"recipe {shown(str(recipe))}: no such recipe{did_you_mean(str(recipe), recipe_names())}; "
        f"shipped are {', '.join(recipe_names())}, or give the path of a .toml file"
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_text(path, LARGEST))
    except FileError as error:
        raise ConfigError(f"recipe {error}") from error
    except RecursionError as error:
        raise ConfigError(f"recipe {path}: invalid TOML (nested too deeply)") from error
    except ValueError as error:  # TOMLDecodeError, or a number of too many digits
        raise ConfigError(
            f"recipe {path}: invalid TOML ({first_line(error)}); correct it"
        ) from error


def to_table(config: Any) -> dict[str, Any]:
    """The configuration as plain values for TOML or JSON; fields that are None are left out."""
    table: dict[str, Any] = {}
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if dataclasses.is_dataclass(value):
            table[f.name] = to_table(value)
        elif f.name == "phases":
            table[f.name] = [to_table(phase) for phase in value]
        elif isinstance(value, tuple):
            if value:
                table[f.name] = [list(item) if isinstance(item, tuple) else item for item in value]
        elif value is not None:
            table[f.name] = value
    return table


def to_toml(config: Config) -> str:
    """The configuration as TOML, every field resolved; `load_recipe` reads it back unchanged."""
    import tomli_w

    return tomli_w.dumps(to_table(config))


def recipe_hash(config: Config) -> str:
    """SHA-256 over what differs from the defaults: comments, name, and new fields leave it alone.

    The seed, the fold, the time budget and the room for a cache are the run's, not the recipe's,
    and stay out as well.
    """
    own = _own_values(config)
    own.pop("name", None)
    own.pop("tracking", None)
    of_the_run = {
        "data": ("fold",),
        "training": ("seed", "budget", "device"),
        "cache": ("store", "memory", "disk"),
    }
    for table, names in of_the_run.items():
        for name in names:
            own.get(table, {}).pop(name, None)
        if not own.get(table, True):
            del own[table]
    return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()


def _override(table: dict[str, Any], dotted: str, value: Any) -> None:
    """Put `value` into the raw table at a dotted name; lists take an index (`phases.0.lr`)."""
    *parents, last = dotted.split(".")
    named = f"--{_printable(dotted)}"
    here: Any = table
    for depth, part in enumerate(parents):
        if isinstance(here, list):
            if part not in map(str, range(len(here))):
                raise ConfigError(
                    f"{named}: the recipe has {len(here)} phase{'s' * (len(here) != 1)}, "
                    f"numbered from 0; found {shown(part)}"
                )
            here = here[int(part)]
        elif isinstance(here, dict):
            here = here.setdefault(part, [{}] if part == "phases" and depth == 0 else {})
    if isinstance(here, list):
        raise ConfigError(f"{named}: name a field of the phase, as in --phases.0.epochs")
    if not isinstance(here, dict):
        parent = _printable(".".join(parents))
        raise ConfigError(f"{named}: {parent} has no settings of its own; leave out {shown(last)}")
    for former, present in _renamed_in(parents).items():
        if last in (former, present):  # it replaces what the recipe says under the other name
            here.pop(former, None)
            here.pop(present, None)
    here[last] = value


def _printable(name: str) -> str:
    """A setting's name as errors show it: one from outside may hold a line break."""
    return shown(name)[1:-1]


def _renamed_in(parents: list[str]) -> dict[str, str]:
    """Former → present names in the table at a dotted name, such as `phases.0`."""
    kind = typing.get_type_hints(Config).get(parents[0]) if parents else None
    kind = next(iter(typing.get_args(kind)), kind)  # tuple[PhaseConfig, ...]
    return former_names(kind) if dataclasses.is_dataclass(kind) else {}


def _own_values(config: Any) -> dict[str, Any]:
    """The values that differ from their field's default, nested, as JSON-able values."""
    own: dict[str, Any] = {}
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        # A renamed setting counts under its former name, so that recipes keep their hash.
        name = f.metadata.get("was") or f.name
        if f.name == "phases":
            own[name] = [_own_values(phase) for phase in value]
        elif dataclasses.is_dataclass(value):
            nested = _own_values(value)
            if nested:
                own[name] = nested
        elif value != f.default:
            own[name] = value
    return own
