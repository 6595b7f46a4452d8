"""The ledger: one JSON file per recorded result. The documents' numbers come from there."""

import dataclasses
import hashlib
import json
import re
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clearsight.config.parsing import parse
from clearsight.config.recipes import load_recipe, recipe_hash, recipe_names, to_table
from clearsight.config.schema import Config
from clearsight.config.tables import differences
from clearsight.errors import ClearsightError, RunError, UsageError
from clearsight.files import as_json, file_digest, parse_json, read_json, read_text, write_json
from clearsight.runs import Run, check_measured, is_at_work, open_run
from clearsight.training.recorded import check_recipe

RESULTS = Path("results")
HARDWARE = ("platform", "cpu", "cores", "memory_gib", "device", "precision", "threads")
VERSIONS = ("clearsight", "python", "torch", "numpy", "onnxruntime")


def record(runs: Sequence[Run], name: str, folder: Path = RESULTS) -> Path:
    """Writes `folder/name.json` from finished runs of one recipe that differ in their seed only.

    Raises `UsageError` for no run, a seed twice, or a name that is no file name, and `RunError`
    where a run was not evaluated or the runs differ in recipe, split, machine or versions.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise UsageError(f"--name: found {name!r}, expected letters, digits, '.', '-' and '_'")
    if not runs:
        raise UsageError("record: found no run; name at least one run folder")
    facts = [_facts(run) for run in runs]
    seeds = [run["seed"] for run, _ in facts]
    if len(set(seeds)) < len(seeds):
        raise UsageError(
            f"record: found the seeds {', '.join(map(str, seeds))}; give each run once, "
            "and runs of different seeds"
        )
    shared = facts[0][1]
    for run, (_, other) in zip(runs[1:], facts[1:], strict=True):
        _check_equal(runs[0], shared, run, other)
    rows = [row for row, _ in facts]
    entry = {
        "name": name,
        "kind": "runs",
        "recorded": _today(),
        **shared,
        "runs": rows,
        "accuracy": {
            tta: spread([row["accuracy"][tta]["value"] for row in rows])
            for tta in rows[0]["accuracy"]
        },
        "seconds": spread([row["seconds"] for row in rows]),
    }
    path = folder / f"{name}.json"
    write_entry(path, entry)
    return path


def record_benchmark(
    path: Path, environment: Mapping[str, Any], *, kind: str = "benchmark", **content: Any
) -> None:
    """Writes what a script in `benchmarks/` measured to `path`, with name, date and machine.

    `environment` is `runtime.environment`'s; with `table`, of `head` and `rows` of texts, documents
    can show it.
    """
    about = {"name": path.stem, "kind": kind, "recorded": _today(), "environment": environment}
    write_entry(path, {**about, **content})


def write_entry(path: Path, entry: Mapping[str, Any]) -> None:
    """Writes an entry with its checksum, by which an edited value is noticed."""
    content = json.loads(as_json(entry))  # what a reader will find: tuples are lists there
    write_json(path, content | {"checksum": checksum(content)})


def checksum(entry: Mapping[str, Any]) -> str:
    """SHA-256 over an entry's values except `checksum`; layout and order of keys do not count."""
    content = {key: value for key, value in entry.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean, and from two values on the standard deviation (n - 1), least and greatest value."""
    result = {"count": len(values), "mean": statistics.fmean(values)}
    if len(values) > 1:
        result |= {"sd": statistics.stdev(values), "min": min(values), "max": max(values)}
    return result


def list_runs(folder: Path | str = "runs") -> list[dict[str, Any]]:
    """The run folders in `folder`, oldest first: what each ran and reached so far.

    Those of several seeds, one folder deeper, are among them. A run that can't be read stays in the
    list, with the reason under `problem`. Raises `RunError` where `folder` is no folder; the
    default `runs` may be absent.
    """
    folder = Path(folder)
    if not folder.is_dir() and folder != Path("runs"):
        found = "it is a file" if folder.exists() else "no such folder"
        raise RunError(f"runs {folder}: {found}; name the folder that your run folders lie in")
    recipes = [path for depth in ("*", "*/*") for path in folder.glob(f"{depth}/recipe.toml")]
    rows = [_overview(Run(path.parent)) for path in recipes]
    return sorted(rows, key=lambda row: (row["started"], row["run"]))


def read_entries(folder: Path = RESULTS, kind: str = "runs") -> dict[str, dict[str, Any]]:
    """The ledger's entries by name, in the order of their names.

    `kind`: `runs`, what `record` wrote; or `benchmark`, what a script in `benchmarks/` did.
    """
    entries = {}
    for path in sorted(folder.glob("*.json")):
        entry = parse_json(read_text(path), path)  # may have the name of a run's file
        if entry.get("kind") == kind:
            entries[path.stem] = entry
    return entries


def shipped_hash(name: str) -> str | None:
    """The recipe hash, as the ledger writes it, of the shipped recipe `name`; None for no such."""
    return recipe_hash(_recipe(load_recipe(name))) if name in recipe_names() else None


def entry_hash(entry: Mapping[str, Any]) -> str:
    """The recipe hash of an entry's configuration as it reads today.

    The recorded hash leaves out what was a default then; this one notices a default that changed.
    Raises `ConfigError`.
    """
    return recipe_hash(_recipe(parse(Config, dict(entry["config"]), entry["recipe"])))


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _overview(run: Run) -> dict[str, Any]:
    row: dict[str, Any] = {"run": str(run.path), "started": ""}
    try:
        row["started"] = read_json(run.environment)["started"]
        config = run.config()
        row |= {"recipe": config.name, "data": config.data.source, "seed": config.training.seed}
        if is_at_work(run):
            return row | {"state": "running"}
        if not run.evaluation.is_file():
            return row | {"state": "trained" if run.last.is_dir() else "started"}
        evaluation = read_json(run.evaluation)
        row |= {"state": "exported" if run.bundle.is_dir() else "evaluated"}
        row["seconds"] = sum(phase["seconds"] for phase in evaluation["phases"])
        return row | {key: evaluation[key] for key in ("split", "n", "tta", "accuracy")}
    except ClearsightError as error:
        return row | {"state": "unreadable", "problem": str(error)}


def _facts(run: Run) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what is this run's own, what all recorded runs must share)."""
    open_run(run.path)
    check_measured(run)
    for path in (run.environment, run.split):
        if not path.is_file():
            raise RunError(
                f"run {run.path}: found no {path.name}, so nothing to record; "
                f"finish it first with `clearsight train --resume {run.path}`"
            )
    config, evaluation = run.config(), read_json(run.evaluation)
    check_recipe(run, config)
    environment, split = read_json(run.environment), read_json(run.split)
    accuracy = {evaluation["tta"]: evaluation["accuracy"] | {"n": evaluation["n"]}}
    if "accuracy_without_tta" in evaluation:
        accuracy["none"] = evaluation["accuracy_without_tta"] | {"n": evaluation["n"]}
    own = {
        "seed": config.training.seed,
        "started": environment["started"],
        "git": environment["git"],
        "accuracy": accuracy,
        "target": evaluation["target"],
        # Of the phases, not of their epochs: computing the features of frozen stages is training.
        "seconds": sum(phase["seconds"] for phase in evaluation["phases"]),
        "figures": {path.name: file_digest(path) for path in sorted(run.figures.glob("*.png"))},
    }
    recipe = _recipe(config)
    table = to_table(recipe)
    del table["training"]["seed"], table["tracking"]
    shared = {
        "recipe": config.name,
        "recipe_hash": recipe_hash(recipe),
        # Without this, a recipe that has changed since and one run with other flags look alike.
        "shipped_recipe": recipe_hash(recipe) == shipped_hash(config.name),
        "config": table,
        "budget": environment["budget"],
        "data": recipe.data.source,
        "split_hash": split["hash"],
        "measured_on": evaluation["split"],
        "n": evaluation["n"],
        "tta": evaluation["tta"],
        "hardware": {key: environment[key] for key in HARDWARE},
        "versions": {key: environment[key] for key in VERSIONS},
    }
    return own, shared


def _recipe(config: Config) -> Config:
    """The recipe without what a budgeted run measured (its steps) and the folders of its data."""
    labels = config.data.relabelled
    return dataclasses.replace(
        config,
        data=dataclasses.replace(
            config.data,
            source=Path(config.data.source).name,
            relabelled=None if labels is None else Path(labels).name,
        ),
        phases=tuple(
            dataclasses.replace(phase, plan=(), steps=None) if phase.plan else phase
            for phase in config.phases
        ),
    )


def _check_equal(first: Run, a: Mapping[str, Any], second: Run, b: Mapping[str, Any]) -> None:
    different = differences(a, b)
    # The hash goes last, for a setting's name says more.
    for key in sorted(different, key=lambda key: (key == "recipe_hash", key)):
        left, right = different[key]
        raise RunError(
            f"run {second.path}: {key} is {right!r}, but {left!r} in {first.path}; one record "
            "takes runs that differ in their seed only"
        )
