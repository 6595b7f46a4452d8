"""Pages written from the code: the settings, and the shipped recipes with their results."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from clearsight.bundle.format import SCHEMA
from clearsight.config.describe import settings
from clearsight.config.recipes import RECIPES, recipe_names
from clearsight.ledger import RESULTS, entry_hash, read_entries, shipped_hash
from tools.docs.markers import results_table, table


def configuration() -> str:
    """Markdown: a section per table of the recipe, a row per setting."""
    sections = []
    for name, rows in settings():
        heading = "[[phases]]" if name == "phases" else f"[{name}]"
        cells = [
            (f"`{r.flag}`", cell(r.type), f"`{r.default}`" if r.default else "", cell(r.help))
            for r in rows
        ]
        sections.append(
            f"\n## `{heading}`\n\n{table(('flag', 'type', 'default', 'meaning'), cells)}"
        )
    return "".join(sections)


def recipes(results: Path = RESULTS) -> str:
    """Markdown: each shipped recipe, what it reached as shipped by time, and its file."""
    entries = sorted(read_entries(results).values(), key=lambda e: e["seconds"]["mean"])
    sections = []
    for name in recipe_names():
        text = (RECIPES / f"{name}.toml").read_text(encoding="utf-8")
        about = text.splitlines()[0].lstrip("# ")
        digest = shipped_hash(name)
        measured = [entry for entry in entries if entry_hash(entry) == digest]
        sections.append(
            f"\n## {name}\n\n{about}\n"
            + (results_table(measured) if measured else "\nNo run of it is in the ledger yet.\n")
            + f"\n```toml\n{text.rstrip()}\n```\n"
        )
    return "".join(sections)


def bundle() -> str:
    """Markdown: every key of `bundle.json` with type and meaning, from its schema."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return "\n" + table(("key", "type", "meaning"), list(_keys(schema, "")))


def _keys(schema: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str, str]]:
    for key, about in schema.get("properties", {}).items():
        optional = "" if key in schema.get("required", ()) else ", optional"
        # File names hold dots themselves.
        name = f"{prefix}[{key!r}]" if "." in key else f"{prefix}.{key}".lstrip(".")
        yield f"`{name}`", cell(_kind(about) + optional), cell(about["description"])
        yield from _keys(about, name)


def _kind(about: Mapping[str, Any]) -> str:
    if "$ref" in about:
        return {
            "channels": "3 numbers",
            "positive_channels": "3 numbers",
            "digest": "64 hex digits",
            "accuracy": "value, low, high",
        }[about["$ref"].rpartition("/")[2]]
    if "const" in about:
        return json.dumps(about["const"])
    if "enum" in about:
        return " or ".join(f"`{value}`" for value in about["enum"])
    kinds = about["type"]
    return kinds if isinstance(kinds, str) else " or ".join(kinds)


def cell(text: str) -> str:
    """`text` inside a Markdown table."""
    return text.replace("|", "\\|").replace("<", "&lt;")
