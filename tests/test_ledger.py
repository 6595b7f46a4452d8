import json
from pathlib import Path

import pytest

from clearsight.config.recipes import load_recipe, recipe_hash, to_toml
from clearsight.config.schema import Config, PhaseConfig, TrainingConfig
from clearsight.errors import FileError, RunError, UsageError
from clearsight.files import write_csv, write_json, write_text
from clearsight.ledger import (
    list_runs,
    read_entries,
    record,
    record_benchmark,
    shipped_hash,
    spread,
)
from clearsight.runs import Run, at_work, create_run

MACHINE = {
    "platform": "Linux", "cpu": "Chip", "cores": 2, "memory_gib": 24.0, "device": "cpu",
    "precision": "fp32", "threads": 2, "clearsight": "0.1.0", "python": "3.11.7",
    "torch": "2.15.0", "numpy": "2.4.6", "onnxruntime": "1.31.1",
    "git": {"commit": "abc", "dirty": False}, "command": "clearsight train airnet94",
    "started": "2025-01-02T03:04:05+00:00", "budget": None,
}  # fmt: skip


def finished_run(
    path: Path,
    *,
    seed: int = 0,
    correct: float = 0.9,
    phase: PhaseConfig | None = None,
    split: str = "s1",
    machine: dict | None = None,
) -> Run:
    config = Config(
        name="airnet94",
        training=TrainingConfig(seed=seed),
        phases=(phase or PhaseConfig(),),
    )
    run = create_run(path, config, MACHINE | (machine or {}))
    write_json(run.split, {"hash": split})
    # Of 70 s, 61 are epochs: the rest went into features.
    write_csv(run.timing, [{"phase": "train", "epoch": k, "seconds": 30.5} for k in (1, 2)])
    write_json(
        run.evaluation,
        {
            "split": "test", "n": 1000, "tta": "flip", "target": 0.9,
            "accuracy": {"value": correct, "low": correct - 0.02, "high": correct + 0.02},
            "accuracy_without_tta": {"value": correct - 0.01, "low": 0.5, "high": 0.95},
            "phases": [{"name": "head", "seconds": 45.0}, {"name": "top", "seconds": 25.0}],
        },
    )  # fmt: skip
    return run


def test_one_run_is_recorded_with_all_its_numbers(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "run", seed=3)
    entry = json.loads(record([run], "airnet", tmp_path / "results").read_text("utf-8"))
    assert entry["recipe"] == "airnet94"
    assert entry["recipe_hash"] == recipe_hash(run.config())
    assert entry["split_hash"] == "s1"
    assert entry["hardware"]["cores"] == 2
    assert entry["versions"]["torch"] == "2.15.0"
    [row] = entry["runs"]
    assert row["seed"] == 3
    assert row["git"] == {"commit": "abc", "dirty": False}
    assert row["seconds"] == 70.0
    assert row["accuracy"] == {
        "flip": {"value": 0.9, "low": 0.88, "high": 0.92, "n": 1000},
        "none": {"value": 0.89, "low": 0.5, "high": 0.95, "n": 1000},
    }
    assert entry["accuracy"]["flip"] == {"count": 1, "mean": 0.9}


def test_seeds_are_summed_up_by_mean_deviation_and_range(tmp_path: Path) -> None:
    values = (0.90, 0.92, 0.94)
    runs = [
        finished_run(tmp_path / f"s{seed}", seed=seed, correct=value)
        for seed, value in enumerate(values)
    ]
    entry = json.loads(record(runs, "airnet", tmp_path / "results").read_text("utf-8"))
    summary = entry["accuracy"]["flip"]
    assert summary["mean"] == pytest.approx(0.92)
    assert summary["sd"] == pytest.approx(0.02)  # ((0.02² + 0 + 0.02²) / 2)^½
    assert (summary["min"], summary["max"]) == (0.90, 0.94)


