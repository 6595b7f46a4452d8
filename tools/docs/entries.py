"""Entries of the ledger that were edited, or that no longer are what they say."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clearsight.errors import ConfigError
from clearsight.files import read_json
from clearsight.ledger import RESULTS, checksum, entry_hash, read_entries, shipped_hash


def check_checksums(results: Path = RESULTS) -> list[str]:
    """Files of the ledger whose content is not what was recorded."""
    problems = []
    for path in sorted(results.glob("*.json")):
        entry = read_json(path)
        recorded = entry.get("checksum") if isinstance(entry, dict) else None
        if recorded is None:
            problems.append(f"{path}:1: no checksum; record it with `clearsight record`")
        elif recorded != checksum(entry):
            problems.append(
                f"{path}:{_line(path, 'checksum')}: the checksum is not that of the content, so a "
                "value was edited; restore the file, or record the result again"
            )
    return problems


def check_recipes(results: Path = RESULTS) -> list[str]:
    """Entries whose recipe can't be read, is not shipped, or has changed since."""
    problems = []
    for name, entry in read_entries(results).items():
        problem = _recipe_problem(entry)
        if problem:
            path = results / f"{name}.json"
            problems.append(f"{path}:{_line(path, 'recipe_hash')}: {problem}")
    return problems


def _recipe_problem(entry: Mapping[str, Any]) -> str | None:
    recipe, now = entry["recipe"], shipped_hash(entry["recipe"])
    again = "run it again and record that, or take the entry out"
    if now is None:
        return f"the recipe {recipe!r} is no longer shipped; {again}"
    try:
        recorded = entry_hash(entry)
    except ConfigError as error:
        return f"the recorded configuration can't be read ({error}); {again}"
    if entry["shipped_recipe"] and recorded != now:
        return f"the recipe {recipe!r} has changed since, to the hash {now}; {again}"
    if not entry["shipped_recipe"] and recorded == now:
        return f"shipped_recipe is false, but the settings are those of the recipe {recipe!r}"
    return None


def _line(path: Path, key: str) -> int:
    lines = path.read_text(encoding="utf-8").splitlines()
    return next((n for n, text in enumerate(lines, 1) if f'"{key}"' in text), 1)
