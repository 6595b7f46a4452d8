"""The lesson's runs in the ledger, `lesson-…`: one recipe, right and with its mistake."""

from collections.abc import Mapping
from typing import Any

from clearsight.errors import UsageError
from tools.docs.markers import accuracy_text, interval_text, table

_PREFIX = "lesson-"


def lesson_rows(entries: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What each of the lesson's entries did and reached, by model, size, phases and mistake."""
    rows = []
    for name, entry in entries.items():
        if not name.startswith(_PREFIX):
            continue
        config = entry["config"]
        rows.append(
            {
                "model": config["model"]["name"],
                "size": config["model"]["size"],
                "phases": len(config["phases"]),
                "twice": config["model"].get("preprocess") == "double-scaled",
                "entry": entry,
            }
        )
    return sorted(rows, key=_order)


def lesson_table(entries: Mapping[str, Any]) -> str:
    """Markdown: a row per entry of the lesson."""
    head = ("network", "input", "trained", "pixels scaled", "test accuracy", "95 % interval", "n")
    rows = [
        (
            row["model"], f"{row['size']} px", _trained(row), "twice" if row["twice"] else "once",
            accuracy_text(row["entry"]), interval_text(row["entry"]), f"{row['entry']['n']:,}",
        )
        for row in lesson_rows(entries)
    ]  # fmt: skip
    return "\n" + table(head, rows)


def chart_rows(entries: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For `paired_intervals`: the accuracies with pixels scaled twice and once, per setting.

    Raises `UsageError` where one of a pair is missing.
    """
    pairs: dict[str, dict[bool, Any]] = {}
    rows = lesson_rows(entries)
    several = len({row["model"] for row in rows}) > 1
    for row in rows:
        (run,) = row["entry"]["runs"]
        label = f"{row['size']} px, {_trained(row)}"
        label = f"{row['model']}, {label}" if several else label
        pairs.setdefault(label, {})[row["twice"]] = run["accuracy"][row["entry"]["tta"]]
    for label, pair in pairs.items():
        if len(pair) < 2:
            raise UsageError(
                f"results: the lesson has {label} only with pixels scaled "
                f"{'twice' if True in pair else 'once'}; run benchmarks/lesson.py"
            )
    return [{"label": label, "pair": [pair[True], pair[False]]} for label, pair in pairs.items()]


def _order(row: Mapping[str, Any]) -> tuple[str, int, int, bool]:
    return row["model"], row["size"], row["phases"], not row["twice"]


def _trained(row: Mapping[str, Any]) -> str:
    return "head" if row["phases"] == 1 else "head, then last stage"
