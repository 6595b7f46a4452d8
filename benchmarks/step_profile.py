"""Where the time of a training step goes on this CPU, by image size.

    python benchmarks/step_profile.py airnet94 --sizes 24 32

A step of a recipe's first phase on random images, which take the time that real ones take. Choosing
and augmenting, and the optimizer, are timed by the clock; what the network does forwards and
backwards is split up by torch's profiler, whose own cost is taken off in proportion. Medians over
the steps.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler's own talk; read by torch's import
import torch
import torch.nn.functional as F
from torch.profiler import profile

from clearsight.config.recipes import load_recipe
from clearsight.config.schema import Config
from clearsight.data.augment import augment
from clearsight.data.images import ImageSet
from clearsight.data.splits import split
from clearsight.ledger import record_benchmark
from clearsight.runtime.device import autocast, pick_precision, tune_allocator
from clearsight.runtime.environment import environment
from clearsight.training.optimizers import build_optimizers
from clearsight.training.train import new_classifier

CPU = torch.device("cpu")
WARM_UP = 3
CLASSES = 10
# Part of a step → how its operators' names begin.
OPERATORS: Mapping[str, tuple[str, ...]] = {
    "convolutions, forwards": ("aten::mkldnn_convolution", "aten::_slow_conv"),
    "convolutions, gradients": ("aten::convolution_backward", "aten::mkldnn_convolution_backward"),
    "products of small maps": ("aten::mm", "aten::addmm", "aten::linear"),
    "activations": ("aten::gelu", "aten::relu", "aten::threshold", "aten::silu"),
    "pooling": ("aten::max_pool2d", "aten::amax", "aten::avg_pool", "aten::fill_"),
    "batch norm": ("aten::native_batch_norm", "aten::batch_norm"),
}
DATA, REST, OPTIMIZER = "choosing and augmenting", "the rest of the network", "optimizer"
PARTS = (DATA, *OPERATORS, REST, OPTIMIZER)


def noise(count: int, size: int) -> ImageSet:
    """Random images of `CLASSES` classes."""
    rng = np.random.default_rng(0)
    return ImageSet(
        images=rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8),
        labels=np.arange(count, dtype=np.int64) % CLASSES,
        classes=tuple(f"class {k}" for k in range(CLASSES)),
        ids=np.arange(count).astype("S72"),
        parts=np.full(count, "train"),
        name="noise",
    )


def parts_of_a_step(config: Config, size: int, steps: int) -> dict[str, float]:
    """Part → median milliseconds of a step on images of `size` px."""
    batch, phase = config.training.batch, config.phases[0]
    images = noise(4 * batch, size)
    model = new_classifier(config, images, split(images, config.data))
    model = model.train().to(memory_format=torch.channels_last)
    optimizers = build_optimizers(model, phase)
    precision = pick_precision(config.training.precision, CPU)
    pixels, labels = torch.from_numpy(images.images), torch.from_numpy(images.labels)
    draw = torch.Generator().manual_seed(0)

    def data() -> tuple[torch.Tensor, torch.Tensor]:
        places = torch.randperm(len(pixels), generator=draw)[:batch]
        return augment(
            pixels.index_select(0, places), labels.index_select(0, places),
            config=config.augment, epoch=0, indices=places, generator=draw, classes=CLASSES,
        )  # fmt: skip

    def network(inputs: torch.Tensor, targets: torch.Tensor) -> None:
        with autocast(CPU, precision):
            logits = model(inputs).float()
            loss = F.cross_entropy(logits, targets, label_smoothing=config.training.label_smoothing)
        model.zero_grad(set_to_none=True)
        loss.backward()

    def step() -> None:
        for optimizer in optimizers:
            optimizer.step()

    taken: list[dict[str, float]] = []
    for number in range(WARM_UP + steps):
        (inputs, targets), data_ms = timed(data)
        _, network_ms = timed(lambda given=(inputs, targets): network(*given))
        with profile() as profiler:
            network(inputs, targets)
        found = operators(profiler)
        whole = sum(found.values())
        _, optimizer_ms = timed(step)
        row = {name: network_ms * each / whole for name, each in found.items()}
        if number >= WARM_UP:
            taken.append({DATA: data_ms, **row, OPTIMIZER: optimizer_ms})
    return {part: statistics.median(row[part] for row in taken) for part in PARTS}


def operators(profiler: profile) -> dict[str, float]:
    """Part of the network's work → its share of the profiled time, in microseconds."""
    found = dict.fromkeys((*OPERATORS, REST), 0.0)
    for event in profiler.key_averages():
        part = next((p for p, names in OPERATORS.items() if event.key.startswith(names)), REST)
        found[part] += event.self_cpu_time_total
    return found


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What `work` gives, and its milliseconds."""
    started = time.perf_counter()
    result = work()
    return result, 1e3 * (time.perf_counter() - started)


def tabulated(found: Mapping[int, Mapping[str, float]], batch: int) -> dict[str, Any]:
    """The rows of the documents."""
    totals = {size: sum(parts.values()) for size, parts in found.items()}
    rows = [
        [
            part,
            *(f"{ms[part]:.1f} ms ({ms[part] / totals[size]:.0%})" for size, ms in found.items()),
        ]
        for part in PARTS
    ]
    rows.append(["a step", *(f"{total:.0f} ms" for total in totals.values())])
    rows.append(["images per second", *(f"{1e3 * batch / t:,.0f}" for t in totals.values())])
    return {"head": [f"{batch} images", *(f"{size} px" for size in found)], "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", nargs="?", default="airnet94")
    parser.add_argument("--sizes", type=int, nargs="+", default=[24, 32])
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path("results/step-profile.json"))
    given = parser.parse_args()
    tune_allocator()
    config = load_recipe(given.recipe)
    found = {size: parts_of_a_step(config, size, given.steps) for size in given.sizes}
    table = tabulated(found, config.training.batch)
    for line in (table["head"], *table["rows"]):
        print("".join(f"{cell:<26}" for cell in line))
    record_benchmark(
        given.out,
        environment(CPU, pick_precision(config.training.precision, CPU)),
        recipe=given.recipe, steps=given.steps,
        milliseconds={str(size): parts for size, parts in found.items()}, table=table,
    )  # fmt: skip


if __name__ == "__main__":
    main()
