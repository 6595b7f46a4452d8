"""airnet94 against the public speed record it learns from, on this CPU, in alternating pairs.

    python benchmarks/cpu_reference.py --reference PATH_TO/cifar10-airbench --pairs 3

The reference is `airbench94_muon.py` of KellerJordan/cifar10-airbench, given by the path of a
checkout; none of its code is here. It is written for CUDA: when it is loaded, its device, dtype
(fp16 → bf16), timers and compilation are swapped, and its looks at the test set between epochs,
which it does not time, are left out; nothing else. Each run has a process of its own. Times are
those the reference takes itself: from the whitening of the first layer to the test-time augmented
predictions, without loading data. Ours are measured from `train_model` to the same predictions,
with the channel statistics and the run folder. A second row gives the reference the allocator
settings that clearsight makes for itself. Every run is on record at once; given again, the command
goes on where it was stopped.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clearsight.ledger import spread

OURS, REFERENCE, TUNED = "ours", "reference", "reference tuned"
SCRIPT = "airbench94_muon.py"
ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)}
SWAPS = {
    "@torch.compile\n": "",
    'torch.device("cuda")': 'torch.device("cpu")',
    "mod.half()": "mod.bfloat16()",
    "self.images.half()": "self.images.bfloat16()",
    "torch.cuda.Event(enable_timing=True)": "_Mark()",
    "torch.cuda.synchronize()": "None",
    # Its look at the test set after an epoch is outside of the time it takes.
    "val_acc = evaluate(model, test_loader, tta_level=0)": "val_acc = 0.0",
}

Result = dict[str, Any]


class Mark:
    """A CUDA event's interface over the host's clock."""

    def record(self) -> None:
        self.at = time.perf_counter()

    def elapsed_time(self, end: "Mark") -> float:
        """Milliseconds from this mark to `end`."""
        return 1e3 * (end.at - self.at)


def run_reference(checkout: Path, data_dir: str | None) -> Result:
    """One full run of the reference in this process: its own seconds and accuracy."""
    import torch

    from clearsight.data.sources import load_images

    script = checkout / SCRIPT
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
        names: dict[str, Any] = {"__name__": "reference", "_Mark": Mark}
        # Its entry block is run by hand, to get at the time it measures.
        body, _, _ = code.partition('if __name__ == "__main__":')
        sys.argv = [str(script.resolve())]
        exec(compile(body, str(script), "exec"), names)
        found: Result = {}
        names["print_training_details"] = lambda variables, is_final_entry: found.update(
            seconds=variables["time_seconds"]
        )
        network = names["CifarNet"]().to(memory_format=torch.channels_last)
        found["accuracy"] = names["main"](0, network)
    return found


def run_ours(recipe: str, seed: int, data_dir: str | None) -> Result:
    """One full run of a recipe on all training images, timed as the reference times itself."""
    from dataclasses import replace

    # The first optimizer imports it. Imports are outside of the time, as the reference's are.
    import torch._dynamo  # noqa: F401

    from clearsight.config.recipes import load_recipe
    from clearsight.data.sources import load_images
    from clearsight.data.splits import split
    from clearsight.evaluation.metrics import predict_probabilities
    from clearsight.runs import create_run
    from clearsight.runtime.device import pick_device, pick_precision
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


def child(contestant: str, given: argparse.Namespace, seed: int) -> Result:
    """A run in a process of its own; its last line of output is the result."""
    command = [sys.executable, __file__, "--child", contestant, "--seed", str(seed)]
    command += ["--reference", str(given.reference), "--recipe", given.recipe]
    command += ["--data-dir", given.data_dir] if given.data_dir else []
    allocator = ALLOCATOR if contestant == TUNED else {}
    started = datetime.now(UTC).isoformat(timespec="seconds")
    output = subprocess.run(
        command, env=os.environ | allocator, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    # With its hour: runs of a pair that lie far apart saw another load of a shared machine.
    result = {"started": started, **json.loads(output.strip().splitlines()[-1])}
    print(f"{contestant:<16} {result['seconds']:8.1f} s  {result['accuracy']:.2%}", flush=True)
    return result


def results(runs: Mapping[str, Sequence[Result]], recipe: str) -> dict[str, Any]:
    """What is recorded of the runs so far: accuracies, ratios of the pairs, the table."""
    titles = {
        OURS: f"`{recipe}`", REFERENCE: "airbench94_muon on a CPU",
        TUNED: "the same with our allocator settings",
    }  # fmt: skip
    rows, ratios = [], {}
    for name, title in titles.items():
        if not runs[name]:
            continue
        seconds = statistics.median(run["seconds"] for run in runs[name])
        accuracy = spread([run["accuracy"] for run in runs[name]])
        sd = f" ± {100 * accuracy['sd']:.2f}" if "sd" in accuracy else ""
        ratio = "1"
        if name != OURS:
            # Seeds beyond the pairs have no partner.
            pairs = zip(runs[OURS], runs[name], strict=False)
            ratios[name] = [ours["seconds"] / theirs["seconds"] for ours, theirs in pairs]
            ratio = f"{statistics.median(ratios[name]):.2f}"
            if len(ratios[name]) > 1:
                ratio += f" ({min(ratios[name]):.2f}–{max(ratios[name]):.2f})"
        cells = [title, f"{seconds:.0f} s", ratio, f"{100 * accuracy['mean']:.2f}{sd} %"]
        rows.append([*cells, str(len(runs[name]))])
    head = ["contestant", "median time", "ours in its time (range)", "test accuracy", "runs"]
    return {"runs": runs, "ratios": ratios, "table": {"head": head, "rows": rows}}


def earlier(path: Path, about: Mapping[str, Any]) -> dict[str, list[Result]]:
    """The runs in an earlier result, if it is of the same recipe and reference; else none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {OURS: [], REFERENCE: [], TUNED: []}
    if any(found[key] != value for key, value in about.items()):
        raise SystemExit(f"{path}: is of another recipe or reference; remove it, or give --out")
    return found["runs"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reference", type=Path, required=True, help="checkout of the reference")
    parser.add_argument("--recipe", default="airnet94")
    parser.add_argument("--pairs", type=int, default=3, help="runs of ours and of the reference")
    parser.add_argument("--tuned", type=int, default=3, help="how many pairs have a third run")
    parser.add_argument("--seeds", type=int, default=5, help="runs of ours, in all")
    parser.add_argument("--data-dir")
    parser.add_argument("--out", type=Path, default=Path("results/cpu-reference.json"))
    parser.add_argument("--child", choices=[OURS, REFERENCE, TUNED], help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child == OURS:
        print(json.dumps(run_ours(given.recipe, given.seed, given.data_dir)))
        return
    if given.child:
        print(json.dumps(run_reference(given.reference.resolve(), given.data_dir)))
        return

    from clearsight.config.recipes import load_recipe, to_table
    from clearsight.ledger import record_benchmark
    from clearsight.runtime.device import pick_device, pick_precision
    from clearsight.runtime.environment import environment

    script = given.reference / SCRIPT
    about: dict[str, Any] = {
        "recipe": to_table(load_recipe(given.recipe)),
        "reference": {SCRIPT: hashlib.sha256(script.read_bytes()).hexdigest()},
    }
    runs = earlier(given.out, about)
    device = pick_device("auto")
    machine = environment(device, pick_precision("auto", device))
    # In turn: ours, the reference, the reference with our allocator settings; then ours alone.
    turns = range(max(given.pairs, given.seeds))
    most = {OURS: len(turns), REFERENCE: given.pairs, TUNED: min(given.pairs, given.tuned)}
    for turn in turns:
        for name, runs_of in runs.items():
            if len(runs_of) <= turn < most[name]:
                runs_of.append(child(name, given, turn))
                # After every run, so that what is there is on record whenever this is stopped.
                record_benchmark(given.out, machine, **about, **results(runs, given.recipe))
    for name, values in results(runs, given.recipe)["ratios"].items():
        print(f"ours / {name}: median {statistics.median(values):.3f}, pairs {values}")


if __name__ == "__main__":
    main()
