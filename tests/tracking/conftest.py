"""Run folders as the pipeline leaves them, and runs followed without training anything."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from clearsight.config.recipes import load_recipe
from clearsight.files import write_csv, write_json
from clearsight.runs import Run, create_run
from clearsight.tracking.numbers import Seeds
from clearsight.tracking.tracker import tracked
from tests.recorder import Recorder

ENVIRONMENT = {
    "clearsight": "0.1.0",
    "torch": "2.15.0",
    "cpu": "a CPU",
    "device": "cpu",
    "git": {"commit": "c0ffee", "dirty": True},
    "budget": None,
    "started": "2025-01-02T03:04:05+00:00",
}
EVALUATION: dict[str, Any] = {
    "split": "test", "n": 200, "tta": "flip", "loss": 0.4,
    "accuracy": {"value": 0.9, "low": 0.85, "high": 0.94},
    "accuracy_without_tta": {"value": 0.88, "low": 0.83, "high": 0.92},
    "macro": {"precision": 0.91, "recall": 0.9, "f1": 0.89},
    "phases": [{"name": "a", "seconds": 2.5}, {"name": "b", "seconds": 4.0}],
}  # fmt: skip


@pytest.fixture
def screen() -> Recorder:
    return Recorder()


@pytest.fixture
def evaluation() -> dict[str, Any]:
    return EVALUATION


@pytest.fixture
def row() -> Callable[[int], dict[str, Any]]:
    """The figures of epoch 1, 2 …"""

    def figures(epoch: int) -> dict[str, Any]:
        return {
            "phase": "train", "epoch": epoch, "epochs": 3, "step": 10 * epoch, "lr": 0.1,
            "train_loss": 2.0 / epoch, "train_accuracy": 0.2 * epoch, "val_loss": 2.5 / epoch,
            "val_accuracy": 0.1 * epoch, "images_per_second": 100.0, "seconds_left": 1.0,
        }  # fmt: skip

    return figures


@pytest.fixture
def new_run() -> Callable[..., Run]:
    """A run folder at a path, by the recipe airnet94."""

    def make(path: Path, tracker: str, seed: int = 0) -> Run:
        config = load_recipe("airnet94", {"tracking.tracker": tracker, "training.seed": seed})
        run = create_run(path, config, ENVIRONMENT)
        write_json(run.split, {"hash": "5117"})
        return run

    return make


@pytest.fixture
def follow(screen: Recorder, row: Callable[[int], dict[str, Any]]) -> Callable[..., None]:
    """Follows a run through epochs; `between(epoch)` is called before each of them."""

    def go(
        run: Run,
        epochs: range = range(1, 4),
        *,
        accuracy: float = 0.9,
        seeds: Seeds | None = None,
        between: Callable[[int], None] = lambda epoch: None,
    ) -> None:
        write_json(run.environment, ENVIRONMENT | {"seeds": seeds and asdict(seeds)})
        with tracked(run, run.config(), screen) as progress:
            rows = [row(number) | {"phase": 1} for number in range(1, epochs.stop)]
            write_csv(run.history, rows)
            write_csv(run.timing, rows)
            for epoch in epochs:
                between(epoch)
                progress.epoch(rows[epoch - 1])
            measured = {**EVALUATION["accuracy"], "value": accuracy}
            progress.finish({**EVALUATION, "accuracy": measured})

    return go
