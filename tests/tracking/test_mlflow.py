"""The store read back by MLflow's own client."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from clearsight.config.recipes import load_recipe
from clearsight.files import read_json, write_json
from clearsight.runs import Run
from clearsight.tracking.numbers import Seeds, parameters
from clearsight.tracking.store import database, load_client, store_uri
from clearsight.tracking.tracker import tracked

MlflowClient = load_client()


def stored(run: Run) -> tuple[Any, Any]:
    """(client, MLflow's run) of a run folder."""
    link = read_json(run.path / "tracking.json")
    client = MlflowClient(link["uri"])
    return client, client.get_run(link["run_id"])


def test_everything_is_found_again(
    tmp_path: Path, new_run: Callable[..., Run], follow: Callable[..., None]
) -> None:
    run = new_run(tmp_path / "2025-01-02-airnet94-s0", "mlflow")
    follow(run)
    client, found = stored(run)
    assert client.get_experiment(found.info.experiment_id).name == "clearsight"
    assert (found.info.run_name, found.info.status) == (run.path.name, "FINISHED")

    expected = parameters(run.config())
    assert found.data.params.keys() == expected.keys()
    assert found.data.params["data.source"] == "cifar10"
    assert float(found.data.params["phases.0.lr"]) == expected["phases.0.lr"]

    tags = found.data.tags
    assert tags["run_folder"] == str(run.path)
    assert str(run.path) in tags["mlflow.note.content"]
    assert (tags["split_hash"], tags["git_commit"], tags["git_dirty"]) == ("5117", "c0ffee", "True")
    assert tags["mlflow.source.git.commit"] == "c0ffee"
    assert (tags["environment.torch"], tags["measured.split"], tags["measured.tta"]) == (
        "2.15.0", "test", "flip",
    )  # fmt: skip

    metrics = found.data.metrics
    assert (metrics["accuracy"], metrics["accuracy_low"], metrics["accuracy_high"]) == (
        0.9, 0.85, 0.94,
    )  # fmt: skip
    assert metrics["n"] == 200
    losses = client.get_metric_history(found.info.run_id, "val_loss")
    assert [(m.step, m.value) for m in losses] == [(1, 2.5), (2, 1.25), (3, 2.5 / 3)]
    assert client.list_artifacts(found.info.run_id) == []


def test_a_resumed_run_goes_on_in_the_same_one(
    tmp_path: Path, new_run: Callable[..., Run], follow: Callable[..., None], screen: Any
) -> None:
    run = new_run(tmp_path / "run", "mlflow")

    def interrupt(epoch: int) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        follow(run, between=interrupt)
    _, first = stored(run)
    assert (first.info.status, first.data.tags["ended"]) == ("KILLED", "interrupted")
    follow(run, range(2, 4))
    client, second = stored(run)
    assert second.info.run_id == first.info.run_id
    assert second.info.status == "FINISHED"
    steps = [m.step for m in client.get_metric_history(second.info.run_id, "train_loss")]
    assert steps == [1, 2, 3]
    assert screen.lines == []


def test_seeds_are_children_of_one_run_with_their_mean(
    tmp_path: Path, new_run: Callable[..., Run], follow: Callable[..., None]
) -> None:
    seeds = Seeds(id="a1", name="airnet94 2 seeds", count=2)
    runs = [new_run(tmp_path / f"s{seed}", "mlflow", seed) for seed in range(2)]
    follow(runs[0], accuracy=0.8, seeds=seeds)
    client, child = stored(runs[0])
    parent = client.get_run(child.data.tags["mlflow.parentRunId"])
    assert (parent.info.run_name, parent.info.status) == ("airnet94 2 seeds", "RUNNING")
    follow(runs[1], accuracy=0.9, seeds=seeds)
    parent = client.get_run(parent.info.run_id)
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["seeds"] == 2
    assert parent.data.metrics["accuracy_mean"] == pytest.approx(0.85)
    assert parent.data.metrics["accuracy_sd"] == pytest.approx(0.1 / 2**0.5)
    assert stored(runs[1])[1].data.tags["mlflow.parentRunId"] == parent.info.run_id


def test_a_failed_seed_fails_its_parent(
    tmp_path: Path, new_run: Callable[..., Run], screen: Any
) -> None:
    run = new_run(tmp_path / "s0", "mlflow")
    seeds = Seeds(id="b2", name="airnet94 3 seeds", count=3)
    write_json(run.environment, read_json(run.environment) | {"seeds": asdict(seeds)})
    with pytest.raises(ValueError, match="NaN"), tracked(run, run.config(), screen):
        raise ValueError("NaN")
    client, child = stored(run)
    parent = client.get_run(child.data.tags["mlflow.parentRunId"])
    assert (child.info.status, parent.info.status) == ("FAILED", "FAILED")
    assert child.data.tags["ended"] == "ValueError: NaN"


def test_a_full_disk_costs_a_warning(
    tmp_path: Path, new_run: Callable[..., Run], follow: Callable[..., None], screen: Any
) -> None:
    run = new_run(tmp_path / "run", "mlflow")
    path = database(store_uri(tmp_path))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(epoch: int) -> None:
        if epoch == 2:  # no file of this process may grow beyond a few bytes from now on
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))

    try:
        follow(run, range(1, 6), between=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(screen.lines) == 1
    assert screen.lines[0].startswith("warning: tracking stopped (")
    assert path is not None
    assert path.is_file()


def test_nothing_is_sent_anywhere_and_nothing_is_printed(tmp_path: Path) -> None:
    probe = f"""
import socket
connect = socket.socket.connect
def refuse(self, address):
    raise AssertionError(f"a connection to {{address}}")
socket.socket.connect = refuse
import threading
from pathlib import Path
from clearsight.tracking.store import load_client, store_uri
client = load_client()(store_uri(Path({str(tmp_path)!r})))
client.create_experiment("x")
from mlflow.telemetry.client import get_telemetry_client
assert get_telemetry_client() is None
assert threading.active_count() == 1
"""
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    result = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, env=environment, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert (tmp_path / "mlflow.db").is_file()


def test_more_parameters_than_mlflow_takes_at_once(
    tmp_path: Path, new_run: Callable[..., Run], follow: Callable[..., None], screen: Any
) -> None:
    from dataclasses import replace

    from clearsight.config.recipes import to_toml
    from clearsight.files import write_text

    run = new_run(tmp_path / "run", "mlflow")
    config = load_recipe("airnet94")
    config = replace(config, phases=config.phases * 6)
    assert len(parameters(config)) > 100
    write_text(run.recipe, to_toml(config))
    follow(run)
    assert screen.lines == []
    assert len(stored(run)[1].data.params) == len(parameters(config))
