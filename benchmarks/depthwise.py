"""Training steps of EfficientNet-Lite0 on this CPU, depthwise convolutions in float32 and in bf16.

    python benchmarks/depthwise.py --pairs 3

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

from clearsight.config import ModelConfig, PhaseConfig
from clearsight.ledger import record_benchmark
from clearsight.models.registry import start
from clearsight.models.stages import run_prefix, run_rest, stages
from clearsight.runtime import autocast, environment, tune_allocator
from clearsight.training.freezing import freeze, frozen_depth, selected, set_modes

SETTINGS = [(224, "top:2"), (160, "top:4"), (128, "all")]
CPU = torch.device("cpu")


def prepared(size: int, trains: str, batch: int) -> Callable[[], None]:
    """A function that does one step of a phase, under the precision its caller sets."""
    config = ModelConfig(name="tf_efficientnet_lite0", weights="none", size=size)
    model = start(config, [str(k) for k in range(10)], lambda: ([0.5] * 3, [0.25] * 3))
    model = model.to(memory_format=torch.channels_last)
    freeze(model, selected(model, trains), {name for name, _ in model.named_parameters()})
    set_modes(model, PhaseConfig(trains=trains, bn="running"))
    depth = 0 if trains == "all" else frozen_depth(model)
    images = torch.randint(0, 256, (batch, 32, 32, 3), dtype=torch.uint8)
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
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("results/depthwise.json"))
    given = parser.parse_args()
    tune_allocator()
    modes = {
        "bf16": partial(torch.autocast, "cpu", torch.bfloat16),
        "float32": partial(autocast, CPU, "bf16"),
    }
    rows, cells = [], []
    for size, trains in SETTINGS:
        step = prepared(size, trains, given.batch)
        rates: dict[str, list[float]] = {name: [] for name in modes}
        for _ in range(given.pairs):
            for name, mode in modes.items():
                rates[name].append(images_per_second(step, mode, given.batch, given.steps))
        pairs = zip(rates["float32"], rates["bf16"], strict=True)
        ratio = statistics.median(a / b for a, b in pairs)
        rows.append({"size": size, "trains": trains, "images_per_second": rates, "ratio": ratio})
        medians = [f"{statistics.median(rates[name]):.0f} images/s" for name in modes]
        cells.append([f"{size} px", f"`{trains}`", *medians, f"{ratio:.1f} ×"])
        print(*cells[-1], flush=True)
    head = ["input", "trains", "depthwise in bf16", "in float32", "faster"]
    record_benchmark(
        given.out,
        environment(CPU, "bf16"),
        batch=given.batch,
        steps=given.steps,
        runs=rows,
        table={"head": head, "rows": cells},
    )


if __name__ == "__main__":
    main()
