"""Training steps in bf16 on this CPU, with clearsight's ways for some convolutions and without.

    python benchmarks/convolutions.py

Both alternate within one process: `runtime.autocast`, as clearsight trains, and torch's own. A step
is forward, loss and backward of one batch; the weights are random, which changes no time.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from clearsight.config.schema import ModelConfig, PhaseConfig
from clearsight.ledger import record_benchmark
from clearsight.models.factory import BUILDERS, start
from clearsight.models.stages import run_prefix, run_rest, stages
from clearsight.runtime.device import autocast, tune_allocator
from clearsight.runtime.environment import environment
from clearsight.training.freezing import freeze, frozen_depth, selected, set_modes

# Network, side of its input in px, what of it trains, images in a batch.
SETTINGS = [
    ("tf_efficientnet_lite0", 224, "top:2", 64),
    ("tf_efficientnet_lite0", 160, "top:4", 64),
    ("tf_efficientnet_lite0", 128, "all", 64),
    ("airnet94", 24, "all", 1000),
    ("airnet94", 32, "all", 1000),
]
CPU = torch.device("cpu")


def prepared(name: str, size: int, trains: str, batch: int) -> Callable[[], None]:
    """A function that does one step of a phase, under the precision its caller sets."""
    # Networks of this package take images as large as they are.
    resized = name not in BUILDERS
    config = ModelConfig(name=name, weights="none", size=size if resized else None)
    model = start(config, [str(k) for k in range(10)], lambda: ([0.5] * 3, [0.25] * 3))
    model = model.to(memory_format=torch.channels_last)
    freeze(model, selected(model, trains), {name for name, _ in model.named_parameters()})
    set_modes(model, PhaseConfig(trainable=trains, batch_norm="running"))
    depth = 0 if trains == "all" else frozen_depth(model)
    side = 32 if resized else size
    images = torch.randint(0, 256, (batch, side, side, 3), dtype=torch.uint8)
    labels = torch.randint(0, 10, (batch,))
    with torch.no_grad(), autocast(CPU, "bf16"):
        maps = run_prefix(model, images, depth) if depth else images
    assert not depth or depth < len(stages(model.backbone))

    def step() -> None:
        logits = run_rest(model, maps, depth) if depth else model(maps)
        model.zero_grad()
        F.cross_entropy(logits.float(), labels).backward()

    return step


def images_per_second(
    step: Callable[[], None],
    mode: Callable[[], AbstractContextManager[Any]],
    batch: int,
    steps: int,
) -> float:
    with mode():
        step()
        started = time.perf_counter()
        for _ in range(steps):
            step()
        return batch * steps / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("results/convolutions.json"))
    given = parser.parse_args()
    tune_allocator()
    modes = {
        "torch": partial(torch.autocast, "cpu", torch.bfloat16),
        "clearsight": partial(autocast, CPU, "bf16"),
    }
    rows, cells = [], []
    for name, size, trains, batch in SETTINGS:
        step = prepared(name, size, trains, batch)
        rates: dict[str, list[float]] = {mode: [] for mode in modes}
        for _ in range(given.pairs):
            for mode, entered in modes.items():
                rates[mode].append(images_per_second(step, entered, batch, given.steps))
        ratios = [a / b for a, b in zip(rates["clearsight"], rates["torch"], strict=True)]
        rows.append(
            {
                "model": name, "size": size, "trains": trains, "batch": batch,
                "images_per_second": rates, "ratio": statistics.median(ratios),
            }
        )  # fmt: skip
        medians = [f"{statistics.median(rates[mode]):,.0f} images/s" for mode in modes]
        faster = f"{statistics.median(ratios):.2f} × ({min(ratios):.2f}–{max(ratios):.2f})"
        cells.append([f"`{name}`", f"{size} px", f"`{trains}`", *medians, faster])
        print(*cells[-1], flush=True)
    head = ["network", "input", "trains", "torch's autocast", "clearsight's", "faster (range)"]
    record_benchmark(
        given.out, environment(CPU, "bf16"), steps=given.steps, runs=rows,
        table={"head": head, "rows": cells},
    )  # fmt: skip


if __name__ == "__main__":
    main()
