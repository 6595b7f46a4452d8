"""Ours against the public speed records on one NVIDIA GPU, in turns.

    python benchmarks/gpu.py --airbench PATH_TO/cifar10-airbench --speedrun PATH_TO/cifar10-speedrun

The references are `airbench94_muon.py` and `airbench96_faster.py` of KellerJordan/cifar10-airbench
and `cifar10_speedrun.py` of hiverge/cifar10-speedrun, given by the paths of checkouts. None of
their code is here, and nothing in them is changed, but what they say at the end of a run is taken
down. Ours run as they are, and compiled (`training.compile`). Every contestant has a process of its
own. Those of one target accuracy make one run each in turn, the order reversed every round.

- first run: wall time from the start of its process to the accuracy, with imports, loading the data
  and compilation, all compilers' caches empty
- seconds: the mean of the runs after that one, by events of the device. The references time
  themselves: from the whitening of the first layer to the test-time augmented predictions, without
  loading data and without their looks at the test set between epochs. Ours are timed as a user has
  them, from `train_model` to the same predictions: with the pixels' way to the device, the channel
  statistics, and the run folder
- accuracy: with test-time augmentation, on the 10,000 test images after training on all 50,000
"""

import argparse
import hashlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from clearsight.config.recipes import load_recipe, to_table
from clearsight.config.schema import Config
from clearsight.data.images import ImageSet
from clearsight.data.sources import load_images
from clearsight.data.splits import split
from clearsight.evaluation.metrics import predict_probabilities
from clearsight.ledger import record_benchmark, spread
from clearsight.runs import create_run
from clearsight.runtime.device import pick_device, pick_precision
from clearsight.runtime.environment import environment
from clearsight.training.checkpoint import load_classifier
from clearsight.training.train import train_model

OURS = {94: "airnet94", 96: "airnet96"}
COMPILED = " compiled"  # after the recipe's name: the same with training.compile

Result = dict[str, float]
MakeRun = Callable[[int], Result]


def one_model(module: ModuleType) -> Callable[[int], object]:
    """A run of a reference that trains one compiled model, the same object in every run."""
    model = module.CifarNet().cuda().to(memory_format=torch.channels_last)
    model.compile(mode="max-autotune")
    return lambda number: module.main(number, model)


def with_proxy(module: ModuleType) -> Callable[[int], object]:
    """A run of the reference whose small proxy network chooses the images.

    Its own network is there twice: the first layer's bias trains in one and is frozen in the other.
    """
    nets = [module.make_net(module.hyp[kind]) for kind in ("proxy", "net", "net")]
    for net in (nets[0], nets[2]):
        net[0].bias.requires_grad = False
    compiled = [torch.compile(net, mode="max-autotune") for net in nets]
    return lambda number: module.main(number, module.hyp, *compiled)


# Name → target accuracy in percent, flag of the checkout it is in, how a run of it is made.
REFERENCES: Mapping[str, tuple[int, str, Callable[[ModuleType], Callable[[int], object]]]] = {
    "airbench94_muon": (94, "airbench", one_model),
    "cifar10_speedrun": (94, "speedrun", one_model),
    "airbench96_faster": (96, "airbench", with_proxy),
}


def stage(images: ImageSet, folder: Path) -> None:
    """Writes `folder/cifar10/{train,test}.pt`, as all references expect them where they run."""
    (folder / "cifar10").mkdir()
    for part in ("train", "test"):
        where = images.parts == part
        stored = {
            "images": torch.from_numpy(images.images[where]),
            "labels": torch.from_numpy(images.labels[where]),
            "classes": list(images.classes),
        }
        torch.save(stored, folder / "cifar10" / f"{part}.pt")


