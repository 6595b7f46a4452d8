"""What trackers are told of a run, as flat tables: parameters, facts, metrics."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any

from clearsight.config.recipes import recipe_hash, to_table
from clearsight.config.schema import Config
from clearsight.config.tables import flatten
from clearsight.runs import Run

EPOCH_METRICS = (
    "train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr", "step", "images_per_second",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """What runs of one recipe that differ in their seed have in common.

    - `id`: unique; `name`: for people; `count`: how many runs there will be
    """

    id: str
    name: str
    count: int


def seeds_of(config: Config, count: int) -> Seeds | None:
    """What `count` runs about to be made of `config` share; None for a single run."""
    if count == 1:
        return None
    now = datetime.now().astimezone().strftime("%Y-%m-%dT%H:%M:%S")
    return Seeds(id=secrets.token_hex(8), name=f"{config.name} {count} seeds {now}", count=count)


def parameters(config: Config) -> dict[str, Any]:
    """Every field of the resolved recipe under its flag's name."""
    table = to_table(config)
    del table["name"], table["tracking"]
    return flatten(table)


def facts(
    run: Run, config: Config, environment: Mapping[str, Any], split_hash: str
) -> dict[str, str]:
    """What identifies a run: its folder, recipe, split, code and machine."""
    about = {k: v for k, v in environment.items() if k not in ("git", "budget", "seeds")}
    git = environment.get("git") or {}
    named = {
        "run_folder": str(run.path.resolve()),
        "recipe": config.name,
        "recipe_hash": recipe_hash(config),
        "split_hash": split_hash,
        "clearsight": version("clearsight"),
        "git_commit": git.get("commit"),
        "git_dirty": git.get("dirty"),
    }
    named |= {f"environment.{key}": value for key, value in flatten(about).items()}
    return {key: str(value) for key, value in named.items() if value is not None}


def epoch_metrics(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of an epoch, in the names of `history.csv` and `timing.csv`."""
    return {name: float(row[name]) for name in EPOCH_METRICS if row.get(name) is not None}


def final_metrics(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of `evaluation.json`; every accuracy with `_low` and `_high` (95 %) and `n`.

    What probabilities are worth is `ece_after_calibration` and so on.
    """
    metrics = {"n": float(evaluation["n"]), "loss": float(evaluation["loss"])}
    for name in ("accuracy", "accuracy_without_tta"):
        if name in evaluation:
            accuracy = evaluation[name]
            metrics[name] = float(accuracy["value"])
            metrics |= {f"{name}_{end}": float(accuracy[end]) for end in ("low", "high")}
    metrics |= {f"macro_{name}": float(value) for name, value in evaluation["macro"].items()}
    judged = evaluation.get("probabilities", {})
    for when in ("before", "after"):
        if when in judged:
            values = {k: float(score["value"]) for k, score in judged[when].items()}
            metrics |= {f"{k}_{when}_calibration": value for k, value in values.items()}
    metrics["training_seconds"] = float(sum(phase["seconds"] for phase in evaluation["phases"]))
    return metrics
