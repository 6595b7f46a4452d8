"""What a run's `corruptions.json` says, as a table; or two runs on the same corrupted images.

    python benchmarks/robustness.py runs/PLAIN
    python benchmarks/robustness.py runs/PLAIN runs/ROBUST --out results/robustness-gain.json

With one run, nothing is measured: `clearsight evaluate --corruptions` has done it. With two:
Fifteen corruptions at five severities, and JPEG files, of `--n` test images, equally many of each
class, one view each; and the accuracies of both runs on the whole test part, as their
`evaluation.json` has them. Differences are paired: bootstrapped over the images, and on the whole
part by Newcombe's interval for paired data.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clearsight.evaluation.compare import compare_predictions
from clearsight.evaluation.corruptions import (
    CORRUPTIONS,
    JPEG_QUALITIES,
    SAMPLE,
    balanced_sample,
    right_under_corruptions,
)
from clearsight.evaluation.intervals import mean_interval
from clearsight.evaluation.predictions import read_predictions
from clearsight.files import read_csv, read_json
from clearsight.ledger import record_benchmark
from clearsight.runs import Run, open_run
from clearsight.runtime.environment import environment
from clearsight.training.checkpoint import load_classifier
from clearsight.workflows.loading import load_run

# What an augmentation of ours resembles: their gain says less about what nobody foresaw.
TRAINED_ON = ("gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "jpeg_compression")


def compared(plain: np.ndarray, robust: np.ndarray) -> list[dict[str, Any]]:
    """Rows of name, accuracy of both, and the paired difference, of two arrays of answers.

    Each is bool [1 + 75 + 4, N], as `right_under_corruptions` gives them.
    """
    count = 5 * len(CORRUPTIONS)
    conditions: dict[str, Sequence[int]] = {"images as they are": [0]}
    conditions |= {
        name.replace("_", " "): range(1 + 5 * k, 6 + 5 * k) for k, name in enumerate(CORRUPTIONS)
    }
    conditions["mean of the fifteen"] = range(1, 1 + count)
    conditions["mean of those unlike the augmentation"] = [
        1 + 5 * k + s for k, name in enumerate(CORRUPTIONS) if name not in TRAINED_ON
        for s in range(5)
    ]  # fmt: skip
    conditions |= {f"JPEG quality {q}": [1 + count + k] for k, q in enumerate(JPEG_QUALITIES)}
    rows = []
    for name, places in conditions.items():
        before, after = (right[list(places)].mean(0) for right in (plain, robust))
        rows.append(
            {
                "name": name,
                "plain": float(before.mean()),
                "robust": float(after.mean()),
                "difference": mean_interval(after - before),
            }
        )
    return rows


def alone(result: Mapping[str, Any]) -> dict[str, Any]:
    """The table of a `corruptions.json`."""

    def row(name: str, accuracy: Mapping[str, float], *more: str) -> list[str]:
        interval = f"{accuracy['low']:.1%} to {accuracy['high']:.1%}"
        return [name, f"{accuracy['value']:.1%}", interval, *more, *[""] * (5 - len(more))]

    rows = [
        row("images as they are", result["clean"]),
        *(
            row(
                each["name"].replace("_", " "), each["mean"],
                *(f"{accuracy['value']:.1%}" for accuracy in each["severities"]),
            )
            for each in result["corruptions"]
        ),
        row("mean of the fifteen", result["mean"]),
        *(row(f"JPEG quality {each['quality']}", each["accuracy"]) for each in result["jpeg"]),
    ]  # fmt: skip
    head = ["", "accuracy", "95 % interval", *(f"severity {k}" for k in range(1, 6))]
    return {"head": head, "rows": rows}


def compared_runs(runs: Sequence[Run], n: int, data_dir: str | None) -> dict[str, Any]:
    """What is recorded of two runs: `n`, `part`, `whole`, `rows` and the `table`."""
    loaded = load_run(runs[0], data_dir=data_dir)
    part, indices = loaded.measured()
    images = loaded.images
    drawn = indices[balanced_sample(images.labels[indices], images.ids[indices], n)]
    right = [
        right_under_corruptions(
            load_classifier(run.weights), images.images[drawn], images.labels[drawn],
            images.ids[drawn],
        )
        for run in runs
    ]  # fmt: skip
    rows = compared(*right)
    whole = compare_predictions(*(read_predictions(run.predictions) for run in reversed(runs)))
    clean = [read_json(run.evaluation)["accuracy"]["value"] for run in runs]
    first: dict[str, Any] = {
        "name": f"all {len(indices):,} {part} images, as recorded",
        "plain": clean[0],
        "robust": clean[1],
        "difference": whole["difference"],
    }
    texts = [
        [
            row["name"], f"{row['plain']:.1%}", f"{row['robust']:.1%}",
            "{value:+.1f} ({low:+.1f} to {high:+.1f})".format(
                **{key: 100 * value for key, value in row["difference"].items()}
            ),
        ]
        for row in (first, *rows)
    ]  # fmt: skip
    head = ["", *(run.config().name for run in runs), "points (95 % interval)"]
    return {
        "n": len(drawn), "part": part, "whole": first, "rows": rows,
        "table": {"head": head, "rows": texts},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("plain", type=Path)
    parser.add_argument("robust", type=Path, nargs="?")
    parser.add_argument("--n", type=int, default=SAMPLE)
    parser.add_argument("--conditions", default="", help="what is to be known of the measurement")
    parser.add_argument("--data-dir")
    parser.add_argument("--out", type=Path, default=Path("results/robustness.json"))
    given = parser.parse_args()
    runs = [open_run(path) for path in (given.plain, given.robust) if path]
    content: dict[str, Any]
    if given.robust:
        content = compared_runs(runs, given.n, given.data_dir)
    else:
        result = read_json(runs[0].corruptions)
        content = {"n": result["n"], "corruptions": result, "table": alone(result)}
    for line in (content["table"]["head"], *content["table"]["rows"]):
        print("".join(f"{cell:<40}" for cell in line[:4]))
    evaluations = [read_json(run.evaluation) for run in runs]
    record_benchmark(
        given.out, environment(torch.device("cpu"), "fp32"), conditions=given.conditions, **content,
        runs=[
            {
                "recipe": run.config().name,
                "seed": run.config().training.seed,
                "tta": evaluation["tta"],
                "accuracy": evaluation["accuracy"],
                "accuracy_without_tta": evaluation.get("accuracy_without_tta"),
                "steps": read_csv(run.history)[-1]["step"],
                "seconds": sum(phase["seconds"] for phase in evaluation["phases"]),
            }
            for run, evaluation in zip(runs, evaluations, strict=True)
        ],
    )  # fmt: skip


if __name__ == "__main__":
    main()
