"""The way through: data → split → train → evaluate → explain → report, and on to a bundle.

Each function works on a run folder and finds all it needs there and in the data.
"""

import shutil
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from clearsight import exporting, suggesting
from clearsight.bundle import MANIFEST, read_bundle
from clearsight.config import Config, DataConfig, ModelConfig, recipe_hash, to_table
from clearsight.data import audit as auditing
from clearsight.data.images import ImageSet
from clearsight.data.sources import load_images
from clearsight.data.splits import Split, from_manifest, manifest, split
from clearsight.errors import ClearsightError, DataError, RunError, UsageError
from clearsight.evaluation.metrics import TTA, evaluate_probabilities, predict_both
from clearsight.evaluation.predictions import read_predictions, write_predictions
from clearsight.evaluation.report import write_report
from clearsight.explanation.explain import explain_images, explain_run
from clearsight.ledger import HARDWARE
from clearsight.model_card import int8_cost
from clearsight.models.classifier import Classifier
from clearsight.models.registry import input_size
from clearsight.pictures import (
    draw_audit,
    draw_augmentation,
    draw_data,
    draw_evaluation,
    draw_training,
)
from clearsight.progress import Progress, Silent, counting
from clearsight.quantising import CALIBRATION, Int8Images
from clearsight.runs import Run, create_run, new_run_path, open_run, read_json, write_json
from clearsight.runtime import environment, pick_device, pick_precision
from clearsight.tracking.numbers import Seeds
from clearsight.tracking.tracker import check_installed, tracked
from clearsight.training.checkpoint import load_about, load_classifier
from clearsight.training.preflight import Finding, check_run
from clearsight.training.train import new_classifier, train_model


def train(
    config: Config,
    *,
    out: Path | None = None,
    data_dir: Path | str | None = None,
    resume: Path | None = None,
    images: ImageSet | None = None,
    seeds: Seeds | None = None,
    force: bool = False,
    screen: Progress | None = None,
) -> Run:
    """Trains, validates, then measures on test, explains and reports; returns the run.

    `out` is the run folder, default `runs/<date>-<recipe>-s<seed>`. `resume` is a run to go on
    with after its last whole epoch; `config` must then be its own. `images` are the recipe's,
    where they are loaded already; `seeds` joins runs that differ in their seed, for the tracker.
    `force` trains in spite of what the pre-flight check finds, and says so in `environment.json`.
    Raises `ClearsightError`s, and leaves no run folder where not even an epoch was reached.
    """
    screen = screen or Silent()
    check_installed(config.tracking.tracker)
    model = None
    if resume is None:
        path = out or new_run_path(config)
        images = images or load_data(config, data_dir, screen)
        parts = split(images, config.data)
        model = new_classifier(config, images, parts)
        found = check_run(model, images, parts.train, force=force)
        for finding in found:
            screen.say(f"pre-flight {finding.level}: {finding.message}")
        run = start_run(path, config, images, parts, found)
    else:
        run = open_run(resume)
        if run.evaluation.is_file():
            raise RunError(f"run {resume}: it is finished; `clearsight evaluate` measures it again")
        images = images or load_data(config, data_dir, screen)
        parts = from_manifest(images, read_json(run.split))
    for note in images.notes:
        screen.say(f"data: {note}")
    screen.say(f"run {run.path}: {describe(images, parts)}")
    with resumable(run):
        draw_data(run.figures, images, parts)
        draw_augmentation(run.figures, config, images, parts)
        with tracked(run, config, screen, seeds=seeds) as progress:
            train_model(
                run, config, images, parts,
                model=model, resume=resume is not None, progress=progress,
            )  # fmt: skip
            progress.finish(evaluate(run, images=images, screen=screen))
    explain(run, images=images)
    write_report(run)
    return run


