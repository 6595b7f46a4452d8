"""`clearsight train`: data, split, training, evaluation, explanation, report."""

import shutil
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from clearsight.config.schema import Config
from clearsight.data.images import ImageSet
from clearsight.data.splits import PARTS, Split, manifest, split
from clearsight.errors import ClearsightError, RunError
from clearsight.evaluation.report import write_report
from clearsight.figures.run import draw_augmentation, draw_data
from clearsight.files import write_json
from clearsight.models.classifier import Classifier
from clearsight.progress import SILENT, Progress
from clearsight.runs import Run, create_run, new_run_path
from clearsight.runtime.device import pick_device, pick_precision
from clearsight.runtime.environment import environment
from clearsight.tracking.numbers import Seeds
from clearsight.tracking.tracker import check_installed, tracked
from clearsight.training.advice import few_images
from clearsight.training.findings import Finding
from clearsight.training.phases import check_phases
from clearsight.training.preflight import check_run
from clearsight.training.train import new_classifier, train_model
from clearsight.workflows.evaluate import measure
from clearsight.workflows.explain import explain_measured
from clearsight.workflows.loading import LoadedRun, load_data, load_run


def train(
    config: Config,
    *,
    out: Path | str | None = None,
    data_dir: Path | str | None = None,
    images: ImageSet | None = None,
    seeds: Seeds | None = None,
    force: bool = False,
    progress: Progress = SILENT,
) -> Run:
    """Trains, validates, then measures on test, explains and reports; returns the run.

    `out` is the run folder, default `runs/<date>-<recipe>-s<seed>`. `images` are the recipe's,
    where they are loaded already; `seeds` joins runs that differ in their seed, for the tracker.
    `force` trains in spite of what the pre-flight check finds, and says so in `environment.json`.
    Raises `ClearsightError`s, and leaves no run folder where not even an epoch was reached.
    """
    check_installed(config.tracking.tracker)
    path = new_run_path(config) if out is None else Path(out)
    images = images or load_data(config, data_dir, progress)
    parts = split(images, config.data)
    check_phases(config, len(parts.validation))
    model = new_classifier(config, images, parts)
    findings = check_run(model, config, images, parts.train, force=force)
    for finding in findings:
        progress.say(f"pre-flight {finding.level}: {finding.message}")
    if advice := few_images(model, len(parts.train)):
        progress.say(f"note: {advice}")
    run = _start(path, config, images, parts, findings)
    loaded = LoadedRun(run=run, config=config, images=images, split=parts)
    _complete(loaded, model, seeds, progress)
    return run


def resume(
    path: Path | str, *, data_dir: Path | str | None = None, progress: Progress = SILENT
) -> Run:
    """Continues the run in folder `path` after its last whole epoch, as `train` would have.

    Raises `RunError` for a run that is finished.
    """
    loaded = load_run(path, data_dir=data_dir, progress=progress)
    if loaded.run.evaluation.is_file():
        raise RunError(f"run {path}: it is finished; `clearsight evaluate` measures it again")
    check_installed(loaded.config.tracking.tracker)
    _complete(loaded, None, None, progress)
    return loaded.run


def describe(images: ImageSet, parts: Split) -> str:
    """One line: name, sizes of the parts, classes, side."""
    counts = ", ".join(f"{len(getattr(parts, part)):,} {part}" for part in PARTS)
    return f"{images.name}, {counts}, {len(images.classes)} classes, {images.size} px"


@contextmanager
def resumable(run: Run) -> Generator[None]:
    """Lets Ctrl-C say how to resume, and an error remove the folder if no epoch was kept in it."""
    try:
        yield
    except KeyboardInterrupt as stop:
        command = f"clearsight train --resume {run.path}"
        raise KeyboardInterrupt(f"the run is kept, resume it with `{command}`") from stop
    except ClearsightError:
        if not run.last.exists():
            shutil.rmtree(run.path)
        raise


def _start(
    path: Path, config: Config, images: ImageSet, parts: Split, findings: Sequence[Finding]
) -> Run:
    """A new run folder with recipe, environment (and what the pre-flight check found), split."""
    device = pick_device(config.training.device)
    surroundings = environment(device, pick_precision(config.training.precision, device))
    surroundings |= {
        "command": " ".join(["clearsight", *sys.argv[1:]]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "budget": config.training.budget,
        "preflight": [asdict(finding) for finding in findings],
        "forced": any(finding.level == "error" for finding in findings),
    }
    run = create_run(path, config, surroundings)
    with resumable(run):
        write_json(run.split, manifest(images, parts, config.data))
    return run


def _complete(
    loaded: LoadedRun, model: Classifier | None, seeds: Seeds | None, progress: Progress
) -> None:
    """Everything from the data's figures to the report; `model` is None where a run is resumed."""
    run, config, images, parts = loaded.run, loaded.config, loaded.images, loaded.split
    for note in (*images.notes, *parts.notes):
        progress.say(f"data: {note}")
    progress.say(f"run {run.path}: {describe(images, parts)}")
    with resumable(run):
        draw_data(run.figures, images, parts)
        draw_augmentation(run.figures, config, images, parts)
        with tracked(run, config, progress, seeds=seeds) as tracking:
            train_model(
                run, config, images, parts,
                model=model, resume=model is None, progress=tracking,
            )  # fmt: skip
            tracking.finish(measure(loaded, progress=progress))
    explain_measured(loaded, progress=progress)
    write_report(run)
