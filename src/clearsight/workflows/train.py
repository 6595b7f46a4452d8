"""`clearsight train`: data, split, training, evaluation, explanation, report."""

import shutil
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clearsight.config.recipes import load_recipe
from clearsight.config.schema import Config
from clearsight.data.images import ImageSet
from clearsight.data.splits import PARTS, Split, copies_of_training, manifest, split
from clearsight.errors import UsageError
from clearsight.files import (
    missing_parents,
    read_json,
    read_text,
    remove_empty,
    write_json,
    write_text,
)
from clearsight.models.classifier import Classifier
from clearsight.notebook import in_notebook, shown
from clearsight.progress import Progress
from clearsight.runs import Run, at_work, create_numbered_run, create_run, open_run, tidy
from clearsight.runtime.device import pick_device, pick_precision
from clearsight.runtime.environment import environment
from clearsight.tracking.numbers import Seeds
from clearsight.tracking.tracker import check_installed, tracked
from clearsight.training.advice import few_images
from clearsight.training.phases import check_phases
from clearsight.training.preflight import check_run
from clearsight.training.recorded import check_recipe, is_trained
from clearsight.training.train import new_classifier, train_model
from clearsight.workflows.loading import Data, LoadedRun, load_data, load_run
from clearsight.workflows.results import (
    CALIBRATED,
    EXPLAINED,
    EXPLORED,
    MEASURED,
    REPORTED,
    draw_inputs,
    forget,
    make_missing,
    measure,
    missing,
)
from clearsight.workflows.starting import note_start


