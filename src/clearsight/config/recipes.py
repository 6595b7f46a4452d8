"""Recipes: a shipped name or a TOML file, with overrides, to a configuration and back."""

import dataclasses
import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clearsight.config.parsing import did_you_mean, parse
from clearsight.config.schema import Config
from clearsight.errors import ConfigError

RECIPES = Path(__file__).parents[1] / "recipes"


def recipe_names() -> list[str]:
    """The shipped recipes, sorted."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def load_recipe(recipe: str | Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """The configuration of a shipped recipe's name or a TOML file, with dotted overrides.

    `overrides` maps dotted names to values, as text or typed: `{"phases.0.epochs": "3"}`;
    `"data"` alone means `"data.source"`. Raises `ConfigError`.
    """
    path = Path(recipe)
    if path.suffix != ".toml":
        path = RECIPES / f"{recipe}.toml"
        if not path.is_file():
            hint = did_you_mean(str(recipe), recipe_names())
            raise ConfigError(
                f"recipe {str(recipe)!r}: no such recipe{hint}; "
                f"shipped are {', '.join(recipe_names())}, or give the path of a .toml file"
            )
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"recipe {path}: can't be read ({error.strerror or error}); check the path"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"recipe {path}: no valid TOML ({error}); mend that line") from error
    table.setdefault("name", path.stem)
    for dotted, value in (overrides or {}).items():
        _override(table, "data.source" if dotted == "data" else dotted, value)
    try:
        return parse(Config, table, path.name)
    except ConfigError as error:
        # What the file does not say is not to be looked for there.
        problem = str(error).removeprefix(f"{path.name}: ")
        of_flag = problem.startswith(tuple(f"{dotted}:" for dotted in overrides or ()))
        raise ConfigError(problem if of_flag else str(error)) from None


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

    The seed, the time budget and the room for a cache are the run's, not the recipe's, and stay
    out as well.
    """
    own = _own_values(config)
    own.pop("name", None)
    own.pop("tracking", None)
    of_the_run = {"training": ("seed", "budget", "device"), "cache": ("store", "memory", "disk")}
    for table, names in of_the_run.items():
        for name in names:
            own.get(table, {}).pop(name, None)
        if not own.get(table, True):
            del own[table]
    return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()


def _override(table: dict[str, Any], dotted: str, value: Any) -> None:
    """Put `value` into the raw table at a dotted name; lists take an index (`phases.0.lr`)."""
    *parents, last = dotted.split(".")
    here: Any = table
    for depth, part in enumerate(parents):
        if isinstance(here, list):
            if not part.isdigit() or int(part) >= len(here):
                raise ConfigError(
                    f"--{dotted}: the recipe has {len(here)} phase{'s' * (len(here) != 1)}, "
                    f"numbered from 0; "
                    f"found {part!r}"
                )
            here = here[int(part)]
        elif isinstance(here, dict):
            here = here.setdefault(part, [{}] if part == "phases" and depth == 0 else {})
    if isinstance(here, list):
        raise ConfigError(f"--{dotted}: name a field of the phase, as in --phases.0.epochs")
    if not isinstance(here, dict):
        name = ".".join(parents)
        raise ConfigError(f"--{dotted}: {name} has no settings of its own; leave out {last!r}")
    here[last] = value


def _own_values(config: Any) -> dict[str, Any]:
    """The values that differ from their field's default, nested, as JSON-able values."""
    own: dict[str, Any] = {}
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if f.name == "phases":
            own[f.name] = [_own_values(phase) for phase in value]
        elif dataclasses.is_dataclass(value):
            nested = _own_values(value)
            if nested:
                own[f.name] = nested
        elif value != f.default:
            own[f.name] = value
    return own
