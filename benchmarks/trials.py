"""What each choice in airnet94's recipe is worth: short trainings with one thing changed at a time.

    python benchmarks/trials.py --epochs 4

Each trains on the training part and is judged on the validation part, the test set being left
alone; all have the same seed and split. `--seeds` repeats the list with other seeds, and means are
shown. Every run is on record at once; given again, the command goes on where it was stopped.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from clearsight.config.recipes import load_recipe, to_table
from clearsight.config.schema import Config
from clearsight.data.images import ImageSet
from clearsight.data.sources import load_images
from clearsight.data.splits import split
from clearsight.evaluation.metrics import as_probabilities, cross_entropy, predict_logits
from clearsight.ledger import record_benchmark
from clearsight.runs import create_run
from clearsight.runtime.device import pick_device, pick_precision
from clearsight.runtime.environment import environment
from clearsight.training.checkpoint import load_classifier
from clearsight.training.train import train_model

RECIPE = "airnet94"
# What is changed → how, as flags.
TRIALS: Mapping[str, Mapping[str, Any]] = {
    "the recipe": {},
    "images never shrunk": {"phases.0.progressive_resizing": 1.0},
    "images shrunk for longer": {"phases.0.progressive_resizing_until": 0.75},
    "no image left out": {"phases.0.selective_backprop": 0.0},
    "neither shrunk nor left out": {
        "phases.0.progressive_resizing": 1.0, "phases.0.selective_backprop": 0.0,
    },
    "left out up to the end": {"phases.0.selective_backprop_until": 1.0},
    "fewer left out, and later": {
        "phases.0.selective_backprop": 0.4, "phases.0.selective_backprop_from": 0.3,
    },
    "learning rate 0.3": {"phases.0.lr": 0.3},
    "learning rate 0.13": {"phases.0.lr": 0.13},
    "momentum 0.75, learning rate 0.15": {"phases.0.momentum": 0.75, "phases.0.lr": 0.15},
    # What SGD trains has a constant rate per image, so its rates go with the batch.
    "batches of 500, learning rate 0.15": {
        "training.batch": 500, "phases.0.lr": 0.15, "phases.0.bias_lr": 26.5,
        "phases.0.head_lr": 335.0, "phases.0.weight_decay": 1e-3,
    },
    "batches of 2,000, learning rate 0.24": {
        "training.batch": 2000, "phases.0.lr": 0.24, "phases.0.bias_lr": 106.0,
        "phases.0.head_lr": 1340.0, "phases.0.weight_decay": 4e-3,
    },
    "label smoothing 0.1": {"training.label_smoothing": 0.1},
    "brightness and contrast as they are": {"augment.brightness": 0.0, "augment.contrast": 0.0},
    "weights not averaged": {"training.averaging": "none"},
    "Cutout of 8 px": {"augment.cutout": 8},
}  # fmt: skip
Run = dict[str, float]


def trial(config: Config, images: ImageSet) -> Run:
    """Seconds of training, and what the model is worth on the validation part."""
    parts = split(images, config.data)
    where = parts.validation
    with tempfile.TemporaryDirectory() as folder:
        run = create_run(Path(folder) / "run", config, {})
        started = time.perf_counter()
        train_model(run, config, images, parts)
        seconds = time.perf_counter() - started
        model = load_classifier(run.weights)
        augmented, plain = predict_logits(
            model, images.images[where], tta=config.evaluation.tta,
            precision=pick_precision(config.training.precision, pick_device("auto")),
        )  # fmt: skip
    labels = images.labels[where]
    return {
        "seconds": seconds,
        "accuracy": float((augmented.argmax(1) == labels).mean()),
        "accuracy_without_tta": float((plain.argmax(1) == labels).mean()),
        "loss": cross_entropy(as_probabilities(augmented, model.temperature), labels),
    }


def tabulated(runs: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """The rows of the documents: means of the runs, the time by its median."""
    rows = []
    for name, some in runs.items():
        if not some:
            continue
        mean = {key: statistics.fmean(run[key] for run in some) for key in some[0]}
        seconds = statistics.median(run["seconds"] for run in some)
        cells = [name, f"{seconds:.0f} s", f"{mean['accuracy']:.2%}"]
        cells += [f"{mean['accuracy_without_tta']:.2%}", f"{mean['loss']:.3f}", str(len(some))]
        rows.append(cells)
    head = ["changed", "training", "validation accuracy", "one view", "loss", "runs"]
    return {"head": head, "rows": rows}


def earlier(path: Path, about: Mapping[str, Any]) -> dict[str, list[Run]]:
    """The runs in an earlier result of the same recipe and epochs, by what was changed."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {name: [] for name in TRIALS}
    if any(found[key] != value for key, value in about.items()):
        raise SystemExit(f"{path}: is of another recipe; remove it, or give --out")
    return {name: found["runs"].get(name, []) for name in TRIALS}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=float, default=4.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=TRIALS, default=list(TRIALS))
    parser.add_argument("--data-dir")
    parser.add_argument("--out", type=Path, default=Path("results/trials.json"))
    given = parser.parse_args()
    shared = {"phases.0.epochs": given.epochs}
    about: dict[str, Any] = {"recipe": to_table(load_recipe(RECIPE, shared))}
    runs = earlier(given.out, about)
    images = load_images("cifar10", data_dir=given.data_dir)
    images = replace(images, images=images.images[:])  # no disk while the clock runs
    device = pick_device("auto")
    machine = environment(device, pick_precision("auto", device))
    for seed in range(given.seeds):
        for name in given.only:
            if len(runs[name]) > seed:
                continue
            config = load_recipe(RECIPE, {**shared, **TRIALS[name], "training.seed": seed})
            runs[name].append(trial(config, images))
            table = tabulated(runs)
            record_benchmark(given.out, machine, **about, runs=runs, table=table)
            print(name, {key: round(value, 4) for key, value in runs[name][-1].items()}, flush=True)


if __name__ == "__main__":
    main()
