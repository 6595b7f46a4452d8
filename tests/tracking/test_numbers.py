"""The flat tables that trackers get."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clearsight.config.recipes import load_recipe
from clearsight.files import read_json
from clearsight.runs import Run
from clearsight.tracking.numbers import (
    epoch_metrics,
    facts,
    final_metrics,
    parameters,
    seeds_of,
)


def test_parameters_are_named_like_the_flags() -> None:
    values = parameters(load_recipe("airnet94", {"phases.0.lr": "0.5", "tracking.tracker": "none"}))
    assert values["data.source"] == "cifar10"
    assert values["phases.0.lr"] == 0.5
    assert not [name for name in values if name.startswith("tracking")]


def test_facts_say_where_a_run_lies_and_what_made_it(
    tmp_path: Path, new_run: Callable[..., Run]
) -> None:
    run = new_run(tmp_path / "run", "none")
    about = facts(run, run.config(), read_json(run.environment), "5117")
    assert about["run_folder"] == str(tmp_path / "run")
    assert about["recipe"] == "airnet94"
    assert len(about["recipe_hash"]) == 64
    assert (about["split_hash"], about["git_commit"], about["git_dirty"]) == (
        "5117", "c0ffee", "True",
    )  # fmt: skip
    assert about["environment.torch"] == "2.15.0"
    without = facts(run, run.config(), {"git": None}, "5117")
    assert "git_commit" not in without


def test_metrics_of_an_epoch_without_validation(row: Callable[[int], dict[str, Any]]) -> None:
    figures = {k: v for k, v in row(2).items() if not k.startswith("val_")}
    assert epoch_metrics(figures) == {
        "train_loss": 1.0, "train_accuracy": 0.4, "lr": 0.1, "step": 20.0,
        "images_per_second": 100.0,
    }  # fmt: skip


def test_final_metrics_carry_their_intervals(evaluation: dict[str, Any]) -> None:
    assert final_metrics(evaluation) == {
        "n": 200.0, "loss": 0.4, "accuracy": 0.9, "accuracy_low": 0.85, "accuracy_high": 0.94,
        "accuracy_without_tta": 0.88, "accuracy_without_tta_low": 0.83,
        "accuracy_without_tta_high": 0.92, "macro_precision": 0.91, "macro_recall": 0.9,
        "macro_f1": 0.89, "training_seconds": 6.5,
    }  # fmt: skip


def test_final_metrics_say_what_probabilities_are_worth(evaluation: dict[str, Any]) -> None:
    judged = {"before": {"ece": {"value": 0.2}}, "after": {"ece": {"value": 0.01}}}
    found = final_metrics({**evaluation, "probabilities": judged})
    assert (found["ece_before_calibration"], found["ece_after_calibration"]) == (0.2, 0.01)


def test_seeds_are_a_group_from_two_on() -> None:
    config = load_recipe("digits")
    first, second = seeds_of(config, 3), seeds_of(config, 3)
    assert first is not None
    assert second is not None
    assert (first.count, first.name.startswith("digits 3 seeds")) == (3, True)
    assert first.id != second.id
    assert seeds_of(config, 1) is None


@pytest.mark.parametrize("name", ["airnet94", "digits"])
def test_the_tracker_is_no_part_of_the_recipe(name: str) -> None:
    from clearsight.config.recipes import recipe_hash

    other = load_recipe(name, {"tracking.tracker": "none"})
    assert recipe_hash(other) == recipe_hash(load_recipe(name))
