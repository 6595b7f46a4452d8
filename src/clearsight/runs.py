"""The run folder: where everything that a run did lies."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from clearsight.config.recipes import load_recipe, to_toml
from clearsight.config.schema import Config
from clearsight.errors import RunError
from clearsight.files import as_json, recover, replacing


@dataclass(frozen=True)
class Run:
    """A run folder. The properties name its files; docs/design.md says what is in them."""

    path: Path

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.toml"

    @property
    def environment(self) -> Path:
        return self.path / "environment.json"

    @property
    def split(self) -> Path:
        return self.path / "split.json"

    @property
    def history(self) -> Path:
        return self.path / "history.csv"

    @property
    def timing(self) -> Path:
        return self.path / "timing.csv"

    @property
    def best(self) -> Path:
        return self.path / "checkpoints" / "best"

    @property
    def last(self) -> Path:
        return self.path / "checkpoints" / "last"

    @property
    def weights(self) -> Path:
        """The checkpoint to use: the best by validation, where there is one, else the last."""
        recover(self.best)
        return self.best if self.best.is_dir() else self.last

    @property
    def evaluation(self) -> Path:
        return self.path / "evaluation.json"

    @property
    def predictions(self) -> Path:
        return self.path / "predictions.parquet"

    @property
    def validation_predictions(self) -> Path:
        """Of the validation part, one view per image: what versions are chosen by."""
        return self.path / "predictions-validation.parquet"

    @property
    def figures(self) -> Path:
        return self.path / "figures"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def bundle(self) -> Path:
        return self.path / "bundle"

    def config(self) -> Config:
        """The resolved recipe this run was started with."""
        return load_recipe(self.recipe)


def create_run(path: Path, config: Config, environment: Mapping[str, Any]) -> Run:
    """A new run folder with recipe and environment. Raises `RunError` if `path` has content."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RunError(
            f"run folder {path}: exists already; choose another --out, remove it, "
            f"or continue it with --resume {path}"
        )
    run = Run(path)
    with replacing(path) as temporary:
        temporary.mkdir()
        Run(temporary).recipe.write_text(to_toml(config), encoding="utf-8")
        Run(temporary).environment.write_text(as_json(environment), encoding="utf-8")
    return run


def new_run_path(config: Config) -> Path:
    """`runs/<date>-<recipe>-s<seed>`, numbered from `-2` where that is taken."""
    today = datetime.now().astimezone().date().isoformat()
    name = f"{today}-{config.name}-s{config.training.seed}"
    numbered = (f"-{n}" if n > 1 else "" for n in itertools.count(1))
    return next(p for n in numbered if not (p := Path("runs") / f"{name}{n}").exists())


def open_run(path: Path | str) -> Run:
    """An existing run folder. Raises `RunError` where `path` is none."""
    run = Run(Path(path))
    if not run.recipe.is_file():
        found = "no recipe.toml in it" if run.path.is_dir() else "no such folder"
        raise RunError(f"run {path}: {found}; `clearsight runs` lists the runs there are")
    return run
