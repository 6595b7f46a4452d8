"""MLflow: a run's numbers in its store, in one MLflow run however often it was resumed."""

import json
import secrets
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clearsight.config.schema import Config
from clearsight.files import read_csv
from clearsight.progress import EpochRow
from clearsight.runs import Run
from clearsight.tracking.numbers import (
    Seeds,
    epoch_metrics,
    facts,
    final_metrics,
    parameters,
)
from clearsight.tracking.store import (
    PARENT_TAG,
    SEEDS_TAG,
    experiment_of,
    open_client,
    store_uri,
)
from clearsight.tracking.tracker import note, noted

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

ID_TAG = "clearsight.id"
BATCH = 100  # parameters MLflow takes in one call


class MlflowTracker:
    """A run in MLflow's experiment `clearsight` (or `$MLFLOW_EXPERIMENT_NAME`).

    The run folder's `tracking.json` links to it, so that a resumed run continues in the same one:
    an id of ours stands there before MLflow's run is made, which has it as a tag, and is found by
    it should the process die in between. Runs of several `seeds` are children of one run, which
    gets mean and deviation.
    """

    def __init__(self, seeds: Seeds | None = None) -> None:
        self._seeds = seeds
        self._client: MlflowClient
        self._experiment: str
        self._folder: Run
        self._run: str
        self._parent: str | None = None
        self._resumed = False

    def start(
        self, run: Run, config: Config, environment: Mapping[str, Any], split_hash: str
    ) -> None:
        uri = store_uri(run.path.parent)
        self._client, self._folder = open_client(uri), run
        self._experiment = experiment_of(self._client, run.path.parent)
        known = noted(run)
        if known.get("uri") != uri or "id" not in known:
            note(run, tracker="mlflow", uri=uri, id=secrets.token_hex(16), finished=False)
        if known.get("uri") == uri and "id" not in known and "run_id" in known:
            # Of a version that linked by MLflow's own id alone.
            self._client.set_tag(known["run_id"], ID_TAG, noted(run)["id"])
        found = self._find(noted(run))
        self._resumed = found is not None
        if found is not None:
            self._experiment = found.info.experiment_id
            self._client.update_run(found.info.run_id, "RUNNING")
        if self._seeds is not None:
            self._parent = self._find_parent(self._seeds, config)
        tags = facts(run, config, environment, split_hash) | {ID_TAG: noted(run)["id"]}
        tags |= {
            "mlflow.source.name": "clearsight",
            "mlflow.note.content": f"Run folder: `{tags['run_folder']}`",
        }
        if "git_commit" in tags:
            tags["mlflow.source.git.commit"] = tags["git_commit"]
        if self._parent is not None:
            tags[PARENT_TAG] = self._parent
        if found is None:
            found = self._client.create_run(self._experiment, tags=tags, run_name=run.path.name)
        self._run = found.info.run_id
        note(run, run_id=self._run)
        self._log_parameters(found, config)

    def epoch(self, row: EpochRow) -> None:
        self._log(self._run, epoch_metrics(row), step=row["epoch"])

    def finish(self, evaluation: Mapping[str, Any]) -> None:
        if self._resumed:
            self._log_missing_epochs()
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

    def _find(self, link: Mapping[str, Any]) -> Any:
        """MLflow's run of this one; None where there is none, or somebody deleted it."""
        every = [experiment.experiment_id for experiment in self._client.search_experiments()]
        found = self._client.search_runs(every, f"tags.`{ID_TAG}` = '{link['id']}'")
        return found[0] if found else None

    def _find_parent(self, seeds: Seeds, config: Config) -> str:
        for parent in self._search(f"tags.`{SEEDS_TAG}` = '{seeds.id}'"):
            self._client.update_run(parent.info.run_id, "RUNNING")
            return parent.info.run_id
        tags = {SEEDS_TAG: seeds.id, "recipe": config.name, "mlflow.source.name": "clearsight"}
        return self._client.create_run(self._experiment, tags=tags, run_name=seeds.name).info.run_id

    def _summarise(self, parent: str, seeds: Seeds) -> None:
        """Mean and deviation over the seeds so far; the last one closes the parent.

        So does one that was resumed, where all that were begun are finished: the process that
        would have trained the others is gone.
        """
        children = self._search(f"tags.`{PARENT_TAG}` = '{parent}'")
        values = [c.data.metrics["accuracy"] for c in children if "accuracy" in c.data.metrics]
        metrics = {"accuracy_mean": statistics.fmean(values), "seeds": float(len(values))}
        if len(values) > 1:
            metrics["accuracy_sd"] = statistics.stdev(values)
        self._log(parent, metrics, step=len(values))
        done = [child for child in children if child.info.status == "FINISHED"]
        if len(done) == seeds.count or (self._resumed and len(done) == len(children)):
            self._client.set_terminated(parent, "FINISHED")

    def _search(self, condition: str) -> Sequence[Any]:
        return self._client.search_runs([self._experiment], condition)

    def _log(self, run: str, metrics: Mapping[str, float], step: int = 0) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._client.log_batch(run, [Metric(k, v, now, step) for k, v in metrics.items()])

    def _log_missing_epochs(self) -> None:
        """Epochs that the run folder kept before its process was killed, but MLflow did not."""
        known = {m.step for m in self._client.get_metric_history(self._run, "train_loss")}
        speeds = {row["epoch"]: row for row in read_csv(self._folder.timing)}
        for row in read_csv(self._folder.history):
            if row["epoch"] not in known:
                self.epoch({**speeds.get(row["epoch"], {}), **row})

    def _log_parameters(self, run: Any, config: Config) -> None:
        """MLflow's parameters never change, so only those that the run does not have."""
        from mlflow.entities import Param

        values = {k: v for k, v in parameters(config).items() if k not in run.data.params}
        params = [Param(name, _text(value)) for name, value in values.items()]
        for first in range(0, len(params), BATCH):
            self._client.log_batch(run.info.run_id, params=params[first : first + BATCH])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