def reference(script: Path, prepare: Callable[[ModuleType], Callable[[int], object]]) -> MakeRun:
    """Runs of a reference: what it says of itself at the end of each."""
    sys.argv = [str(script)]  # by this name one of them reads its own source
    spec = importlib.util.spec_from_file_location("reference", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["reference"] = module
    spec.loader.exec_module(module)
    found: Result = {}

    def note(variables: Mapping[str, Any], is_final_entry: bool) -> None:
        if is_final_entry:
            name = "time_seconds" if "time_seconds" in variables else "total_time_seconds"
            found.update(seconds=variables[name], accuracy=variables["tta_val_acc"])

    vars(module)["print_training_details"] = note
    one = prepare(module)

    def make_run(number: int) -> Result:
        found.clear()
        started = time.perf_counter()
        one(number)
        return found | {"wall_seconds": time.perf_counter() - started}

    return make_run


def ours(config: Config, images: ImageSet) -> MakeRun:
    """Runs of a recipe, the number of the run being its seed."""
    parts = split(images, config.data)
    device = pick_device(config.training.device)
    precision = pick_precision(config.training.precision, device)

    def make_run(number: int) -> Result:
        seeded = replace(config, training=replace(config.training, seed=number))
        with tempfile.TemporaryDirectory() as folder:
            run = create_run(Path(folder) / "run", seeded, {})
            with timed(device) as result:
                train_model(run, seeded, images, parts)
                probabilities = predict_probabilities(
                    load_classifier(run.weights).to(device), images.images[parts.test],
                    tta=config.evaluation.tta, precision=precision,
                )  # fmt: skip
        right = probabilities.argmax(1) == images.labels[parts.test]
        return result | {"accuracy": float(right.mean())}

    return make_run


@contextmanager
def timed(device: torch.device) -> Generator[Result]:
    """The block's `seconds` by the device's events, where it has them, and `wall_seconds`."""
    result: Result = {}
    started = time.perf_counter()
    if device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        yield result
        end.record()
        torch.cuda.synchronize()
        result["seconds"] = 1e-3 * start.elapsed_time(end)
        result["wall_seconds"] = time.perf_counter() - started
        return
    yield result
    result["seconds"] = result["wall_seconds"] = time.perf_counter() - started


def work(name: str, script: Path | None, folder: Path, data_dir: str | None) -> None:
    """Makes a run for every line of stdin, its number; answers with a line of JSON on stdout."""
    # What a reference prints goes to stderr, so that answers are all there is on stdout.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if script is not None:
        os.chdir(folder)
        make_run = reference(script, REFERENCES[name][2])
    else:
        images = load_images("cifar10", data_dir=data_dir)
        images = replace(images, images=np.array(images.images))  # no disk while the clock runs
        changes = {"data.validation": 0.0, "training.compile": name.endswith(COMPILED)}
        make_run = ours(load_recipe(name.removesuffix(COMPILED), changes), images)
    for line in sys.stdin:
        print(json.dumps(make_run(int(line))), file=answers, flush=True)


def start(
    name: str, script: Path | None, folder: Path, data_dir: str | None
) -> "subprocess.Popen[str]":
    """The process of a contestant, which waits for numbers; its compilers find empty caches."""
    command = [sys.executable, __file__, "--worker", name, "--folder", str(folder)]
    command += ["--script", str(script)] if script is not None else []
    command += ["--data-dir", data_dir] if data_dir else []
    caches = {
        variable: str(folder / f"{name}-{variable.lower()}")
        for variable in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
    }
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | caches
    )


def ask(worker: "subprocess.Popen[str]", number: int) -> Result:
    """The worker's run of that number."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(f"{number}\n")
    worker.stdin.flush()
    answer = worker.stdout.readline()
    if not answer:
        raise SystemExit(f"benchmarks/gpu.py: a contestant ended with code {worker.wait()}")
    return json.loads(answer)


def compete(
    scripts: Mapping[str, Path | None], runs: int, folder: Path, data_dir: str | None
) -> dict[str, dict[str, Any]]:
    """`first` and `runs` of every contestant; `scripts` has None for ours."""
    workers: dict[str, subprocess.Popen[str]] = {}
    found: dict[str, dict[str, Any]] = {}
    try:
        for name, script in scripts.items():
            started = time.perf_counter()
            workers[name] = start(name, script, folder, data_dir)
            first = ask(workers[name], 0)
            first["wall_seconds"] = time.perf_counter() - started
            found[name] = {"first": first, "runs": []}
            print(f"{name}: first run {first['wall_seconds']:.1f} s, {first['accuracy']:.2%}")
        names = list(scripts)
        for number in range(1, runs + 1):
            for name in names if number % 2 else reversed(names):
                found[name]["runs"].append(ask(workers[name], number))
                last = found[name]["runs"][-1]
                print(f"{number:>3} {name:<18} {last['seconds']:8.3f} s  {last['accuracy']:.2%}")
    finally:
        for worker in workers.values():
            worker.terminate()
            worker.wait()
    return found


def contestants(target: int, checkouts: Mapping[str, Path | None]) -> dict[str, Path | None]:
    """Ours, and the references of that target whose checkouts are given, by their scripts."""
    found: dict[str, Path | None] = {OURS[target]: None, OURS[target] + COMPILED: None}
    for name, (theirs, flag, _) in REFERENCES.items():
        checkout = checkouts[flag]
        if theirs != target or checkout is None:
            continue
        script = checkout.resolve() / f"{name}.py"
        if not script.is_file():
            raise SystemExit(f"--{flag}: found no {script}; give the path of a checkout")
        found[name] = script
    return found


def summary(name: str, target: int, found: Mapping[str, Any]) -> dict[str, Any]:
    """A contestant's entry in the result."""
    return {
        "name": name,
        "target": target,
        "first": found["first"],
        "runs": found["runs"],
        "seconds": spread([run["seconds"] for run in found["runs"]]),
        "accuracy": spread([run["accuracy"] for run in found["runs"]]),
    }


