"""Accuracy against time: the ledger's entries `budget-…`, one per recipe and budget."""

from collections.abc import Mapping, Sequence
from typing import Any

from clearsight.errors import UsageError
from tools.docs.markers import accuracy_text, interval_text, table

_PREFIX = "budget-"


def budget_table(entries: Mapping[str, Any]) -> str:
    """Markdown: a row per recipe and budget, by recipe, then budget."""
    rows = [
        (
            entry["recipe"], f"{entry['budget'] / 60:g} min", accuracy_text(entry),
            accuracy_text(entry, "none"), interval_text(entry), f"{entry['n']:,}",
            str(len(entry["runs"])),
        )
        for entry in _entries(entries)
    ]  # fmt: skip
    head = ("recipe", "training", "test accuracy", "one view", "95 % interval", "n", "seeds")
    return "\n" + (table(head, rows) if rows else "No such run is in the ledger yet.\n")


def budget_curves(entries: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For `accuracy_by_budget`: a curve per recipe, its points by budget.

    A point is the mean of its seeds, with the lowest and highest end of their intervals, as in the
    table. Raises `UsageError` where there is no entry.
    """
    curves: dict[str, list[dict[str, float]]] = {}
    for entry in _entries(entries):
        runs = [run["accuracy"][entry["tta"]] for run in entry["runs"]]
        point = {
            "minutes": entry["budget"] / 60,
            "value": entry["accuracy"][entry["tta"]]["mean"],
            "low": min(run["low"] for run in runs),
            "high": max(run["high"] for run in runs),
        }
        curves.setdefault(entry["recipe"], []).append(point)
    if not curves:
        raise UsageError(
            f"results: found no entry {_PREFIX}…; run benchmarks/budget_curve.py, or leave the "
            "chart 'budget' out"
        )
    return [{"recipe": recipe, "points": points} for recipe, points in curves.items()]


def _entries(entries: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    found = [entry for name, entry in entries.items() if name.startswith(_PREFIX)]
    return sorted(found, key=lambda entry: (entry["recipe"], entry["budget"]))
