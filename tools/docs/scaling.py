"""How the cost grows: what benchmarks/scaling.py wrote, as a table and for a chart."""

from collections.abc import Mapping
from typing import Any

from clearsight.errors import UsageError
from tools.docs.markers import table

_QUANTITIES = {"seconds_per_epoch": "time per epoch", "peak_memory": "peak memory"}
_ENTRY = "scaling"


def scaling_table(entries: Mapping[str, Any]) -> str:
    """Markdown: a row per configuration, then a sentence per straight line fitted to them."""
    if _ENTRY not in entries:
        return "\nNo such result is in the ledger yet.\n"
    entry = entries[_ENTRY]
    rows = [
        (
            f"{row['images']:,}", f"{row['size']} px", f"{1e3 * row['seconds_per_step']:,.1f} ms",
            _duration(row["seconds_per_epoch"]),
            f"{row['images'] / row['seconds_per_epoch']:,.0f}",
            f"{row['peak_memory'] / 2**30:.2f} GiB", f"{row['timed_steps']}",
        )
        for row in entry["rows"]
    ]  # fmt: skip
    head = ("images", "size", "a step", "an epoch", "images per second", "peak memory",
            "steps timed")  # fmt: skip
    sentences = [
        f"- {_QUANTITIES[fit['of']]} against {fit['against']}: "
        f"{'linear' if fit['linear'] else 'not linear'}, "
        f"R² of a straight line {fit['r2']:.4f}, exponent {fit['exponent']:.2f}\n"
        for fit in entry["fits"]
    ]
    return "\n" + table(head, rows) + "\n" + "".join(sentences)


def scaling_panels(entries: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For `growth`: a panel per fit with its points [x, y] and its line.

    `of` is in seconds or GiB, `against` in images or pixels. Raises `UsageError` where the ledger
    has no such entry.
    """
    if _ENTRY not in entries:
        raise UsageError(
            f"results: found no {_ENTRY}.json; run benchmarks/scaling.py, or leave the chart "
            f"{_ENTRY!r} out"
        )
    entry = entries[_ENTRY]
    panels = []
    for fit in entry["fits"]:
        unit = 2**30 if fit["of"] == "peak_memory" else 1
        rows = [row for row in entry["rows"] if row[fit["fixed"]] == fit["at"]]
        panels.append(
            {
                "of": f"{_QUANTITIES[fit['of']]} ({'GiB' if unit > 1 else 's'})",
                "against": fit["against"],
                "points": [[_x(row, fit["against"]), row[fit["of"]] / unit] for row in rows],
                "slope": fit["slope"] / unit,
                "intercept": fit["intercept"] / unit,
                "note": f"R² {fit['r2']:.4f}, exponent {fit['exponent']:.2f}",
            }
        )
    return panels


def _x(row: Mapping[str, Any], against: str) -> int:
    return row["images"] if against == "images" else row["size"] ** 2


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
