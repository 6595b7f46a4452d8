"""What tracking adds to a training run, from above: the time spent in it over the run's time.

    python benchmarks/tracking_overhead.py --recipe demo --runs 3

Every run has a process of its own and finds MLflow's database set up, by a process before it. Three
times are added up, though they overlap: `open`, the wall time until the tracker is there (mostly
MLflow's import); `thread`, the CPU time of the thread that talks to MLflow while training goes on;
`wait`, the wall time that the finished run waits for it. Each but the first is hidden where a core
is idle, so that the sum is an upper bound.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def set_up(folder: Path) -> dict[str, float]:
    """Seconds until MLflow's database in `folder` is there."""
    from clearsight.tracking.store import load_client, store_uri

    client_class = load_client()
    started = time.perf_counter()
    uri = store_uri(folder)
    client_class(uri, registry_uri=uri).search_experiments()
    return {"seconds": time.perf_counter() - started}


def run(folder: Path, given: argparse.Namespace) -> dict[str, float]:
    """One tracked run in this process: its seconds, and those spent in tracking."""
    from clearsight.config.recipes import load_recipe
    from clearsight.tracking import tracker
    from clearsight.workflows.loading import load_data
    from clearsight.workflows.train import train

    overrides = dict(pair.split("=", 1) for pair in given.set)
    config = load_recipe(given.recipe, {**overrides, "training.seed": given.seed})
    images = load_data(config, given.data_dir)
    spent = {"open": 0.0, "thread": 0.0, "wait": 0.0}

    def timed(name: str, clock: Any, function: Any) -> Any:
        def call(*arguments: Any) -> Any:
            started = clock()
            try:
                return function(*arguments)
            finally:
                spent[name] += clock() - started

        return call

    tracker.open_tracker = timed("open", time.perf_counter, tracker.open_tracker)
    tracker.Tracked._work = timed("thread", time.thread_time, tracker.Tracked._work)
    tracker.Tracked.finish = timed("wait", time.perf_counter, tracker.Tracked.finish)
    started = time.perf_counter()
    train(config, out=folder / f"s{given.seed}", data=images)
    return {"seconds": time.perf_counter() - started, **spent}


def child(folder: Path, mode: str, seed: int) -> dict[str, float]:
    """A run in a process of its own; its last line of output is the result."""
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    arguments = [*sys.argv[1:], "--child", mode, "--folder", str(folder), "--seed", str(seed)]
    output = subprocess.run(
        [sys.executable, __file__, *arguments],
        env=environment, check=True, stdout=subprocess.PIPE, text=True,
    ).stdout  # fmt: skip
    return json.loads(output.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="demo")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="FIELD=VALUE", help="changes to the recipe"
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--data-dir")
    parser.add_argument("--out", type=Path, default=Path("results/tracking-overhead.json"))
    parser.add_argument("--child", choices=["set-up", "run"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        result = set_up(given.folder) if given.child == "set-up" else run(given.folder, given)
        print(json.dumps(result))
        return

    from clearsight.config.recipes import load_recipe, to_table
    from clearsight.ledger import record_benchmark
    from clearsight.runtime.device import pick_device, pick_precision
    from clearsight.runtime.environment import environment

    with tempfile.TemporaryDirectory() as name:
        setting_up = child(Path(name), "set-up", 0)["seconds"]
        rows = [child(Path(name), "run", seed) for seed in range(given.runs)]
    for row in rows:
        row["share"] = (row["open"] + row["thread"] + row["wait"]) / row["seconds"]
    print(f"first set-up of the database: {setting_up:.1f} s")
    print(f"{'run s':>8} {'open s':>8} {'thread s':>9} {'wait s':>8} {'share':>8}")
    for row in rows:
        print(
            f"{row['seconds']:8.1f} {row['open']:8.2f} {row['thread']:9.2f} {row['wait']:8.2f} "
            f"{row['share']:8.2%}"
        )
    shares = [row["share"] for row in rows]
    print(f"mean share of the run: {statistics.fmean(shares):.2%}, n = {len(shares)}")
    config = load_recipe(given.recipe, dict(pair.split("=", 1) for pair in given.set))
    device = pick_device(config.training.device)
    record_benchmark(
        given.out,
        environment(device, pick_precision(config.training.precision, device)),
        recipe=config.name,
        config=to_table(config),
        set_up_seconds=setting_up,
        runs=rows,
        table={
            "head": ["run", "opening", "writing", "waiting at the end", "share of the run"],
            "rows": [
                [
                    f"{row['seconds']:.0f} s", f"{row['open']:.2f} s",
                    f"{row['thread']:.2f} s", f"{row['wait']:.2f} s", f"{row['share']:.2%}",
                ]
                for row in rows
            ],
        },
        share={"mean": statistics.fmean(shares), "max": max(shares), "count": len(shares)},
    )  # fmt: skip


if __name__ == "__main__":
    main()
