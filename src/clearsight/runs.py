"""The run folder: where everything that a run did lies."""

import itertools
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from clearsight.config.recipes import load_recipe, to_toml
from clearsight.config.schema import Config
from clearsight.errors import RunError
from clearsight.files import (
    is_locked,
    locked,
    missing_parents,
    read_json,
    readable_os_errors,
    recover,
    remove_empty,
    sweep,
    write_json,
    write_text,
)
from clearsight.notebook import Figures, picture, table
from clearsight.wording import duration, interval, percent

_PHASE_HEAD = ["phase", "epochs", "time", "parameters trained", "validation accuracy"]


@dataclass(frozen=True, repr=False)
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
    def relabelled(self) -> Path:
        """The corrected labels that the run was trained with, where the recipe names some."""
        return self.path / "relabelled.csv"

    @property
    def start(self) -> Path:
        """How right the trained weights were that the run starts from, where it does."""
        return self.path / "start.json"

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
    def calibration(self) -> Path:
        """What was fitted on the validation part; absent where there is none."""
        return self.path / "calibration.json"

    @property
    def evaluation(self) -> Path:
        return self.path / "evaluation.json"

    @property
    def slices(self) -> Path:
        """The accuracy on each kind of images."""
        return self.path / "slices.json"

    @property
    def predictions(self) -> Path:
        return self.path / "predictions.parquet"

    @property
    def validation_predictions(self) -> Path:
        """Of the validation part, one view per image: what versions are chosen by."""
        return self.path / "predictions-validation.parquet"

    @property
    def corruptions(self) -> Path:
        """Accuracy on corrupted images, where that was measured."""
        return self.path / "corruptions.json"

    @property
    def other_data(self) -> Path:
        """Accuracy on other data sets with the same classes, where that was measured."""
        return self.path / "other-data.json"

    @property
    def doubts(self) -> Path:
        """All images, the most doubtful label first."""
        return self.path / "doubt.csv"

    @property
    def doubt_page(self) -> Path:
        return self.path / "doubt.html"

    @property
    def faithfulness(self) -> Path:
        """How the run's heatmaps fared in the test of deletion and insertion."""
        return self.path / "faithfulness.json"

    @property
    def dossier(self) -> Path:
        """The images of the most frequent confusions; their pictures are in `dossier.png`."""
        return self.path / "dossier.json"

    @property
    def dossier_pictures(self) -> Path:
        return self.path / "dossier.png"

    @property
    def figures(self) -> Path:
        return self.path / "figures"

    @property
    def explorer(self) -> Path:
        return self.path / "explorer.json"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def bundle(self) -> Path:
        return self.path / "bundle"

    @property
    def stages(self) -> Path:
        """Which stages after training were finished, and the files that each of them wrote."""
        return self.path / "stages.json"

    @property
    def tracking(self) -> Path:
        """Which run of a tracker this one is, and whether it was finished there."""
        return self.path / "tracking.json"

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    def _repr_html_(self) -> str:
        rows, phases = [["folder", str(self.path)]], []
        if self.evaluation.is_file():
            measured = read_json(self.evaluation)
            accuracy, tta = measured["accuracy"], measured["tta"]
            rows += [
                [f"{measured['split']} accuracy", percent(accuracy["value"])],
                ["95 % interval", interval(accuracy)],
                ["images", f"{measured['n']:,}"],
                ["test-time augmentation", tta],
                ["target", percent(measured["target"])],
                ["report", str(self.report)],
            ]
            phases = [_phase_cells(phase) for phase in measured["phases"]]
        else:
            rows.append(["state", f"not finished; clearsight.resume({str(self.path)!r}) does"])
        curves = sorted(self.figures.glob("*training_curves.png"))
        html = table([], rows) + (table(_PHASE_HEAD, phases) if phases else "")
        return html + "".join(picture(path.read_bytes()) for path in curves)

    def figure(self, *names: str) -> Figures:
        """The pictures of these names, without `.png`, for a notebook to show.

        Raises `RunError` for one that the run does not have.
        """
        there = {path.stem: path for path in sorted(self.figures.glob("*.png"))}
        for name in names:
            if name not in there:
                raise RunError(
                    f"run {self.path}: it has no figure {name!r}; "
                    f"it has {', '.join(there) or 'none'}"
                )
        return Figures(there[name] for name in names)

    def config(self) -> Config:
        """The resolved recipe this run was started with."""
        return load_recipe(self.recipe)


