"""Runs killed at random moments, and what one `--resume` makes of them.

    python -m tests.workflows.killing 50 FOLDER

A small run in two phases, one of them on cached features, is trained once undisturbed; then it is
begun again and again, killed by SIGKILL after a random time, and resumed once. The processes are
forks of this one, which has imported everything: they spend their time on the run. It must have
computed nothing itself, for OpenMP's threads do not survive a fork, so it runs as a program.
"""

import hashlib
import importlib
import multiprocessing
import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

from clearsight.files import read_json
from clearsight.tracking.store import load_client

RECIPE = """
[data]
source = "digits"
size = 16
subset = 240
test = 0.1
[augment]
translate = 1
[model]
name = "airnet-tiny"
[training]
batch = 32
precision = "fp32"
averaging = "ema"
[[phases]]
name = "head"
trainable = "head"
epochs = 4
lr = 0.05
[[phases]]
name = "all"
epochs = 4
lr = 0.02
"""
SAME_BYTES = (
    "checkpoints/best/model.safetensors", "checkpoints/last/model.safetensors",
    "checkpoints/last/margins.safetensors", "history.csv",
    "predictions.parquet", "predictions-validation.parquet", "recipe.toml", "split.json",
)  # fmt: skip


@dataclass
class Kill:
    """A run that was killed after `seconds`: how far it had come, and what is wrong after resuming.

    - `reached`: the files of the run that were there when it died
    """

    seconds: float
    reached: set[str]
    faults: list[str] = field(default_factory=list)


def kill_runs(count: int, folder: Path, seed: int = 0) -> Iterator[Kill]:
    """Kills and resumes `count` runs in `folder`, one after another, at times drawn by `seed`."""
    preload()
    recipe = folder / "small.toml"
    recipe.write_text(RECIPE, encoding="utf-8")
    whole = folder / "runs" / "whole"
    began, finished = undisturbed(recipe, whole)
    draw = random.Random(seed)
    for number in range(count):
        run = folder / "runs" / f"killed{number}"
        seconds = draw.uniform(0, finished - began)
        process = begin("train", str(recipe), "--out", str(run))
        wait_for(run, process)
        time.sleep(seconds)
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        kill = Kill(seconds, files(run))
        if finish("train", "--resume", str(run)):
            kill.faults.append(f"--resume: {log(run).read_text('utf-8').strip()}")
        kill.faults += faults(run, whole)
        yield kill


def undisturbed(recipe: Path, run: Path) -> tuple[float, float]:
    """Trains to the end; (when its folder was there, when it ended), in seconds.

    Twice, for the first one fills the caches.
    """
    assert finish("train", str(recipe), "--out", str(run)) == 0, log(run).read_text("utf-8")
    process = begin("train", str(recipe), "--out", str(run.with_name("timed")))
    wait_for(run.with_name("timed"), process)
    began = time.monotonic()
    process.join()
    assert process.exitcode == 0
    return began, time.monotonic()


def wait_for(run: Path, process: BaseProcess) -> None:
    """Until the run has begun."""
    while not (run / "recipe.toml").is_file():
        assert process.is_alive(), log(run).read_text("utf-8")
        time.sleep(0.005)


def begin(*words: str) -> BaseProcess:
    """A process of its own that runs `clearsight`, its output in a file beside the run folder."""
    process = multiprocessing.get_context("fork").Process(target=clearsight, args=(words,))
    process.start()
    return process


def finish(*words: str) -> int | None:
    """The exit code of `clearsight`."""
    process = begin(*words)
    process.join()
    return process.exitcode


def clearsight(words: tuple[str, ...]) -> None:
    from clearsight.cli import main

    run = Path(words[-1])
    log(run).parent.mkdir(parents=True, exist_ok=True)
    with log(run).open("w", encoding="utf-8") as file:
        sys.stdout = sys.stderr = file
        code = main(list(words))
    os._exit(code)


def preload() -> None:
    """Imports what a training imports, which takes longer than the training itself."""
    for name in (
        "sklearn.datasets", "torch._dynamo", "kornia.augmentation", "clearsight.cli.commands",
        "clearsight.workflows.train", "clearsight.tracking.mlflow",
    ):  # fmt: skip
        importlib.import_module(name)
    load_client()


def log(run: Path) -> Path:
    return run.parent.parent / "logs" / f"{run.name}.txt"


def files(run: Path) -> set[str]:
    return {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}


def faults(run: Path, whole: Path) -> list[str]:
    """What `run` lacks, has besides, or has otherwise than the undisturbed run `whole`."""
    found = [f"{name} is missing" for name in sorted(files(whole) - files(run))]
    found += [f"{name} is left over" for name in sorted(files(run) - files(whole))]
    found += [
        f"{name} differs"
        for name in SAME_BYTES
        if (run / name).is_file() and digest(run / name) != digest(whole / name)
    ]
    if (run / "evaluation.json").is_file():
        results = [read_json(path / "evaluation.json")["accuracy"] for path in (run, whole)]
        found += ["the accuracy differs"] if results[0] != results[1] else []
    return found + untracked(run)


def untracked(run: Path) -> list[str]:
    """What is wrong with the runs that MLflow has of this folder: one, and finished."""
    query = (
        "SELECT runs.status FROM runs JOIN tags ON runs.run_uuid = tags.run_uuid "
        "WHERE tags.key = 'run_folder' AND tags.value = ?"
    )
    with closing(sqlite3.connect(run.parent / "mlflow.db", timeout=60)) as connection:
        states = [state for (state,) in connection.execute(query, (str(run),))]
    if states != ["FINISHED"]:
        return [f"tracked as {states}"]
    return [] if read_json(run / "tracking.json")["finished"] else ["tracking.json: not finished"]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    bad, place = 0, Path(sys.argv[2]).resolve()
    place.mkdir(parents=True, exist_ok=True)
    for number, each in enumerate(kill_runs(int(sys.argv[1]), place), 1):
        bad += bool(each.faults)
        print(  # noqa: T201
            f"{number}: killed after {each.seconds:.1f} s with {len(each.reached)} files: "
            f"{'; '.join(each.faults) or 'complete'}",
            flush=True,
        )
    print(f"{bad} of {sys.argv[1]} were not finished by one --resume")  # noqa: T201
    sys.exit(bad > 0)
