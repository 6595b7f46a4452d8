"""Which heatmaps can be trusted: what benchmarks/explanations.py wrote, for a chart."""

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from clearsight.errors import UsageError

_PREFIX = "explanations-"


def method_panels(entries: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For `heatmap_methods`: a panel per entry, its points the mean over both references.

    Raises `UsageError` where the ledger has no such entry.
    """
    found = [entry for name, entry in sorted(entries.items()) if name.startswith(_PREFIX)]
    if not found:
        raise UsageError(
            f"results: found no {_PREFIX}*.json; run benchmarks/explanations.py, or leave the "
            "chart 'explanations' out"
        )
    return [
        {
            "network": entry["model"],
            "n": entry["n"],
            "split": entry["split"],
            "points": [
                {
                    "name": row["name"].replace("-", " "),
                    "insertion": fmean(row["insertion"].values()),
                    "deletion": fmean(row["deletion"].values()),
                    "beats": row.get("beats", False),
                }
                for row in entry["rows"]
            ],
        }
        for entry in found
    ]
