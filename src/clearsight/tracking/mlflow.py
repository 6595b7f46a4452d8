"""MLflow: by default an SQLite file beside the run folders; no server, no network."""

import json
import logging
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearsight.config.schema import Config
from clearsight.files import read_json, write_json
from clearsight.progress import EpochRow
from clearsight.runs import Run
from clearsight.tracking.numbers import (
    Seeds,
    epoch_metrics,
    facts,
    final_metrics,
    parameters,
)

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

EXPERIMENT = "clearsight"
DATABASE = "mlflow.db"
LINK = "tracking.json"
SEEDS_TAG = "clearsight.seeds"
BATCH = 100  # parameters MLflow takes in one call

# A server that is gone shall be noticed in seconds; MLflow's own defaults try for minutes.
QUICK_TO_FAIL = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
NO_TELEMETRY = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


def store_uri(folder: Path) -> str:
    """Where the runs in `folder` are tracked: `$MLFLOW_TRACKING_URI`, else `folder/mlflow.db`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder.resolve() / DATABASE}"


def load_client() -> "type[MlflowClient]":
    """MLflow's client class, imported with telemetry off and its log kept quiet."""
    os.environ.update(NO_TELEMETRY)
    for name, value in QUICK_TO_FAIL.items():
        os.environ.setdefault(name, value)
    from mlflow.tracking import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    return MlflowClient


class MlflowTracker:
    """A run in MLflow's experiment `clearsight` (or `$MLFLOW_EXPERIMENT_NAME`).

    The run folder's `tracking.json` links to it, so that a resumed run goes on in the same one.
    Runs of several `seeds` are children of one run, which gets mean and deviation.
    """

    def __init__(self, seeds: Seeds | None = None) -> None:
        self._client_class = load_client()
        self._seeds = seeds
        self._client: MlflowClient
        self._experiment: str
        self._run: str
        self._parent: str | None = None

    def start(
        self, run: Run, config: Config, environment: Mapping[str, Any], split_hash: str
    ) -> None:
        uri = store_uri(run.path.parent)
        self._client = self._client_class(uri, registry_uri=uri)
        link = run.path / LINK
        known = read_json(link) if link.is_file() else {}
        if known.get("uri") == uri:
            self._run = known["run_id"]
            self._experiment = self._client.get_run(self._run).info.experiment_id
            self._client.update_run(self._run, "RUNNING")
            return
        self._experiment = self._find_experiment(run.path.parent)
        tags = facts(run, config, environment, split_hash)
        tags |= {
            "mlflow.source.name": "clearsight",
            "mlflow.note.content": f"Run folder: `{tags['run_folder']}`",
        }
        if "git_commit" in tags:
            tags["mlflow.source.git.commit"] = tags["git_commit"]
        if self._seeds is not None:
            self._parent = self._find_parent(self._seeds, config)
            tags["mlflow.parentRunId"] = self._parent
        self._run = self._client.create_run(
            self._experiment, tags=tags, run_name=run.path.name
        ).info.run_id
        self._log_parameters(self._run, config)
        write_json(link, {"tracker": "mlflow", "uri": uri, "run_id": self._run})

    def epoch(self, row: EpochRow) -> None:
        self._log(self._run, epoch_metrics(row), step=row["epoch"])

    def finish(self, evaluation: Mapping[str, Any]) -> None:
        self._log(self._run, final_metrics(evaluation))
        for name in ("split", "tta"):
            self._client.set_tag(self._run, f"measured.{name}", evaluation[name])
        self._client.set_terminated(self._run, "FINISHED")
        if self._parent and self._seeds:
            self._summarise(self._parent, self._seeds)

    def fail(self, reason: str) -> None:
        status = "KILLED" if reason == "interrupted" else "FAILED"
        for run in filter(None, (self._run, self._parent)):
            self._client.set_tag(run, "ended", reason)
            self._client.set_terminated(run, status)

    def _find_experiment(self, folder: Path) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        if found := self._client.get_experiment_by_name(name):
            return found.experiment_id
        local = self._client.tracking_uri.startswith("sqlite:")
        artifacts = (folder.resolve() / "mlflow-artifacts").as_uri() if local else None
        return self._client.create_experiment(name, artifact_location=artifacts)

    def _find_parent(self, seeds: Seeds, config: Config) -> str:
        for parent in self._search(f"tags.`{SEEDS_TAG}` = '{seeds.id}'"):
            return parent.info.run_id
        tags = {SEEDS_TAG: seeds.id, "recipe": config.name, "mlflow.source.name": "clearsight"}
        return self._client.create_run(self._experiment, tags=tags, run_name=seeds.name).info.run_id

    def _summarise(self, parent: str, seeds: Seeds) -> None:
        """Mean and deviation over the seeds so far; the last one closes the parent."""
        children = self._search(f"tags.`mlflow.parentRunId` = '{parent}'")
        values = [c.data.metrics["accuracy"] for c in children if "accuracy" in c.data.metrics]
        metrics = {"accuracy_mean": statistics.fmean(values), "seeds": float(len(values))}
        if len(values) > 1:
            metrics["accuracy_sd"] = statistics.stdev(values)
        self._log(parent, metrics, step=len(values))
        if len(values) == seeds.count:
            self._client.set_terminated(parent, "FINISHED")

    def _search(self, condition: str) -> Sequence[Any]:
        return self._client.search_runs([self._experiment], condition)

    def _log(self, run: str, metrics: Mapping[str, float], step: int = 0) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._client.log_batch(run, [Metric(k, v, now, step) for k, v in metrics.items()])

    def _log_parameters(self, run: str, config: Config) -> None:
        from mlflow.entities import Param

        params = [Param(name, _text(value)) for name, value in parameters(config).items()]
        for first in range(0, len(params), BATCH):
            self._client.log_batch(run, params=params[first : first + BATCH])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