def test_spread_of_one_value_claims_no_deviation() -> None:
    assert spread([0.5]) == {"count": 1, "mean": 0.5}


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"phase": PhaseConfig(lr=0.2)}, r"config\.phases\.0\.lr is 0\.2, but 0\.1"),
        ({"split": "s2"}, "split_hash is 's2', but 's1'"),
        ({"machine": {"cores": 4}}, r"hardware\.cores is 4, but 2"),
        ({"machine": {"torch": "2.11.0"}}, r"versions\.torch is '2\.11\.0', but '2\.15\.0'"),
        ({"machine": {"budget": 300.0}}, r"budget is 300\.0, but None"),
    ],
)
def test_runs_that_differ_are_refused_with_the_difference(
    tmp_path: Path, other: dict, named: str
) -> None:
    runs = [finished_run(tmp_path / "a"), finished_run(tmp_path / "b", seed=1, **other)]
    with pytest.raises(RunError, match=named):
        record(runs, "airnet", tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_budgeted_runs_differ_in_what_they_measured_and_are_one_recipe(tmp_path: Path) -> None:
    plans = [PhaseConfig(steps=90, plan=((0, 90),)), PhaseConfig(steps=80, plan=((0, 80),))]
    runs = [
        finished_run(tmp_path / f"s{seed}", seed=seed, phase=phase)
        for seed, phase in enumerate(plans)
    ]
    entry = json.loads(record(runs, "airnet", tmp_path / "results").read_text("utf-8"))
    assert entry["recipe_hash"] == recipe_hash(Config())


def test_unfinished_repeated_or_missing_runs_and_bad_names_are_refused(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "a")
    with pytest.raises(UsageError, match="no run"):
        record([], "x", tmp_path)
    with pytest.raises(UsageError, match="seeds 0, 0"):
        record([run, run], "x", tmp_path)
    with pytest.raises(UsageError, match=r"--name: found '\.\./x'"):
        record([run], "../x", tmp_path)
    run.evaluation.unlink()
    with pytest.raises(RunError, match=r"was not measured yet.*--resume"):
        record([run], "x", tmp_path)


def test_runs_are_listed_with_what_they_reached(tmp_path: Path) -> None:
    finished_run(tmp_path / "done", seed=1)
    earlier = {"started": "2025-01-01T00:00:00+00:00"}
    create_run(tmp_path / "begun", Config(name="resnet20"), MACHINE | earlier)
    (tmp_path / "other").mkdir()
    broken = tmp_path / "broken"
    broken.mkdir()
    write_json(broken / "environment.json", {"started": "2024-12-31T00:00:00+00:00"})
    (broken / "recipe.toml").write_text("[data", "utf-8")
    rows = {Path(row["run"]).name: row for row in list_runs(tmp_path)}
    assert list(rows) == ["broken", "begun", "done"]
    assert rows["done"]["state"] == "evaluated"
    assert rows["done"]["accuracy"]["value"] == 0.9
    assert (rows["begun"]["state"], rows["begun"]["recipe"]) == ("started", "resnet20")
    assert rows["broken"]["state"] == "unreadable"
    assert "invalid TOML" in rows["broken"]["problem"]


def test_runs_of_several_seeds_are_listed_one_folder_deeper(tmp_path: Path) -> None:
    started = {"started": "2025-01-01T00:00:00+00:00"}
    runs = [create_run(tmp_path / "x" / f"s{seed}", Config(), started) for seed in (0, 1)]
    assert [row["run"] for row in list_runs(tmp_path)] == [str(run.path) for run in runs]
    with at_work(runs[1]):
        assert [row["state"] for row in list_runs(tmp_path)] == ["started", "running"]


def test_a_folder_of_runs_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RunError, match=r"nosuch: no such folder; name the folder"):
        list_runs(tmp_path / "nosuch")
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"file: it is a file; name the folder"):
        list_runs(tmp_path / "file")
    monkeypatch.chdir(tmp_path)
    assert list_runs() == []  # nothing was trained here yet


def test_entries_are_read_by_name_and_other_files_passed_over(tmp_path: Path) -> None:
    record([finished_run(tmp_path / "run")], "airnet", tmp_path / "results")
    write_json(tmp_path / "results" / "bench.json", {"rows": []})
    assert list(read_entries(tmp_path / "results")) == ["airnet"]
    (tmp_path / "results" / "bad.json").write_text("{", "utf-8")
    with pytest.raises(FileError, match=r"bad\.json: invalid JSON"):
        read_entries(tmp_path / "results")


def test_an_entry_says_whether_the_recipe_ran_as_shipped(tmp_path: Path) -> None:
    changed = finished_run(tmp_path / "changed")
    entry = json.loads(record([changed], "changed", tmp_path / "results").read_text("utf-8"))
    assert entry["shipped_recipe"] is False

    recipe = load_recipe("airnet94", {"training.seed": 5, "training.budget": "5m"})
    run = finished_run(tmp_path / "shipped")
    write_text(run.recipe, to_toml(recipe))
    entry = json.loads(record([run], "shipped", tmp_path / "results").read_text("utf-8"))
    assert entry["shipped_recipe"] is True
    assert entry["recipe_hash"] == shipped_hash("airnet94") != shipped_hash("resnet20")
    assert shipped_hash("custom") is None


def test_the_figures_of_a_run_are_recorded_by_their_checksum(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "run")
    run.figures.mkdir()
    (run.figures / "per_class.png").write_bytes(b"abc")
    entry = json.loads(record([run], "airnet", tmp_path / "results").read_text("utf-8"))
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
    assert entry["runs"][0]["figures"] == {"per_class.png": digest}


def test_a_benchmark_is_an_entry_of_its_own_kind(tmp_path: Path) -> None:
    record_benchmark(tmp_path / "speed.json", MACHINE, ratio=1.5)
    record_benchmark(tmp_path / "growth.json", MACHINE, kind="scaling", rows=[1])
    entry = read_entries(tmp_path, "benchmark")["speed"]
    assert entry["name"] == "speed"
    assert entry["environment"]["cores"] == 2
    assert entry["ratio"] == 1.5
    assert len(entry["recorded"]) == len("2025-01-02")
    assert list(read_entries(tmp_path, "scaling")) == ["growth"]
    assert read_entries(tmp_path) == {}
