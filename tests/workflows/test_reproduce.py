"""A run, and a bundle, made again from what they recorded."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clearsight.bundle.format import _sealed
from clearsight.cli import main
from clearsight.config.recipes import load_recipe
from clearsight.config.schema import Config
from clearsight.errors import BundleError, DataError, RunError
from clearsight.files import read_json, write_json
from clearsight.runs import Run, create_run
from clearsight.workflows.export import export
from clearsight.workflows.reproduce import differences, read_recorded, reproduce, weights_digest
from clearsight.workflows.train import train

SMALL = {
    "data.subset": "60", "data.validation": "0.2", "data.test": "0.1", "model.name": "resnet20",
    "training.batch": "16", "phases.0.epochs": "2", "tracking.tracker": "none",
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A tiny run on the digits."""
    folder = tmp_path_factory.mktemp("runs")
    return train(load_recipe("digits", SMALL), out=folder / "digits")


def copied(run: Run, path: Path, **changes: Any) -> Path:
    """The same recorded run, with changes to its `evaluation.json`."""
    shutil.copytree(run.path, path)
    write_json(path / "evaluation.json", read_json(run.evaluation) | changes)
    return path


@pytest.mark.slow
def test_the_same_machine_gives_the_same_weights(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reproduce", str(run.path), "--out", str(tmp_path / "again"), "--json"]) == 0
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["result"] == "identical"
    assert (outcome["weights"], outcome["history"]) == (True, True)
    assert outcome["accuracy"]["found"] == outcome["accuracy"]["recorded"]
    assert outcome["environment"] == []
    assert outcome["sentence"].startswith("Identical: the same weights to the last bit")
    assert (tmp_path / "again" / "report.html").is_file()


@pytest.mark.slow
def test_a_bundle_carries_its_recipe(run: Run, tmp_path: Path) -> None:
    bundle = export(run, out=tmp_path / "bundle").path
    outcome = reproduce(bundle, out=tmp_path / "again")
    assert (outcome["result"], outcome["weights"], outcome["history"]) == ("identical", True, None)
    recorded = read_recorded(bundle)
    config = run.config()
    assert recorded.config == replace(config, tracking=Config().tracking)
    assert recorded.weights == weights_digest(run.weights / "model.safetensors")


@pytest.mark.slow
def test_other_weights_are_judged_by_the_interval(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    near = {"value": 0.5, "low": 0.0, "high": 1.0}
    other = copied(run, tmp_path / "near", accuracy=near)
    recipe = other / "recipe.toml"
    table = recipe.read_text()
    recipe.write_text(table.replace("[training]\nseed = 0", "[training]\nseed = 1"))
    assert recipe.read_text() != table

    outcome = reproduce(other, out=tmp_path / "a")
    assert outcome["result"] == "within the interval"
    assert (outcome["weights"], outcome["history"]) == (False, False)
    assert outcome["sentence"].endswith("the weights differ.")

    far = {"value": 0.999, "low": 0.998, "high": 1.0}
    write_json(other / "evaluation.json", read_json(run.evaluation) | {"accuracy": far})
    write_json(other / "environment.json", read_json(run.environment) | {"torch": "1.0"})
    assert main(["reproduce", str(other), "--out", str(tmp_path / "b")]) == 1
    out = capsys.readouterr().out
    assert "weights not equal, history not equal" in out
    assert "lies outside of the recorded 99.90 % (99.80 to 100.00 %" in out
    assert [line.split()[:2] for line in out.splitlines() if line.startswith("torch")] == [
        ["torch", "1.0"]
    ]


@pytest.mark.slow
def test_other_data_are_refused(run: Run, tmp_path: Path) -> None:
    other = copied(run, tmp_path / "other")
    write_json(other / "split.json", read_json(run.split) | {"hash": "f" * 64})
    words = "another split than the recorded ffffffffffff…; name the data"
    with pytest.raises(DataError, match=words):
        reproduce(other, out=tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_what_says_too_little_is_refused(tmp_path: Path) -> None:
    started = create_run(tmp_path / "started", Config(), {})
    with pytest.raises(RunError, match="it was not measured"):
        reproduce(started.path)
    with pytest.raises(RunError, match="no such folder"):
        reproduce(tmp_path / "nothing")


def test_a_bundle_without_its_recipe_is_refused(tmp_path: Path) -> None:
    bundle = shutil.copytree(Path(__file__).parents[1] / "bundle" / "v1", tmp_path / "bundle")
    about = read_json(bundle / "bundle.json")
    about["provenance"].pop("config", None)
    (bundle / "bundle.json").write_text(_sealed(about), "utf-8")
    with pytest.raises(BundleError, match="its provenance has no recipe to run again"):
        reproduce(bundle)


def test_differences_name_what_was_recorded() -> None:
    before = {"torch": "2.11", "cpu": "A", "git": {"commit": "1", "dirty": False}}
    after = {"torch": "2.15", "cpu": "A", "git": None, "numpy": "2.4"}
    assert differences(before, after) == [
        {"name": "torch", "recorded": "2.11", "found": "2.15"},
        {"name": "git commit", "recorded": "1", "found": None},
        {"name": "git dirty", "recorded": False, "found": None},
    ]