def train(
    recipe: Config | Path | str,
    *,
    data: Data | None = None,
    overrides: Mapping[str, Any] | None = None,
    out: Path | str | None = None,
    data_dir: Path | str | None = None,
    seeds: Seeds | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Trains, validates, then measures on test, explains and reports; returns the run.

    `recipe` and `overrides` are as for `load_recipe`, which gives a `Config` as well. `data` are
    the images, an `ImageSet` or what `load_images` takes; default: those that the recipe names.
    `out` is the run folder, default `runs/<date>-<recipe>-s<seed>`; it is made before anything else
    is done, so that of two trainings one gets it. `seeds` joins runs that differ in their seed, for
    the tracker. `force` trains in spite of what the pre-flight check finds, and says so in
    `environment.json`.

    Ctrl-C leaves a run that `resume` finishes. Raises `ClearsightError`s, and leaves no run folder
    where not even an epoch was reached.
    """
    progress = shown(progress)
    images = data if isinstance(data, ImageSet) else None
    config = configured(recipe, data, overrides or {}, progress)
    check_installed(config.tracking.tracker)
    path = Path("runs") if out is None else Path(out)
    made = [] if path.exists() else [*([path] if out is None else []), *missing_parents(path)]
    facts = surroundings(config, seeds, force=force)
    run = create_numbered_run(config, facts) if out is None else create_run(path, config, facts)
    with at_work(run), _resumable(run, made=made):
        _train(run, data=images, data_dir=data_dir, progress=progress)
    return run


def resume(
    path: Run | Path | str,
    *,
    data: Data | None = None,
    data_dir: Path | str | None = None,
    progress: Progress | None = None,
) -> Run:
    """Finishes the run in folder `path`: what is missing of it is made as `train` would have.

    Training continues after the last whole epoch. A complete run is left as it is, and said to be.
    `data` says where the images lie, if not where they were, or is the run's `ImageSet`. Raises
    `RunError` where another process is at work in the run, or where its recipe was edited.
    """
    progress = shown(progress)
    run = path if isinstance(path, Run) else open_run(path)
    with at_work(run), _resumable(run):
        tidy(run)
        check_recipe(run, run.config())
        if missing(run):
            check_installed(run.config().tracking.tracker)
            _train(run, data=data, data_dir=data_dir, progress=progress)
        else:
            progress.say(f"run {run.path}: it is complete, nothing to resume")
    return run


def describe(images: ImageSet, parts: Split) -> str:
    """One line: name, sizes of the parts, classes, side."""
    counts = ", ".join(f"{len(getattr(parts, part)):,} {part}" for part in PARTS)
    return f"{images.name}, {counts}, {len(images.classes)} classes, {images.size} px"


def corrected(images: ImageSet, parts: Split) -> str:
    """How many labels of which part were corrected: `12 of 45,000 train, 0 of 10,000 test`."""
    counts = {part: getattr(parts, part) for part in PARTS}
    return ", ".join(
        f"{images.corrected(part):,} of {len(part):,} {name}"
        for name, part in counts.items()
        if len(part)
    )


def surroundings(
    config: Config, seeds: Seeds | None = None, *, force: bool = False
) -> dict[str, Any]:
    """The content of `environment.json` before the pre-flight check."""
    device = pick_device(config.training.device)
    return {
        **environment(device, pick_precision(config.training.precision, device)),
        "command": " ".join(["clearsight", *sys.argv[1:]]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "budget": config.training.budget,
        "seeds": None if seeds is None else asdict(seeds),
        "force": force,
    }


def configured(
    recipe: Config | Path | str, data: Data | None, overrides: Mapping[str, Any], progress: Progress
) -> Config:
    """The recipe with other `data`, without its target where they are not of its own source."""
    config = recipe if isinstance(recipe, Config) else load_recipe(recipe, overrides, progress)
    if overrides and isinstance(recipe, Config):
        raise UsageError("overrides: found some beside a Config; give them to load_recipe")
    if data is None:
        return config
    source = Path(config.data.source)
    own = (source.name, source.stem, source.resolve().name)
    if isinstance(data, ImageSet) and data.name in own:
        return config
    name = data.name if isinstance(data, ImageSet) else str(data)
    config = replace(config, data=replace(config.data, source=name))
    target = config.evaluation.target
    if target is None or "evaluation.target" in overrides or Path(name).name == source.name:
        return config
    progress.say(
        f"the target of {100 * target:g} % is left out: it belongs to {source}, "
        f"these images are {name}"
    )
    return replace(config, evaluation=replace(config.evaluation, target=None))


@contextmanager
def _resumable(run: Run, made: list[Path] | None = None) -> Generator[None]:
    """Lets Ctrl-C say how to resume the run.

    With `made`, the folders made for a new run, an error before its first whole epoch removes it,
    and so does Ctrl-C before training.
    """
    try:
        yield
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt)
        if made is not None and not run.last.exists() and not (stopped and run.split.is_file()):
            shutil.rmtree(run.path)
            remove_empty(made)
            raise
        if stopped:
            command = f"clearsight train --resume {run.path}"
            if in_notebook():
                command = f"clearsight.resume({str(run.path)!r})"
            raise KeyboardInterrupt(f"the run is kept, resume it with `{command}`") from error
        raise


def _train(
    run: Run,
    *,
    data: Data | None,
    data_dir: Path | str | None,
    progress: Progress,
) -> None:
    """Everything from the images to the report, as far as the run does not have it yet."""
    model = None
    if run.split.is_file():
        loaded = load_run(run, data=data, data_dir=data_dir, progress=progress)
    else:
        loaded, model = prepare(run, data, data_dir, progress)
    config, images, parts = loaded.config, loaded.images, loaded.split
    for note in (*images.notes, *parts.notes):
        progress.say(f"data: {note}")
    _, indices = loaded.measured()
    if copies := len(copies_of_training(images, parts.train, indices)):
        progress.say(
            f"warning: {copies:,} of {len(indices):,} images to measure on are copies of training "
            "images; the accuracy is given without them as well"
        )
    progress.say(f"run {run.path}: {describe(images, parts)}")
    if config.data.relabelled:
        progress.say(f"labels: {corrected(images, parts)} corrected by {config.data.relabelled}")
    draw_inputs(loaded)
    trained = is_trained(run, config)
    if not trained:
        # Of an earlier epoch, if `evaluate` made them.
        forget(run, CALIBRATED, MEASURED, EXPLAINED, EXPLORED, REPORTED)
        run.dossier.unlink(missing_ok=True)
        with tracked(run, config, progress) as tracking:
            train_model(run, config, images, parts, model=model, resume=True, progress=tracking)
            tracking.finish(measure(loaded, progress))
    else:  # writes the records that it leaves at its end
        train_model(run, config, images, parts, resume=True, progress=progress)
    make_missing(loaded, progress, track=trained)


def prepare(
    run: Run, data: Data | None, data_dir: Path | str | None, progress: Progress
) -> tuple[LoadedRun, Classifier]:
    """Loads and splits the images of a new run, and looks at them as the model gets them."""
    config = run.config()
    images = data if isinstance(data, ImageSet) else None
    source = str(data) if isinstance(data, str | Path) else config.data.source
    place = replace(config.data, source=source)
    images = load_data(replace(config, data=place), data_dir, progress, images=images)
    if config.data.relabelled:
        write_text(run.relabelled, read_text(Path(config.data.relabelled)))
    parts = split(images, config.data, progress)
    check_phases(config, len(parts.validation))
    model = new_classifier(config, images, parts)
    facts = read_json(run.environment)
    findings = check_run(model, config, images, parts.train, force=facts.get("force", False))
    for finding in findings:
        progress.say(f"pre-flight {finding.level}: {finding.message}")
    if advice := few_images(model, len(parts.train)):
        progress.say(f"note: {advice}")
    facts |= {
        "preflight": [asdict(finding) for finding in findings],
        "forced": any(finding.level == "error" for finding in findings),
    }
    write_json(run.environment, facts)
    loaded = LoadedRun(run=run, config=config, images=images, split=parts)
    note_start(loaded, model, progress)
    write_json(run.split, manifest(images, parts, config.data))
    return loaded, model
