"""How the cost of training grows: with the number of images, and with their size.

    python benchmarks/scaling.py --steps 60 --repeats 3

Each configuration is trained for some steps by `train_model`, in a process of its own, on the CPU:
10 thousand to 1 million images at 32 px, and 10 thousand at 32, 64 and 128 px. The first images are
CIFAR-10's training images, enlarged by repeating pixels; those beyond them are noise, which costs
the same. ResNet-20 is the default: its steps are short, so many of them fit into the time, and at
128 images a step its activations do not hide what the images themselves take.

- a step: the median over all timed steps of all repeats, the first ten of each process left out
- an epoch: the seeded order of its images, timed, and its number of steps times the median step; a
  validation and a checkpoint would come on top, which do not depend on the number of images
- peak memory: the highest resident set of a process, its memory-mapped images included, which the
  system could take back; the largest of the repeats

A cost is called linear where a straight line explains it (R² of at least 0.99) and its exponent,
the slope of the logarithms, is at most 1.1: a constant part makes that smaller than one.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from clearsight.progress import Silent

IMAGES = (10_000, 50_000, 200_000, 1_000_000)
SIZES = (32, 64, 128)
WARM_UP = 10
CHUNK = 10_000  # images written at once
CLASSES = 10


class StepTimes(Silent):
    """Notes how long every step of an epoch took but the first, which waits for the order."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.before: float | None = None

    def task(
        self, name: str, total: float, *, unit: str = ""
    ) -> AbstractContextManager[Callable[[float], None]]:
        return nullcontext(self.advance)

    def advance(self, count: float) -> None:
        now = time.perf_counter()
        if self.before is not None:
            self.seconds.append(now - self.before)
        self.before = now

    def epoch(self, row: object) -> None:
        self.before = None


def write_images(path: Path, count: int, size: int, real: np.ndarray) -> None:
    """`path`: uint8 [count, size, size, 3], `real` ones first with their pixels repeated."""
    factor, rest = divmod(size, real.shape[1])
    if rest or not factor:
        raise SystemExit(f"--sizes: found {size}, expected multiples of {real.shape[1]} px")
    draw = np.random.default_rng(0)
    stored = np.lib.format.open_memmap(path, "w+", np.uint8, (count, size, size, 3))
    for start in range(0, count, CHUNK):
        stop = min(count, start + CHUNK)
        known = real[start:stop].repeat(factor, 1).repeat(factor, 2)
        stored[start : start + len(known)] = known
        unknown = stop - start - len(known)
        stored[stop - unknown : stop] = draw.integers(0, 256, (unknown, size, size, 3), np.uint8)
    stored.flush()


def peak_memory() -> int:
    """Bytes: the highest resident set of this process so far.

    Not getrusage's, which a process takes over from the one that started it.
    """
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    raise SystemExit("benchmarks/scaling.py: /proc/self/status has no VmHWM; run it on Linux")


def steps_to_time(count: int, per_epoch: int) -> int:
    """How many steps it takes to time `count` of them, the first of each epoch not being timed."""
    if per_epoch < 2:
        raise SystemExit("--images: found less than two steps an epoch, expected more images")
    epochs, rest = divmod(count, per_epoch - 1)
    return epochs * per_epoch + (rest + 1 if rest else 0)


