"""What it costs to leave shifted views out where the first two leave no doubt: time and labels.

    python benchmarks/doubt.py runs/RUN

The validation images of a run, by test-time augmentation with `flip+shift` and several bounds of
doubt: none gives an image and its mirror image alone, infinity all six views of every image. The
bounds take turns.
"""

import argparse
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from clearsight.data.splits import split
from clearsight.evaluation import metrics
from clearsight.ledger import record_benchmark
from clearsight.progress import Silent
from clearsight.runs import open_run
from clearsight.runtime.device import pick_device, pick_precision, tune_allocator
from clearsight.runtime.environment import environment
from clearsight.training.checkpoint import load_classifier
from clearsight.workflows.loading import load_data

ALL = float("inf")
BOUNDS = (0.0, 1.0, metrics.DOUBT, 4.0, ALL)


def summary(
    probabilities: Mapping[float, np.ndarray], labels: np.ndarray, seconds: Mapping[float, list]
) -> dict[str, dict[str, float]]:
    """By bound: images in doubt, labels unlike those of six views, accuracy, median seconds."""
    mirrored, whole = np.sort(probabilities[0.0], 1), probabilities[ALL].argmax(1)
    lead = np.log(mirrored[:, -1]) - np.log(np.maximum(mirrored[:, -2], 1e-38))
    return {
        str(bound): {
            "in_doubt": float((lead < bound).mean()),
            "other_labels": int((found.argmax(1) != whole).sum()),
            "accuracy": float((found.argmax(1) == labels).mean()),
            "seconds": statistics.median(seconds[bound]),
        }
        for bound, found in probabilities.items()
    }


def tabulated(found: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """The rows of the documents."""
    titles = {str(0.0): "never (two views)", str(ALL): "always (six views)"}
    rows = [
        [
            titles.get(bound, f"under {float(bound):g}"),
            f"{row['in_doubt']:.0%}", str(row["other_labels"]), f"{row['accuracy']:.2%}",
            f"{row['seconds']:.1f} s",
        ]
        for bound, row in found.items()
    ]  # fmt: skip
    head = ["shifted where the lead is, in nats", "images", "other labels than of six views"]
    return {"head": [*head, "validation accuracy", "time"], "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data-dir")
    parser.add_argument("--out", type=Path, default=Path("results/doubt.json"))
    given = parser.parse_args()
    run = open_run(given.run)
    config = run.config()
    images = load_data(config, given.data_dir, Silent())
    where = split(images, config.data).validation
    if not len(where):
        parser.error(f"{given.run}: has no validation images; give a run with some")
    tune_allocator()
    device = pick_device(config.training.device)
    precision = pick_precision(config.training.precision, device)
    model = load_classifier(run.weights).to(device)
    model.temperature = 1.0  # the bounds are in nats of the logits, not calibrated
    pixels, labels = images.images[where], images.labels[where]
    probabilities: dict[float, np.ndarray] = {}
    seconds: dict[float, list[float]] = {bound: [] for bound in BOUNDS}
    for _ in range(given.rounds):
        for bound in BOUNDS:
            metrics.DOUBT = bound
            started = time.perf_counter()
            probabilities[bound] = metrics.predict_probabilities(
                model, pixels, tta="flip+shift", precision=precision
            )
            seconds[bound].append(time.perf_counter() - started)
    found = summary(probabilities, labels, seconds)
    table = tabulated(found)
    for line in (table["head"], *table["rows"]):
        print("".join(f"{cell:<36}" for cell in line))
    record_benchmark(
        given.out, environment(device, precision),
        recipe=config.name, n=len(where), rounds=given.rounds, bounds=found, table=table,
    )  # fmt: skip


if __name__ == "__main__":
    main()
