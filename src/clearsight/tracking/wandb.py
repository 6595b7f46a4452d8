"""Weights & Biases: offline by default, in the run folder's `wandb`; `wandb sync` uploads it."""

import os
import secrets
from collections.abc import Mapping
from typing import Any

from clearsight.config.schema import Config
from clearsight.progress import EpochRow
from clearsight.runs import Run
from clearsight.tracking.numbers import (
    Seeds,
    epoch_metrics,
    facts,
    final_metrics,
    parameters,
)
from clearsight.tracking.tracker import note, noted

DEFAULTS = {
    "WANDB_PROJECT": "clearsight",
    "WANDB_MODE": "offline",
    "WANDB_ERROR_REPORTING": "false",
}


class WandbTracker:
    """A run of W&B's project `clearsight` (or `$WANDB_PROJECT`); several `seeds` are a group.

    Offline, unless `$WANDB_MODE` says otherwise. A run that is resumed keeps W&B's id: offline, its
    second part is a folder of its own, which `wandb sync --append` adds to the first.
    """

    def __init__(self, seeds: Seeds | None = None) -> None:
        for name, value in DEFAULTS.items():
            os.environ.setdefault(name, value)
        import wandb

        self._wandb = wandb
        self._seeds = seeds
        self._run: Any

    def start(
        self, run: Run, config: Config, environment: Mapping[str, Any], split_hash: str
    ) -> None:
        if "id" not in noted(run):
            note(run, tracker="wandb", id=secrets.token_hex(4), finished=False)
        online = os.environ["WANDB_MODE"] == "online"
        self._run = self._wandb.init(
            id=noted(run)["id"],
            resume="allow" if online else None,
            dir=str(run.path),
            name=run.path.name,
            group=self._seeds.name if self._seeds else None,
            config=parameters(config) | facts(run, config, environment, split_hash),
            reinit="create_new",
            settings=self._wandb.Settings(
                silent=True, console="off", disable_git=True, save_code=False, x_disable_stats=True
            ),
        )

    def epoch(self, row: EpochRow) -> None:
        self._run.log(epoch_metrics(row), step=row["epoch"])

    def finish(self, evaluation: Mapping[str, Any]) -> None:
        self._run.summary.update(final_metrics(evaluation))
        self._run.finish()

    def fail(self, reason: str) -> None:
        self._run.summary["ended"] = reason
        self._run.finish(exit_code=1)