def measure(recipe: str, file: Path, count: int, steps: int) -> dict[str, Any]:
    """Trains on the first `count` images of `file` in this process: what a step took, and so on."""
    from dataclasses import replace

    from clearsight.config.recipes import load_recipe
    from clearsight.data.batches import Batches
    from clearsight.data.images import ImageSet
    from clearsight.data.splits import split
    from clearsight.runs import create_run
    from clearsight.runtime.device import pick_device
    from clearsight.training.train import train_model

    changes = {"data.validation": 0.0, "data.test": 0.0, "training.device": "cpu"}
    config = load_recipe(recipe, changes)
    total = steps_to_time(WARM_UP + steps, count // config.training.batch)
    # Without what a recipe's course saves: every step is to cost the same.
    phase = replace(config.phases[0], steps=total, progressive_resizing=1.0, selective_backprop=0.0)
    config = replace(config, phases=(phase,))
    images = ImageSet(
        images=np.load(file, mmap_mode="r")[:count],
        labels=np.arange(count, dtype=np.int64) % CLASSES,
        classes=tuple(f"class {k}" for k in range(CLASSES)),
        ids=np.arange(count).astype("S72"),
        parts=np.full(count, "train"),
        name="scaling",
    )
    parts, times = split(images, config.data), StepTimes()
    with tempfile.TemporaryDirectory() as folder:
        run = create_run(Path(folder) / "run", config, {})
        train_model(run, config, images, parts, progress=times)
    memory = peak_memory()
    batches = Batches(
        images, parts.train, batch=config.training.batch, seed=0, device=pick_device("cpu")
    )
    started = time.perf_counter()
    batches.indices(0)
    return {
        "order_seconds": time.perf_counter() - started,
        "steps_per_epoch": len(batches),
        "step_seconds": times.seconds[WARM_UP : WARM_UP + steps],
        "peak_memory": memory,
    }


def row(images: int, size: int, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A configuration's repeats in one."""
    step = statistics.median(seconds for run in runs for seconds in run["step_seconds"])
    steps = runs[0]["steps_per_epoch"]
    return {
        "images": images,
        "size": size,
        "timed_steps": sum(len(run["step_seconds"]) for run in runs),
        "steps_per_epoch": steps,
        "seconds_per_step": step,
        "medians": [statistics.median(run["step_seconds"]) for run in runs],
        "seconds_per_epoch": steps * step + statistics.median(run["order_seconds"] for run in runs),
        "peak_memory": max(run["peak_memory"] for run in runs),
    }


def fit(x: Sequence[float], y: Sequence[float]) -> dict[str, Any]:
    """The straight line through (x, y), how well it explains them, and the exponent of growth."""
    slope, intercept = np.polyfit(x, y, 1)
    left = np.asarray(y) - (intercept + slope * np.asarray(x))
    r2 = 1 - float(left @ left) / float(np.var(y) * len(y))
    exponent = float(np.polyfit(np.log(x), np.log(y), 1)[0])
    return {
        "slope": float(slope),
        "intercept": float(intercept),
        "r2": r2,
        "exponent": exponent,
        "linear": r2 >= 0.99 and exponent <= 1.1,
    }


def fits(rows: Sequence[dict[str, Any]], images: int, size: int) -> list[dict[str, Any]]:
    """Time and memory against the number of images at `size` px, and pixels at `images`."""
    found = []
    for against, fixed, at in (("images", "size", size), ("pixels", "images", images)):
        some = [row for row in rows if row[fixed] == at]
        x = [row["images"] if against == "images" else row["size"] ** 2 for row in some]
        for of in ("seconds_per_epoch", "peak_memory"):
            about = {"of": of, "against": against, "fixed": fixed, "at": at}
            found.append(about | fit(x, [row[of] for row in some]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", default="resnet20", help="its first phase is measured")
    parser.add_argument("--images", type=int, nargs="+", default=IMAGES)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="in px")
    parser.add_argument("--steps", type=int, default=60, help="timed steps in each process")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data", default="cifar10", help="where the first images are from")
    parser.add_argument("--data-dir")
    parser.add_argument("--out", type=Path, default=Path("results/scaling.json"))
    parser.add_argument("--child", type=int, metavar="COUNT", help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(measure(given.recipe, given.file, given.child, given.steps)))
        return
    if min(len(set(given.images)), len(set(given.sizes))) < 3:
        parser.error("--images and --sizes: give at least three each, for a line to be judged")

    from clearsight.config.recipes import load_recipe, to_table
    from clearsight.data.sources import load_images
    from clearsight.ledger import record_benchmark
    from clearsight.runtime.device import pick_device, pick_precision
    from clearsight.runtime.environment import environment

    counts, sizes = sorted(set(given.images)), sorted(set(given.sizes))
    source = load_images(given.data, data_dir=given.data_dir)
    real = source.images[source.parts != "test"]
    configurations = [(count, sizes[0]) for count in counts]
    configurations += [(counts[0], size) for size in sizes[1:]]
    runs: dict[tuple[int, int], list[dict[str, Any]]] = {each: [] for each in configurations}
    with tempfile.TemporaryDirectory() as folder:
        files = {size: Path(folder) / f"{size}.npy" for size in sizes}
        for size, file in files.items():
            write_images(file, counts[-1] if size == sizes[0] else counts[0], size, real)
        for repeat in range(given.repeats):
            for count, size in configurations:
                command = [
                    sys.executable, __file__, "--recipe", given.recipe, "--steps",
                    str(given.steps), "--child", str(count), "--file", str(files[size]),
                ]  # fmt: skip
                output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                found = json.loads(output.stdout.strip().splitlines()[-1])
                runs[count, size].append(found)
                print(
                    f"{repeat + 1}: {count:>9,} images, {size:>3} px: "
                    f"{1e3 * statistics.median(found['step_seconds']):8.1f} ms a step, "
                    f"{found['peak_memory'] / 2**30:6.2f} GiB"
                )
    rows = [row(*each, runs[each]) for each in configurations]
    lines = fits(rows, counts[0], sizes[0])
    for each in lines:
        print(
            f"{each['of']} against {each['against']}: "
            f"{'linear' if each['linear'] else 'not linear'} "
            f"(R² {each['r2']:.4f}, exponent {each['exponent']:.3f})"
        )
    config = load_recipe(given.recipe, {"training.device": "cpu"})
    device = pick_device("cpu")
    record_benchmark(
        given.out,
        environment(device, pick_precision(config.training.precision, device)),
        kind="scaling",
        recipe=config.name,
        config=to_table(config),
        steps=given.steps,
        warm_up=WARM_UP,
        repeats=given.repeats,
        rows=rows,
        fits=lines,
    )


if __name__ == "__main__":
    main()