def compare(mine: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Ours against a reference: the median ratio of seconds, and the difference of mean accuracies.

    `margin` is half of that difference's 95 % interval, by the normal distribution.
    """
    pairs = zip(mine["runs"], other["runs"], strict=True)
    ratios = [a["seconds"] / b["seconds"] for a, b in pairs]
    n = len(ratios)
    variance = sum(each["accuracy"].get("sd", 0.0) ** 2 / n for each in (mine, other))
    return {
        "ours": mine["name"],
        "reference": other["name"],
        "ratio": statistics.median(ratios),
        "accuracy_difference": mine["accuracy"]["mean"] - other["accuracy"]["mean"],
        "margin": 1.96 * variance**0.5,
    }


def tabulated(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The contestants for the screen and the documents."""
    cells = []
    for row in rows:
        sd = f" ± {100 * row['accuracy']['sd']:.2f}" if "sd" in row["accuracy"] else ""
        cells.append(
            [
                row["name"], f"{row['target']} %", f"{row['seconds']['mean']:.3f} s",
                f"{row['first']['wall_seconds']:.1f} s",
                f"{100 * row['accuracy']['mean']:.2f}{sd} %", str(len(row["runs"])),
            ]
        )  # fmt: skip
    head = ["contestant", "target", "seconds", "first run, all in", "test accuracy", "runs"]
    return {"head": head, "rows": cells}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--airbench", type=Path, help="checkout of KellerJordan/cifar10-airbench")
    parser.add_argument("--speedrun", type=Path, help="checkout of hiverge/cifar10-speedrun")
    parser.add_argument("--runs", type=int, default=20, help="of each, after its first")
    parser.add_argument("--targets", type=int, nargs="+", choices=OURS, default=list(OURS))
    parser.add_argument("--data-dir")
    parser.add_argument("--out", type=Path, default=Path("results/gpu.json"))
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--script", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        work(given.worker, given.script, given.folder, given.data_dir)
        return
    if not torch.cuda.is_available():
        raise SystemExit("benchmarks/gpu.py: found no CUDA device; run it on a machine with one")
    if given.airbench is None and given.speedrun is None:
        parser.error("give --airbench, --speedrun or both: there is nothing to compare with")

    checkouts = {"airbench": given.airbench, "speedrun": given.speedrun}
    groups = {target: contestants(target, checkouts) for target in given.targets}
    rows, comparisons = [], []
    with tempfile.TemporaryDirectory() as name:
        stage(load_images("cifar10", data_dir=given.data_dir), Path(name))
        for target, scripts in groups.items():
            found = compete(scripts, given.runs, Path(name), given.data_dir)
            all_of = [summary(each, target, found[each]) for each in scripts]
            rows += all_of
            own = [row for row in all_of if scripts[row["name"]] is None]
            others = [row for row in all_of if scripts[row["name"]] is not None]
            comparisons += [compare(mine, other) for mine in own for other in others]
    table = tabulated(rows)
    for line in (table["head"], *table["rows"]):
        print("".join(f"{cell:<19}" for cell in line))
    for each in comparisons:
        print(
            f"{each['ours']} / {each['reference']}: {each['ratio']:.3f} of the seconds, accuracy "
            f"{100 * each['accuracy_difference']:+.2f} ± {100 * each['margin']:.2f} points"
        )
    device = pick_device("cuda")
    record_benchmark(
        given.out,
        environment(device, pick_precision("auto", device)),
        recipes=[to_table(load_recipe(OURS[target])) for target in groups],
        references={
            name: hashlib.sha256(script.read_bytes()).hexdigest()
            for scripts in groups.values()
            for name, script in scripts.items()
            if script is not None
        },
        contestants=rows,
        comparisons=comparisons,
        table=table,
    )


if __name__ == "__main__":
    main()
