"""MLflow's page over the runs, and a run whose server dies under it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from clearsight.cli import main
from clearsight.config.recipes import load_recipe
from clearsight.errors import UsageError
from clearsight.files import read_csv, read_json
from clearsight.runs import Run
from clearsight.tracking import ui
from clearsight.tracking.store import load_client
from clearsight.tracking.ui import ui_command
from clearsight.workflows.train import train

SERVER_STARTS = 120  # s; MLflow's needs 15 s where the machine has nothing else to do


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(
    command: list[str], environment: dict[str, str], port: int, folder: Path | None = None
) -> Generator[Any]:
    """The server of `command`, once it answers; it and its children end with the block."""
    server = subprocess.Popen(
        command, env=environment, cwd=folder, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + SERVER_STARTS
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                    break
            except OSError:
                assert server.poll() is None, "the server has ended"
                assert time.monotonic() < deadline, "the server does not answer"
                time.sleep(0.2)
        yield server
    finally:
        kill(server)


def kill(server: subprocess.Popen) -> None:
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def test_what_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert main(["ui", str(tmp_path)]) == 2
    assert "found no mlflow.db" in capsys.readouterr().err
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking.example")
    with pytest.raises(UsageError, match=r"names http://tracking\.example; open that"):
        ui_command(tmp_path, 5000)

    def missing(name: str) -> str:
        raise ui.PackageNotFoundError(name)

    monkeypatch.setattr(ui, "version", missing)
    with pytest.raises(UsageError, match=r"pip install 'clearsight\[ui\]'"):
        ui_command(tmp_path, 5000)


def test_the_server_stays_on_loopback_without_jobs_and_telemetry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    (tmp_path / "mlflow.db").touch()
    arguments, environment, folder = ui_command(tmp_path, 5001)
    assert arguments[arguments.index("--host") + 1] == "127.0.0.1"
    assert arguments[arguments.index("--port") + 1] == "5001"
    assert "sqlite:///mlflow.db" in arguments
    assert folder == tmp_path
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"


@pytest.mark.slow
def test_the_page_shows_the_runs(
    tmp_path: Path, new_run: Callable[..., Run], follow: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    follow(new_run(tmp_path / "run", "mlflow"))
    port = free_port()
    command = [sys.executable, "-m", "clearsight", "ui", str(tmp_path), "--port", str(port)]
    with serving(command, dict(os.environ), port):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as page:
            assert b"MLflow" in page.read()
        client = load_client()(f"http://127.0.0.1:{port}")
        experiment = client.get_experiment_by_name("clearsight")
        assert experiment is not None
        (found,) = client.search_runs([experiment.experiment_id])
        assert found.data.metrics["accuracy"] == 0.9
        shown = json.loads(experiment.tags["mlflow.sharedViewState.clearsight"])
        assert "metrics.`accuracy`" in shown["selectedColumns"]


@pytest.mark.slow
def test_a_server_killed_mid_run_costs_a_warning_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, screen: Any
) -> None:
    store = tmp_path / "server"
    store.mkdir()
    port = free_port()
    uri = f"sqlite:///{store}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    load_client()(uri).create_experiment("clearsight")
    command, environment, _ = ui_command(store, port)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    config = load_recipe(
        "digits",
        {
            "data.subset": "80", "data.validation": "0.2", "data.test": "0.3",
            "model.name": "resnet20", "training.batch": "20", "phases.0.epochs": "8",
        },
    )  # fmt: skip

    with serving(command, environment, port, store) as server:
        kept = []

        def epoch(row: Any) -> None:
            kept.append(row["epoch"])
            if row["epoch"] == 3:
                wait_for_epoch(uri, 2)
                kill(server)

        screen.epoch = epoch
        run = train(config, out=tmp_path / "run", progress=screen)

    assert kept == [row["epoch"] for row in read_csv(run.history)]
    assert len(kept) == 8
    assert read_json(run.evaluation)["n"] > 500
    assert run.report.is_file()
    warnings = [line for line in screen.lines if line.startswith("warning: tracking stopped")]
    assert len(warnings) == 1

    client = load_client()(uri)
    steps = client.get_metric_history(read_json(run.path / "tracking.json")["run_id"], "val_loss")
    assert [metric.step for metric in steps] == [1, 2]


def wait_for_epoch(uri: str, epoch: int) -> None:
    """Until the store has the metrics of an epoch: the tracker works behind the run's back."""
    client, deadline = load_client()(uri), time.monotonic() + 60
    experiment = client.get_experiment_by_name("clearsight")
    assert experiment is not None
    while time.monotonic() < deadline:
        for run in client.search_runs([experiment.experiment_id]):
            if len(client.get_metric_history(run.info.run_id, "val_loss")) >= epoch:
                return
        time.sleep(0.1)
    raise AssertionError(f"epoch {epoch} did not reach the store")
