"""The predictor on this CPU: latency of one image, throughput of batches, start of the process.

    python benchmarks/predictor.py runs/RUN --rounds 10

Takes a bundle, or a run that was exported. PyTorch eager, ONNX Runtime in fp32 and, where the
bundle has that graph, in int8 alternate within one process. Timed is what comes after decoding:
from uint8 pixels in memory to probabilities; they are random, which changes no time. Before each
turn an engine's rivals have a moment to put their idle threads to sleep, and it runs a few times
untimed. The start is that of `clearsight predict BUNDLE IMAGE`, from nothing to the printed label,
each in a process of its own.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from clearsight.bundle.engines import Engine
from clearsight.bundle.format import MANIFEST, Bundle, read_bundle
from clearsight.bundle.predict import load
from clearsight.ledger import record_benchmark
from clearsight.runs import Run

TITLES: dict[Engine, str] = {
    "torch": "PyTorch eager",
    "onnx": "ONNX Runtime, fp32",
    "int8": "ONNX Runtime, int8",
}
STARTED: Engine = "onnx"
BATCHES = (1, 32, 256)
# Longer than the idle threads of ONNX Runtime and OpenMP spin.
PAUSE = 0.2


def seconds(run: Callable[[np.ndarray], object], images: np.ndarray, calls: int) -> list[float]:
    """Of each of `calls` calls."""
    spent = []
    for _ in range(calls):
        started = time.perf_counter()
        run(images)
        spent.append(time.perf_counter() - started)
    return spent


def measure(
    bundle: Bundle, rounds: int, calls: int, batches: int
) -> dict[Engine, dict[int, list[list[float]]]]:
    """Seconds of every call, by engine, batch size and round."""
    names: list[Engine] = ["torch", "onnx"]
    if bundle.int8:
        names.append("int8")
    engines = {name: load(bundle.path, name).run for name in names}
    rng = np.random.default_rng(0)
    shape = (max(BATCHES), bundle.size, bundle.size, 3)
    images = rng.integers(0, 256, shape, dtype=np.uint8)
    spent = {name: {size: [] for size in BATCHES} for name in names}
    for number in range(-1, rounds):
        for name in names:
            time.sleep(PAUSE)
            for size in BATCHES:
                seconds(engines[name], images[:size], 5 if size == 1 else 1)
                found = seconds(engines[name], images[:size], calls if size == 1 else batches)
                if number >= 0:
                    spent[name][size].append(found)
        print("warmed up" if number < 0 else f"round {number + 1} of {rounds}", flush=True)
    return spent


def summary(spent: dict[int, list[list[float]]]) -> dict[str, Any]:
    """Latency of one image over all calls; images per second by batch, the median of the rounds."""
    single = [call for round_ in spent[1] for call in round_]
    return {
        "latency_ms": {
            "median": 1e3 * statistics.median(single),
            "p95": 1e3 * statistics.quantiles(single, n=20)[-1],
            "n": len(single),
        },
        "images_per_second": {
            str(size): {
                "median": statistics.median(size * len(calls) / sum(calls) for calls in rounds),
                "n": sum(map(len, rounds)),
            }
            for size, rounds in spent.items()
        },
    }


def starts(bundle: Bundle, count: int) -> list[float]:
    """Seconds of `count` processes that predict one image through ONNX Runtime."""
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image.png"
        Image.fromarray(np.zeros((bundle.size, bundle.size, 3), np.uint8)).save(image)
        words = ["-m", "clearsight", "predict", str(bundle.path), str(image), "--engine", STARTED]
        # The first fills the caches of the disk and of Python; it says what was imported.
        log = _spoken([sys.executable, "-X", "importtime", *words]).stderr
        modules = {line.rpartition("|")[2].strip() for line in log.splitlines()}
        assert "onnxruntime" in modules
        assert "torch" not in modules
        spent = []
        for _ in range(count):
            started = time.perf_counter()
            _spoken([sys.executable, *words])
            spent.append(time.perf_counter() - started)
    return spent


def tabulated(engines: dict[Engine, dict[str, Any]], start: float) -> dict[str, Any]:
    """The rows of the documents; `start` in seconds, of the engine that `predict` takes."""
    rows = [
        [
            TITLES[name],
            f"{about['latency_ms']['median']:.2f} ms",
            f"{about['latency_ms']['p95']:.2f} ms",
            *(f"{about['images_per_second'][str(size)]['median']:,.0f}" for size in BATCHES),
            f"{start:.2f} s" if name == STARTED else "",
        ]
        for name, about in engines.items()
    ]
    head = ["engine", "one image, median", "95th percentile"]
    head += [f"images/s, batch {size}" for size in BATCHES]
    return {"head": [*head, "`clearsight predict`, start to answer"], "rows": rows}


def folder_of(path: Path) -> Path:
    """The bundle of a run, or `path` itself."""
    return path if (path / MANIFEST).is_file() else Run(path).bundle


def _spoken(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=True, capture_output=True, text=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path, help="a bundle, or a run that was exported")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--calls", type=int, default=30, help="of one image, per round")
    parser.add_argument("--batches", type=int, default=3, help="of each other size, per round")
    parser.add_argument("--starts", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path("results/predictor.json"))
    given = parser.parse_args()
    if given.rounds * given.calls < 200 or given.starts < 10:
        parser.error("too few to tell; give rounds × calls of 200 or more, and 10 starts or more")

    bundle = read_bundle(folder_of(given.path))
    # First, while nothing of this process's own engines is at work.
    begun = starts(bundle, given.starts)
    spent = measure(bundle, given.rounds, given.calls, given.batches)

    import torch

    from clearsight.runtime.environment import environment

    engines = {name: summary(each) for name, each in spent.items()}
    table = tabulated(engines, statistics.median(begun))
    record_benchmark(
        given.out,
        environment(torch.device("cpu"), "fp32"),
        bundle={
            "architecture": bundle.architecture,
            "size": bundle.size,
            "preprocessed_size": bundle.preprocessing["size"] or bundle.size,
            "recipe": bundle.provenance.get("recipe"),
            "recipe_hash": bundle.provenance.get("recipe_hash"),
            "int8": bundle.int8,
            "bytes": {
                p.name: p.stat().st_size for p in (bundle.onnx, bundle.int8_onnx) if p.is_file()
            },
        },
        rounds=given.rounds,
        engines=engines,
        runs={name: {str(k): v for k, v in each.items()} for name, each in spent.items()},
        start={"median": statistics.median(begun), "seconds": begun, "n": len(begun)},
        table=table,
    )
    for row in (table["head"], *table["rows"]):
        print("  ".join(f"{cell:>20}" for cell in row))
    print(f"one image: n = {given.rounds * given.calls} calls; {given.rounds} rounds, alternating")
    print(f"start of predict: median {statistics.median(begun):.3f} s, n = {len(begun)}, no torch")
    print(json.dumps(bundle.int8))


if __name__ == "__main__":
    main()