def start_run(
    path: Path, config: Config, images: ImageSet, parts: Split, found: Sequence[Finding] = ()
) -> Run:
    """A new run folder with recipe, environment (and what the pre-flight check found), split."""
    device = pick_device(config.training.device)
    about = environment(device, pick_precision(config.training.precision, device))
    about |= {
        "command": " ".join(["clearsight", *sys.argv[1:]]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "budget": config.training.budget,
        "preflight": [asdict(finding) for finding in found],
        "forced": any(finding.level == "error" for finding in found),
    }
    run = create_run(path, config, about)
    with resumable(run):
        write_json(run.split, manifest(images, parts, config.data))
    return run


@contextmanager
def resumable(run: Run) -> Generator[None]:
    """Lets Ctrl-C say how to go on, and an error remove the folder if no epoch was kept in it."""
    try:
        yield
    except KeyboardInterrupt as stop:
        command = f"clearsight train --resume {run.path}"
        raise KeyboardInterrupt(f"the run is kept, go on with `{command}`") from stop
    except ClearsightError:
        if not run.last.exists():
            shutil.rmtree(run.path)
        raise


def evaluate(
    run: Run | Path | str,
    *,
    data_dir: Path | str | None = None,
    tta: TTA | None = None,
    images: ImageSet | None = None,
    screen: Progress | None = None,
) -> dict[str, Any]:
    """Measures a run's model on its test part; returns, and writes, `evaluation.json`.

    The part is the validation part where the split has no test part, and named so. Also leaves
    `predictions.parquet`, that of the validation part, the figures and the report. `images` are
    the run's, where they are loaded already.
    """
    run = as_run(run)
    screen = screen or Silent()
    config = run.config()
    images = load_data(config, data_dir, screen) if images is None else images
    part, where = measured_part(run, images)
    about = load_about(run.last)
    model = load_classifier(run.weights)
    tta = config.evaluation.tta if tta is None else tta
    pixels, labels = images.images[where], images.labels[where]

    probabilities, plain = _predict(model, pixels, tta, f"measuring on {part}", screen)
    evaluation = evaluate_probabilities(
        probabilities, labels, model.classes, split=part, tta=tta,
        target=config.evaluation.target, phases=about["position"]["phases"],
        without_tta=None if tta == "none" else plain,
    )  # fmt: skip
    write_predictions(run.predictions, images.ids[where], labels, probabilities, model.classes)
    _keep_validation(run, images, model, screen)
    write_json(run.evaluation, evaluation)
    draw_training(run, config)
    draw_evaluation(run, evaluation, pixels, labels, probabilities)
    write_report(run)
    return evaluation


def explain(
    target: Run | Path | str,
    files: Sequence[Path] = (),
    *,
    layer: str | None = None,
    out: Path | None = None,
    data_dir: Path | str | None = None,
    images: ImageSet | None = None,
) -> list[Path]:
    """Grad-CAM figures of a run's test part, or of image files by a run or a bundle.

    Without `files` a run's go into its figures; figures of files go into `out`, default
    `explanations`. `layer` is a module's name; default: the last with a map of at least 4 × 4.
    """
    if not isinstance(target, Run) and (Path(target) / MANIFEST).is_file():
        bundle = read_bundle(target)
        if not files:
            raise UsageError(f"explain {target}: a bundle holds no images; name some image files")
        model, size, fit = bundle.classifier(), bundle.size, bundle.fit
        return explain_images(
            model, files, size=size, fit=fit, out=out or Path("explanations"), layer=layer
        )
    run = as_run(target)
    model = load_classifier(run.weights)
    if files:
        about = load_about(run.weights)["data"]
        return explain_images(
            model, files, size=about["size"], fit=about["fit"],
            out=out or Path("explanations"), layer=layer,
        )  # fmt: skip
    images = load_data(run.config(), data_dir, Silent()) if images is None else images
    _, where = measured_part(run, images)
    predictions = read_predictions(run.predictions)
    return explain_run(
        model, images.images[where], images.labels[where], predictions.probabilities,
        model.classes, out or run.figures, layer=layer,
    )  # fmt: skip


def export(
    run: Run | Path | str,
    *,
    out: Path | None = None,
    int8: bool = False,
    data_dir: Path | str | None = None,
    images: ImageSet | None = None,
    screen: Progress | None = None,
) -> Path:
    """Writes the bundle of a measured run, default into the run folder; returns its path.

    `int8` adds a graph in 8-bit integers, calibrated on training images. Raises `DataError` for
    that without a validation part, `BundleError` where accuracy on it falls by over 0.5 points.
    """
    run = as_run(run)
    screen = screen or Silent()
    if not run.evaluation.is_file():
        raise RunError(
            f"run {run.path}: it was not measured yet; finish it with "
            f"`clearsight train --resume {run.path}`"
        )
    config, surroundings = run.config(), read_json(run.environment)
    images = load_data(config, data_dir, screen) if images is None else images
    _, where = measured_part(run, images)
    seeds = {"seed": config.training.seed, "split_hash": read_json(run.split)["hash"]}
    with counting(screen) as report:
        bundle = exporting.export(
            load_classifier(run.weights),
            out=out or run.bundle,
            fit=images.fit,
            size=images.size,
            metrics=read_json(run.evaluation),
            provenance={
                "recipe": config.name,
                "recipe_hash": recipe_hash(config),
                "data": images.name,
                **seeds,
                "weights": load_about(run.weights).get("weights"),
                "trained": surroundings["started"],
                "git": surroundings["git"],
                "versions": {k: surroundings[k] for k in ("clearsight", "python", "torch")},
                "hardware": {k: surroundings[k] for k in HARDWARE},
                "config": _recipe_to_repeat(config),
            },
            test_images=images.images[where],
            validation=_content(run.validation_predictions),
            int8=_for_int8(run, images) if int8 else None,
            progress=report,
        )
    cost = read_bundle(bundle, verify=False).int8
    if cost is not None:
        screen.say(f"int8: {int8_cost(cost)}")
    return bundle


def audit(
    source: str,
    *,
    data_dir: Path | str | None = None,
    out: Path | None = None,
    screen: Progress | None = None,
) -> auditing.AuditReport:
    """Looks a data set over as it would be split by default; figures go into `out`, if given."""
    corrupt: list[str] = []
    config = Config(data=DataConfig(source=source))
    images = load_data(
        config, data_dir, screen or Silent(),
        on_corrupt=lambda place, reason: corrupt.append(f"{place}: {reason}"),
    )  # fmt: skip
    parts = split(images, config.data)
    report = auditing.audit(images, parts, corrupt=tuple(corrupt))
    if out is not None:
        draw_data(out, images, parts)
        draw_audit(out, images, report)
    return report


def suggest(
    source: str,
    model: str,
    *,
    data_dir: Path | str | None = None,
    screen: Progress | None = None,
) -> dict[str, Any]:
    """What the network `model` costs on this machine, by input size, for a data set's epochs."""
    screen = screen or Silent()
    config = Config(data=DataConfig(source=source), model=ModelConfig(name=model))
    images = load_data(config, data_dir, screen)
    with counting(screen) as report:
        return suggesting.suggest(
            model, images, len(split(images, config.data).train), report=report
        )


def load_data(
    config: Config,
    data_dir: Path | str | None,
    screen: Progress,
    *,
    on_corrupt: Callable[[str, str], None] | None = None,
    download: bool = True,
) -> ImageSet:
    """The images of a recipe, with progress on the screen."""
    with counting(screen) as report:
        return load_images(
            config.data.source, size=config.data.size, up_to=input_size(config.model),
            fit=config.data.fit, data_dir=data_dir,
            progress=report, on_corrupt=on_corrupt, download=download,
        )  # fmt: skip


def measured_part(run: Run, images: ImageSet) -> tuple[str, np.ndarray]:
    """(name, int64 positions) of the part a run is measured on: test, else validation."""
    parts = from_manifest(images, read_json(run.split))
    for name in ("test", "validation"):
        where = getattr(parts, name)
        if len(where):
            return name, where
    raise DataError(
        f"{images.name}: the split has neither test nor validation images to measure on; "
        "set data.test or data.validation above 0"
    )


def describe(images: ImageSet, parts: Split) -> str:
    """One line: name, sizes of the parts, classes, side."""
    counts = ", ".join(f"{len(getattr(parts, p)):,} {p}" for p in ("train", "validation", "test"))
    return f"{images.name}, {counts}, {len(images.classes)} classes, {images.size} px"


def _keep_validation(run: Run, images: ImageSet, model: Classifier, screen: Progress) -> None:
    """Writes what the model, as it is shipped, says of the validation part, if there is one."""
    where = from_manifest(images, read_json(run.split)).validation
    if not len(where):
        return
    pixels, labels = images.images[where], images.labels[where]
    probabilities, _ = _predict(model, pixels, "none", "predicting validation", screen)
    write_predictions(
        run.validation_predictions, images.ids[where], labels, probabilities, model.classes
    )


def _for_int8(run: Run, images: ImageSet) -> Int8Images:
    """Training images to calibrate with, and the validation part to judge by."""
    parts = from_manifest(images, read_json(run.split))
    if not len(parts.validation):
        raise DataError(
            f"{images.name}: the split has no validation images to judge int8 by; "
            "train with data.validation above 0, or export without --int8"
        )
    return Int8Images(
        calibration=images.images[parts.train[:CALIBRATION]],
        validation=images.images[parts.validation],
        labels=images.labels[parts.validation],
    )


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def as_run(run: Run | Path | str) -> Run:
    return run if isinstance(run, Run) else open_run(run)


def _recipe_to_repeat(config: Config) -> dict[str, Any]:
    """The resolved recipe for a bundle, which travels: of the data's path only the last name."""
    table = to_table(config)
    table["data"]["source"] = Path(config.data.source).name
    del table["tracking"]
    return table


def _predict(
    model: Classifier, pixels: np.ndarray, tta: TTA, what: str, screen: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities with `tta` and without, in fp32, as the bundle will compute."""
    with counting(screen) as report:
        return predict_both(
            model, pixels, tta=tta, progress=lambda done, total: report(what, done, total)
        )