def _phase_cells(phase: Mapping[str, Any]) -> list[str]:
    trained, total = phase["trainable"], phase["trainable"] + phase["frozen"]
    return [
        phase["name"], f"{phase['epochs']:,}", duration(phase["seconds"]),
        f"{trained:,} of {total:,}", percent(phase["val_accuracy"]),
    ]  # fmt: skip


def create_run(path: Path, config: Config, environment: Mapping[str, Any]) -> Run:
    """A new run folder with recipe and environment; of several processes one gets it.

    Raises `RunError` if `path` has content, `FileError` where the disk refuses.
    """
    run, made = Run(path), [] if path.exists() else [path, *missing_parents(path)]
    taken = RunError(
        f"run folder {path}: exists already; choose another --out, remove it, "
        f"or resume it with --resume {path}"
    )
    if path.exists() and not path.is_dir():
        raise taken
    try:
        with readable_os_errors(path):
            path.mkdir(parents=True, exist_ok=True)
        with at_work(run):
            if any(path.iterdir()):
                raise taken
            try:
                write_json(run.environment, environment)
                write_text(run.recipe, to_toml(config))
            except BaseException:
                run.environment.unlink(missing_ok=True)
                raise
    except BaseException:
        remove_empty(made)
        raise
    return run


def create_numbered_run(config: Config, environment: Mapping[str, Any]) -> Run:
    """A new run folder `runs/<date>-<recipe>-s<seed>`, numbered from `-2` where that is taken."""
    today = datetime.now().astimezone().date().isoformat()
    name = f"{today}-{config.name}-s{config.training.seed}"
    for number in itertools.count(1):
        path = Path("runs") / (name if number == 1 else f"{name}-{number}")
        if path.exists():
            continue
        try:
            return create_run(path, config, environment)
        except RunError:  # another process was quicker
            continue
    raise AssertionError("unreachable")


@contextmanager
def at_work(run: Run) -> Generator[None]:
    """Keeps other processes from working in the run's folder until the block ends.

    Raises `RunError` where one is at work there.
    """
    try:
        with locked(run.path, wait=False):
            yield
    except BlockingIOError as error:
        raise RunError(
            f"run {run.path}: another process is at work in it; wait until it has finished"
        ) from error


def is_at_work(run: Run) -> bool:
    """Whether a process trains or measures this run right now, on any machine that locks files."""
    return is_locked(run.path)


def tidy(run: Run) -> None:
    """Removes what a killed process left in the run's folder; call it `at_work`."""
    folders = [path for path in run.path.rglob("*") if path.is_dir()]
    for folder in (run.path, *folders):
        if folder.is_dir():  # not removed meanwhile
            sweep(folder, idle=0)


def open_run(path: os.PathLike[str] | str) -> Run:
    """An existing run folder. Raises `RunError` where `path` is none."""
    run = Run(Path(path))
    if not run.recipe.is_file():
        found = "no recipe.toml in it" if run.path.is_dir() else "no such folder"
        raise RunError(f"run {path}: {found}; `clearsight runs` lists the runs there are")
    return run


def check_measured(run: Run) -> None:
    """Raises `RunError` for a run that has no `evaluation.json` yet."""
    if not run.evaluation.is_file():
        raise RunError(
            f"run {run.path}: it was not measured yet; finish it with "
            f"`clearsight train --resume {run.path}`"
        )
