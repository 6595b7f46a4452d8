"""Which heatmaps show what a model uses: deletion and insertion of every method, on test images.

    python benchmarks/explanations.py runs/RUN --out results/explanations-NAME.json

The maps of each method for the predicted classes of test images, drawn at random, against a blob in
the centre and random noise; with `--checks` also against the same network with random weights, and
with another seed. Nothing is chosen here: the settings of the default were chosen on the validation
images, with `--part validation`.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from clearsight.explanation.judge import judge
from clearsight.explanation.methods import METHODS
from clearsight.ledger import record_benchmark
from clearsight.progress import Silent
from clearsight.runs import open_run
from clearsight.runtime.device import pick_device, pick_precision
from clearsight.runtime.environment import environment
from clearsight.training.checkpoint import load_classifier
from clearsight.workflows.loading import load_run

STEPS = 16


def tabulated(judged: Mapping[str, Any]) -> dict[str, Any]:
    """The rows of the documents: areas, and the smallest lower bound of the differences."""
    references = list(judged["rows"][0]["insertion"])
    head = ["heatmap"] + [f"{c}, {r}" for c in ("insertion", "deletion") for r in references]
    head += ["beats blob and noise", "maps per second", "random weights", "other seed"]
    rows = []
    for row in judged["rows"]:
        cells = [f"{row[c][r]:.3f}" for c in ("insertion", "deletion") for r in references]
        known = "beats" in row
        rows.append(
            [
                row["name"].replace("-", " "),
                *cells,
                ("yes" if row["beats"] else "no") if known else "",
                f"{1 / row['seconds']:,.0f}" if "seconds" in row else "",
                f"{row['randomised'][-1]['similarity']:.2f}" if "randomised" in row else "",
                f"{row['seeds']:.2f}" if "seeds" in row else "",
            ]
        )
    return {"head": head, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--part", choices=("test", "validation"), default="test")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--checks", action="store_true")
    parser.add_argument("--data-dir")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    loaded = load_run(open_run(given.run), data_dir=given.data_dir, progress=Silent())
    indices = getattr(loaded.split, given.part)
    if not len(indices):
        parser.error(f"{given.run}: has no {given.part} images; give a run with some")
    chosen = np.sort(np.random.default_rng(1).permutation(indices)[: given.images])
    device = pick_device(loaded.config.training.device)
    precision = pick_precision(loaded.config.training.precision, device)
    judged = judge(
        load_classifier(loaded.run.weights).to(device),
        loaded.images.images[chosen],
        split=given.part,
        methods=given.methods,
        steps=given.steps,
        checks=given.checks,
        precision=precision,
    )
    table = tabulated(judged)
    for line in (table["head"], *table["rows"]):
        print("".join(f"{cell:<24}" for cell in line))
    for row in judged["rows"]:
        print(row["name"], row.get("against"))
    if given.out:
        record_benchmark(
            given.out, environment(device, precision),
            recipe=loaded.config.name, model=loaded.config.model.name, **judged, table=table,
        )  # fmt: skip


if __name__ == "__main__":
    main()
