"""`clearsight train --folds`: cross-validation, for data sets too small to hold a test set out."""

import itertools
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from clearsight.config.schema import Config
from clearsight.data.images import ImageSet
from clearsight.errors import RunError, UsageError
from clearsight.evaluation.intervals import accuracy_interval
from clearsight.evaluation.predictions import read_predictions
from clearsight.files import write_json
from clearsight.ledger import spread
from clearsight.notebook import Result, shown
from clearsight.progress import Progress
from clearsight.runs import Run, open_run
from clearsight.wording import interval, percent
from clearsight.workflows.loading import Data, load_data
from clearsight.workflows.train import configured, resume, train

SUMMARY = "folds.json"


def cross_validate(
    recipe: Config | Path | str,
    folds: int,
    *,
    data: Data | None = None,
    overrides: Mapping[str, Any] | None = None,
    out: Path | str | None = None,
    data_dir: Path | str | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Trains a run for each fold of all images, and measures each image by the model without it.

    `recipe`, `data`, `overrides` and `force` are as for `train`.
    Folds are stratified, and keep groups and near duplicates together. `out` holds the runs
    `fold1`, `fold2` …, default `runs/<date>-<recipe>-s<seed>-folds<n>`; those that are there are
    finished or left as they are. Returns what `out/folds.json` says:

    - `folds`; `n`, all images; `accuracy` over them, with its 95 % Wilson interval. The models
      share most of their training images, so it is that of the recipe, not of one model
    - `over_folds`: `mean`, `sd`, `min` and `max` of the folds' accuracies
    - `runs`: `run`, `fold`, `n` and `accuracy` of each

    Raises `UsageError` for fewer than two folds, `RunError` where `out` holds runs of another
    recipe.
    """
    progress = shown(progress)
    config = configured(recipe, data, overrides or {}, progress)
    if not 2 <= folds <= 100:
        raise UsageError(f"--folds: found {folds}, expected 2 to 100")
    configs = [replace(config, data=replace(config.data, folds=folds, fold=k + 1))
               for k in range(folds)]  # fmt: skip
    folder = _new_folder(config, folds) if out is None else Path(out)
    paths = [folder / f"fold{k + 1}" for k in range(folds)]
    for path, wanted in zip(paths, configs, strict=True):
        if path.exists():
            _check_same(open_run(path), wanted)
    images = data if isinstance(data, ImageSet) else None
    images = load_data(config, data_dir, progress, images=images)
    runs = []
    for path, wanted in zip(paths, configs, strict=True):
        progress.say(f"fold {wanted.data.fold} of {folds}")
        if path.exists():
            runs.append(resume(path, data=images, progress=progress))
        else:
            runs.append(train(wanted, out=path, data=images, force=force, progress=progress))
    found = _summary(runs)
    write_json(folder / SUMMARY, found)
    return Result(
        found,
        _lines(found),
        ("run", "fold", "n", "accuracy"),
        [
            (row["run"], str(row["fold"]), f"{row['n']:,}", percent(row["accuracy"]))
            for row in found["runs"]
        ],
    )


def _lines(found: Mapping[str, Any]) -> list[str]:
    accuracy, over = found["accuracy"], found["over_folds"]
    return [
        f"accuracy over all images {percent(accuracy['value'])} (95 % interval "
        f"{interval(accuracy)}, n = {found['n']:,}), each by the model that did not see it",
        f"{found['folds']} folds: accuracy {percent(over['mean'])} ± {percent(over['sd'])} "
        f"(sd), from {percent(over['min'])} to {percent(over['max'])}",
    ]


def _new_folder(config: Config, folds: int) -> Path:
    today = datetime.now().astimezone().date().isoformat()
    name = f"{today}-{config.name}-s{config.training.seed}-folds{folds}"
    names = (name if number == 1 else f"{name}-{number}" for number in itertools.count(1))
    return next(path for path in map(Path("runs").joinpath, names) if not path.exists())


def _check_same(run: Run, wanted: Config) -> None:
    """Raises `RunError` where the run is of another recipe or fold."""
    budgeted = wanted.training.budget is not None
    found, wanted = (_comparable(config, budgeted) for config in (run.config(), wanted))
    for table in ("name", "data", "augment", "model", "training", "phases", "evaluation"):
        if getattr(found, table) != getattr(wanted, table):
            raise RunError(
                f"run {run.path}: its [{table}] is not that of this recipe and fold; choose "
                "another --out, or give the recipe and flags that the run was started with"
            )


def _comparable(config: Config, budgeted: bool) -> Config:
    """The recipe without what a finished run has in place of its time budget."""
    if not budgeted:
        return config
    phases = tuple(replace(phase, steps=None, plan=()) for phase in config.phases)
    return replace(config, phases=phases, training=replace(config.training, budget=None))


def _summary(runs: list[Run]) -> dict[str, Any]:
    rows, right = [], []
    for number, run in enumerate(runs, 1):
        found = read_predictions(run.predictions)
        hits = found.probabilities.argmax(1) == found.labels
        right.append(hits)
        rows.append(
            {"run": str(run.path), "fold": number, "n": len(hits), "accuracy": float(hits.mean())}
        )
    every = np.concatenate(right)
    return {
        "folds": len(runs),
        "n": len(every),
        "accuracy": accuracy_interval(int(every.sum()), len(every)),
        "over_folds": spread([row["accuracy"] for row in rows]),
        "runs": rows,
    }
