"""The run folder: where everything a run did lies, written atomically.

Files appear whole or not at all: each is written beside its place and renamed into it.
"""

import csv
import itertools
import json
import os
import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from clearsight.config import Config, load_recipe, to_toml
from clearsight.errors import RunError


@dataclass(frozen=True)
class Run:
    """A run folder. The properties name its files; DESIGN's table says what is in them."""

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
        Run(temporary).environment.write_text(_as_json(environment), encoding="utf-8")
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


def write_text(path: Path, text: str) -> None:
    """`text` as the whole of `path`, atomically, UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """`value` as indented JSON, atomically; NaN is refused, for it is no JSON."""
    write_text(path, _as_json(value))


def read_json(path: Path) -> Any:
    """The content of `write_json`. Raises `RunError` where it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: can't be read as JSON ({error}); restore or remove it") from error


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """`rows` under the first row's keys, atomically; None is an empty cell."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: Path) -> list[dict[str, Any]]:
    """The rows of `write_csv`, numbers as int or float, empty cells as None.

    Raises `RunError` where it is missing or damaged.
    """

    def value(cell: str) -> Any:
        for kind in (int, float):
            try:
                return kind(cell)
            except ValueError:
                continue
        return cell or None

    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [{k: value(v) for k, v in row.items()} for row in csv.DictReader(file)]
    except (OSError, ValueError, csv.Error) as error:
        raise RunError(f"{path}: can't be read as CSV ({error}); restore it") from error


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """A temporary path beside `path`, which takes its place when the block ends without error.

    Works for a file and, where the block makes the temporary path a folder, for a folder. Folders
    made for it above go again where they stay empty.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with readable_os_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            if temporary.is_dir() and path.exists():
                # A folder can't be replaced in one step: the old one steps aside first, and
                # `recover` brings it back should the process die in between.
                old = _aside(path)
                if old.exists():
                    shutil.rmtree(old)
                path.rename(old)
                temporary.rename(path)
                shutil.rmtree(old)
            else:
                temporary.replace(path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        elif temporary.exists():
            temporary.unlink()
        for folder in made:
            if not folder.is_dir() or any(folder.iterdir()):
                break
            folder.rmdir()


def recover(folder: Path) -> None:
    """Brings back a folder whose replacement was cut short by the death of the process."""
    if not folder.exists() and _aside(folder).exists():
        _aside(folder).rename(folder)


def _as_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


@contextmanager
def readable_os_errors(path: Path) -> Generator[None]:
    """Turns what the disk refuses (full, read-only, no permission) into a `RunError`."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"{path}: can't be written ({error.strerror or error}); "
            "free some space or choose another folder with --out"
        ) from error
