"""Pages written from the code: the settings, and the shipped recipes with their results."""

from pathlib import Path

from clearsight.config import RECIPES, recipe_names, settings
from clearsight.documents.places import results_table, table
from clearsight.ledger import RESULTS, read_entries, shipped_hash


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
    """Markdown: each shipped recipe, what it reached as shipped, and its file."""
    entries = read_entries(results).values()
    sections = []
    for name in recipe_names():
        text = (RECIPES / f"{name}.toml").read_text(encoding="utf-8")
        about = text.splitlines()[0].lstrip("# ")
        digest = shipped_hash(name)
        measured = [entry for entry in entries if entry["recipe_hash"] == digest]
        sections.append(
            f"\n## {name}\n\n{about}\n"
            + (results_table(measured) if measured else "\nNo run of it is in the ledger yet.\n")
            + f"\n```toml\n{text.rstrip()}\n```\n"
        )
    return "".join(sections)


def cell(text: str) -> str:
    """`text` inside a Markdown table."""
    return text.replace("|", "\\|").replace("<", "&lt;")
