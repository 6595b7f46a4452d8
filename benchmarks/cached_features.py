"""Training a head on cached features against computing the frozen backbone in every epoch.

    python benchmarks/cached_features.py --images 500 --pairs 2

Both train the same head for the same epochs on one fixed view of the same images; the cached runs
begin with an empty cache and their time includes filling it. A third run finds the cache filled.
Runs alternate within one process, after a small one that is not measured. Times are those of the
phase: filling, steps, validation after every epoch, and checkpoints; not the loading of images and
weights, which is the same for all.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from clearsight.config.parsing import parse
from clearsight.config.recipes import to_table
from clearsight.config.schema import Config
from clearsight.data.images import ImageSet
from clearsight.data.sources import load_images
from clearsight.data.splits import split
from clearsight.evaluation.intervals import wilson
from clearsight.files import read_csv
from clearsight.ledger import record_benchmark
from clearsight.progress import Silent
from clearsight.runs import create_run
from clearsight.runtime.device import pick_device, pick_precision
from clearsight.runtime.environment import environment
from clearsight.training.train import train_model


class Quoting(Silent):
    """Prints what is said, to see that a cache is used."""

    def say(self, text: str) -> None:
        print(f"    {text}", flush=True)


def configuration(given: argparse.Namespace, store: str) -> Config:
    model = {"name": given.model, "head": "mlp"}
    model |= {"weights": given.weights} if given.weights else {}
    model |= {"size": given.size} if given.size else {}
    return parse(
        Config,
        {
            "name": "cached-features",
            "data": {"source": given.data, "subset": given.images, "validation": 0.2},
            "augment": {"flip": "random"},
            "model": model,
            "training": {"batch": given.batch},
            "cache": {"store": store, "views": 1, "memory": 8.0, "disk": 20.0},
            "phases": [
                {
                    "name": "head", "trainable": "head", "epochs": given.epochs,
                    "optimizer": "adam", "lr": 1e-3,
                }
            ],
        },
    )  # fmt: skip


def measure(config: Config, images: ImageSet) -> dict[str, Any]:
    """Seconds of the phase and of the whole training, and the last validation accuracy."""
    parts = split(images, config.data)
    with tempfile.TemporaryDirectory() as folder:
        run = create_run(Path(folder) / "run", config, {})
        start = time.perf_counter()
        (phase,) = train_model(run, config, images, parts, progress=Quoting())
        whole = time.perf_counter() - start
        accuracy = read_csv(run.history)[-1]["val_accuracy"]
    n = len(parts.validation)
    low, high = wilson(round(accuracy * n), n)
    return {
        "seconds": phase["seconds"],
        "whole_seconds": round(whole, 2),
        "val_accuracy": {"value": accuracy, "low": low, "high": high, "n": n},
    }


def tabulated(rows: dict[str, list[dict[str, Any]]], ratios: list[float]) -> dict[str, Any]:
    """Medians for the documents."""
    titles = {
        "recomputed": "computed in every epoch",
        "cached": "computed once, cache empty before",
        "warm": "found in the cache",
    }
    cells = []
    for name, runs in rows.items():
        seconds = statistics.median(run["seconds"] for run in runs)
        factors = [
            r["seconds"] / run["seconds"] for r, run in zip(rows["recomputed"], runs, strict=True)
        ]
        accuracy = runs[0]["val_accuracy"]
        interval = f"{100 * accuracy['low']:.1f}–{100 * accuracy['high']:.1f} %"
        cells.append(
            [
                titles[name], f"{seconds:.1f} s", f"{statistics.median(factors):.1f} ×",
                f"{100 * accuracy['value']:.1f} % ({interval}, n = {accuracy['n']:,})",
            ]
        )  # fmt: skip
    head = ["frozen stages", f"median of {len(ratios)}", "faster", "validation accuracy"]
    return {"head": head, "rows": cells}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--data-dir")
    parser.add_argument("--images", type=int, default=500, help="a fifth is for validation")
    parser.add_argument("--model", default="tf_efficientnet_lite0")
    parser.add_argument("--weights", help="a file, or none; default: as `--model.weights`")
    parser.add_argument("--size", type=int, help="px; default: what the weights expect")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("results/cached-features.json"))
    given = parser.parse_args()

    images = load_images(given.data, data_dir=given.data_dir)
    cached, recomputed = (configuration(given, store) for store in ("auto", "off"))
    rows: dict[str, list[dict[str, Any]]] = {"recomputed": [], "cached": [], "warm": []}
    small = argparse.Namespace(**vars(given) | {"images": 100, "epochs": 1})
    for pair in range(-1, given.pairs):
        with tempfile.TemporaryDirectory() as cache:
            # The images are loaded: only features go into this folder.
            os.environ["XDG_CACHE_HOME"] = cache
            if pair < 0:
                measure(configuration(small, "auto"), images)
                continue
            for name, config in (("recomputed", recomputed), ("cached", cached), ("warm", cached)):
                rows[name].append(measure(config, images))
                row = rows[name][-1]
                print(
                    f"{name:<12} {row['seconds']:8.1f} s  "
                    f"validation {row['val_accuracy']['value']:.2%}",
                    flush=True,
                )
    ratios = [
        r["seconds"] / c["seconds"] for r, c in zip(rows["recomputed"], rows["cached"], strict=True)
    ]
    median = statistics.median(ratios)
    print(f"recomputed / cached, {given.epochs} epochs: median {median:.1f}, pairs {ratios}")
    device = pick_device("auto")
    record_benchmark(
        given.out,
        environment(device, pick_precision("auto", device)),
        recipe=to_table(cached),
        runs=rows,
        ratios=ratios,
        ratio=median,
        table=tabulated(rows, ratios),
    )


if __name__ == "__main__":
    main()
