"""Two runs on the same corrupted test images: a table of what an augmentation gains.

    python benchmarks/robustness.py runs/PLAIN runs/ROBUST

Fifteen corruptions at five severities, and JPEG files, of `--n` test images, equally many of each
class, one view each; and the accuracies of both runs on the whole test part, as their
`evaluation.json` has them. Differences are paired: bootstrapped over the images, and on the whole
part by Newcombe's interval for paired data.
"""

import argparse
from collections.abc import Sequence
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
from clearsight.progress import Silent
from clearsight.runs import open_run
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("plain", type=Path)
    parser.add_argument("robust", type=Path)
    parser.add_argument("--n", type=int, default=SAMPLE)
    parser.add_argument("--conditions", default="", help="what is to be known of the two trainings")
    parser.add_argument("--data-dir")
    parser.add_argument("--out", type=Path, default=Path("results/robustness.json"))
    given = parser.parse_args()
    runs = [open_run(path) for path in (given.plain, given.robust)]
    loaded = load_run(runs[0], data_dir=given.data_dir, progress=Silent())
    part, indices = loaded.measured()
    images = loaded.images
    drawn = indices[balanced_sample(images.labels[indices], images.ids[indices], given.n)]
    right = [
        right_under_corruptions(
            load_classifier(run.weights), images.images[drawn], images.labels[drawn],
            images.ids[drawn],
        )
        for run in runs
    ]  # fmt: skip
    rows = compared(*right)
    whole = compare_predictions(*(read_predictions(run.predictions) for run in reversed(runs)))
    evaluations = [read_json(run.evaluation) for run in runs]
    titles = [f"all {len(indices):,} {part} images, as recorded"]
    clean = [evaluation["accuracy"]["value"] for evaluation in evaluations]
    first: dict[str, Any] = {
        "name": titles[0], "plain": clean[0], "robust": clean[1],
        "difference": whole["difference"],
    }  # fmt: skip
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
    for line in (head, *texts):
        print("".join(f"{cell:<44}" for cell in line))
    record_benchmark(
        given.out, environment(torch.device("cpu"), "fp32"), n=len(drawn), part=part,
        conditions=given.conditions, whole=first, rows=rows,
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
        table={"head": head, "rows": texts},
    )  # fmt: skip


if __name__ == "__main__":
    main()
