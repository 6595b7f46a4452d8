"""airnet94 against the public speed record it learns from, on this CPU, in alternating pairs.

    python benchmarks/cpu_reference.py --reference PATH_TO/cifar10-airbench --pairs 3

The reference is `airbench94_muon.py` of KellerJordan/cifar10-airbench, given by the path of a
checkout; none of its code is here. It is written for CUDA: when it is loaded, its device, dtype
(fp16 → bf16), timers and compilation are swapped, and nothing else. Each run has a process of its
own. Times are those the reference takes itself: from the whitening of the first layer to the
test-time augmented predictions, without loading data and without its looks at the test set between
epochs. Ours are measured from the same point to the same point. A second row gives the reference
the allocator settings that clearsight makes for itself.
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

ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)}
SWAPS = {
    "@torch.compile\n": "",
    'torch.device("cuda")': 'torch.device("cpu")',
    "mod.half()": "mod.bfloat16()",
    "self.images.half()": "self.images.bfloat16()",
    "torch.cuda.Event(enable_timing=True)": "_Mark()",
    "torch.cuda.synchronize()": "None",
}


class Mark:
    """A CUDA event's interface over the host's clock."""

    def record(self) -> None:
        self.at = time.perf_counter()

    def elapsed_time(self, end: "Mark") -> float:
        """Milliseconds from this mark to `end`."""
        return 1e3 * (end.at - self.at)


def run_reference(checkout: Path, data_dir: str | None) -> dict[str, float]:
    """One full run of the reference in this process: its own seconds and accuracy."""
    import torch

    from clearsight.data.sources import load_images

    script = checkout / "airbench94_muon.py"
    code = script.read_text(encoding="utf-8")
    for old, new in SWAPS.items():
        if old not in code:
            raise SystemExit(f"{script}: {old!r} is not in it; this script knows another version")
        code = code.replace(old, new)
    images = load_images("cifar10", data_dir=data_dir)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("cifar10").mkdir()
        for part in ("train", "test"):
            where = images.parts == part
            stored = {
                "images": torch.from_numpy(images.images[where]),
                "labels": torch.from_numpy(images.labels[where]),
                "classes": list(images.classes),
            }
            torch.save(stored, f"cifar10/{part}.pt")
        names = {"__name__": "reference", "_Mark": Mark}
        # Its entry block is run by hand, to get at the time it measures.
        body, _, _ = code.partition('if __name__ == "__main__":')
        sys.argv = [str(script.resolve())]
        exec(compile(body, str(script), "exec"), names)
        found: dict[str, float] = {}
        names["print_training_details"] = lambda variables, is_final_entry: found.update(
            seconds=variables["time_seconds"]
        )
        network = names["CifarNet"]().to(memory_format=torch.channels_last)
        found["accuracy"] = names["main"](0, network)
    return found


def run_ours(recipe: str, seed: int, data_dir: str | None) -> dict[str, float]:
    """One full run of a recipe on all training images, timed as the reference times itself."""
    from dataclasses import replace

    from clearsight.config import load_recipe
    from clearsight.data.sources import load_images
    from clearsight.data.splits import split
    from clearsight.evaluation.metrics import predict_probabilities
    from clearsight.runs import create_run
    from clearsight.runtime import pick_device, pick_precision
    from clearsight.training.checkpoint import load_classifier
    from clearsight.training.train import train_model

    config = load_recipe(recipe, {"data.validation": 0.0, "training.seed": seed})
    images = load_images("cifar10", data_dir=data_dir)
    parts = split(images, config.data)
    images = replace(images, images=images.images[:])
    with tempfile.TemporaryDirectory() as folder:
        run = create_run(Path(folder) / "run", config, {})
        device = pick_device("auto")
        start = time.perf_counter()
        train_model(run, config, images, parts)
        probabilities = predict_probabilities(
            load_classifier(run.weights), images.images[parts.test], tta=config.evaluation.tta,
            precision=pick_precision("auto", device),
        )  # fmt: skip
        seconds = time.perf_counter() - start
    right = probabilities.argmax(1) == images.labels[parts.test]
    return {"seconds": seconds, "accuracy": float(right.mean())}


def child(arguments: list[str], environment: dict[str, str]) -> dict[str, float]:
    """A run in a process of its own; its last line of output is the result."""
    output = subprocess.run(
        [sys.executable, __file__, *arguments],
        env=os.environ | environment, check=True, stdout=subprocess.PIPE, text=True,
    ).stdout  # fmt: skip
    return json.loads(output.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reference", type=Path, required=True, help="checkout of the reference")
    parser.add_argument("--recipe", default="airnet94")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--data-dir")
    parser.add_argument("--out", type=Path, default=Path("results/cpu-reference.json"))
    parser.add_argument("--child", choices=["reference", "ours"], help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child == "reference":
        print(json.dumps(run_reference(given.reference.resolve(), given.data_dir)))
        return
    if given.child == "ours":
        print(json.dumps(run_ours(given.recipe, given.seed, given.data_dir)))
        return

    from clearsight.ledger import record_benchmark
    from clearsight.runtime import environment, pick_device, pick_precision

    shared = ["--reference", str(given.reference)]
    shared += ["--data-dir", given.data_dir] if given.data_dir else []
    rows: dict[str, list[dict[str, float]]] = {"ours": [], "reference": [], "reference tuned": []}
    for pair in range(given.pairs):
        ours = ["--child", "ours", "--recipe", given.recipe, "--seed", str(pair)]
        rows["ours"].append(child(ours + shared, {}))
        rows["reference"].append(child(["--child", "reference", *shared], {}))
        rows["reference tuned"].append(child(["--child", "reference", *shared], ALLOCATOR))
        for name, runs in rows.items():
            print(f"{name:<16} {runs[-1]['seconds']:8.1f} s  {runs[-1]['accuracy']:.2%}")
    ratios = {
        name: [o["seconds"] / r["seconds"] for o, r in zip(rows["ours"], rows[name], strict=True)]
        for name in ("reference", "reference tuned")
    }
    for name, values in ratios.items():
        print(f"ours / {name}: median {statistics.median(values):.3f}, pairs {values}")
    device = pick_device("auto")
    record_benchmark(
        given.out,
        environment(device, pick_precision("auto", device)),
        recipe=given.recipe,
        runs=rows,
        ratios=ratios,
    )


if __name__ == "__main__":
    main()
