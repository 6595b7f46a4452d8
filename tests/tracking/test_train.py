"""Real runs from the command line, tracked beside their folders."""

import json
from pathlib import Path

import pytest

from clearsight.cli import main
from clearsight.files import read_csv, read_json
from clearsight.runs import open_run
from clearsight.tracking.store import load_client

TINY = [
    "--data.subset", "60", "--data.validation", "0.2", "--data.test", "0.1",
    "--model.name", "airnet-tiny", "--training.batch", "16", "--phases.0.epochs", "2",
]  # fmt: skip


@pytest.mark.slow
def test_seeds_are_tracked_as_children_of_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.chdir(tmp_path)
    assert main(["train", "digits", *TINY, "--seeds", "2", "--json"]) == 0
    reported = json.loads(capsys.readouterr().out)

    client = load_client()(f"sqlite:///{tmp_path}/runs/mlflow.db")
    experiment = client.get_experiment_by_name("clearsight")
    assert experiment is not None
    found = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    (parent,) = (run for run in found.values() if "mlflow.parentRunId" not in run.data.tags)
    assert len(found) == 3
    assert parent.data.metrics["accuracy_mean"] == pytest.approx(reported["accuracy"]["mean"])
    for row in reported["runs"]:
        run = open_run(row["run"])
        child = found[run.path.name]
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert child.data.tags["run_folder"] == str(run.path.resolve())
        assert child.data.tags["split_hash"] == read_json(run.split)["hash"]
        assert child.data.params["training.seed"] == str(row["seed"])
        assert child.data.metrics["accuracy"] == row["evaluation"]["accuracy"]["value"]
        history = client.get_metric_history(child.info.run_id, "train_loss")
        assert [m.value for m in history] == [row["train_loss"] for row in read_csv(run.history)]
    assert not (tmp_path / "runs" / "mlflow-artifacts").exists()


@pytest.mark.slow
def test_a_run_without_tracking_leaves_only_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    out = tmp_path / "runs" / "a"
    assert main(["train", "digits", *TINY, "--tracking", "none", "--out", str(out)]) == 0
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["a"]
    assert not (out / "tracking.json").exists()
