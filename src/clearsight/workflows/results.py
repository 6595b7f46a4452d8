"""What a trained run leaves besides its weights, in stages: whichever is missing can be made again.

`stages.json` in the run folder names the files of each finished stage. A stage is missing until it
stands there and all its files do; a killed process leaves it out.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clearsight.data.groups import near_training
from clearsight.data.originals import file_properties
from clearsight.data.splits import copies_of_training
from clearsight.evaluation.copies import without_copies, without_near_duplicates
from clearsight.evaluation.corrections import with_source_labels
from clearsight.evaluation.metrics import (
    TTA,
    as_probabilities,
    evaluate_probabilities,
    predict_logits,
)
from clearsight.evaluation.predictions import read_predictions, write_predictions
from clearsight.evaluation.probabilities import before_and_after, judge_probabilities
from clearsight.evaluation.report import write_report
from clearsight.evaluation.slices import evaluate_slices, properties
from clearsight.explanation.explain import explain_run
from clearsight.explanation.judge import verdict
from clearsight.explanation.methods import DEFAULT
from clearsight.figures.run import draw_augmentation, draw_data, draw_evaluation, draw_training
from clearsight.files import read_json, write_json
from clearsight.models.classifier import Classifier
from clearsight.progress import SILENT, Progress
from clearsight.runs import Run
from clearsight.tracking.tracker import is_finished, is_installed, tracked
from clearsight.training.checkpoint import TRAIN_STATE, load_classifier, load_metadata
from clearsight.training.recorded import is_trained
from clearsight.workflows.calibrate import calibrate, tta_temperature
from clearsight.workflows.explore import explore
from clearsight.workflows.faithfulness import heatmaps_judged
from clearsight.workflows.loading import LoadedRun, files_folder

DATA, CALIBRATED, MEASURED = "data figures", "calibrated", "measured"
EXPLAINED, EXPLORED, REPORTED = "explained", "explored", "reported"
STAGES = (DATA, CALIBRATED, MEASURED, EXPLAINED, EXPLORED, REPORTED)


def missing(run: Run) -> list[str]:
    """What the run still lacks, in the order of making; empty where it is complete."""
    config = run.config()
    trained = is_trained(run, config)
    lacking = [] if trained else ["training"]
    # A budgeted run ends by writing the steps it came to.
    lacking += [run.recipe.name] if trained and config.training.budget is not None else []
    lacking += [run.split.name] if not run.split.is_file() else []
    lacking += [path.name for path in (run.history, run.timing) if not path.is_file()]
    lacking += [stage for stage in STAGES if not _is_made(run, stage)]
    return lacking + ([] if is_finished(run, config) else ["tracking"])


def make_missing(loaded: LoadedRun, progress: Progress = SILENT, *, track: bool = True) -> None:
    """Makes what a run lacks, its training aside; with `track` also the end of its tracking.

    A tracker that is not installed on this machine is left out.
    """
    run, config = loaded.run, loaded.config
    again = any(not _is_made(run, stage) for stage in STAGES)
    _make(run, DATA, lambda: _draw_data(loaded))
    _make(run, CALIBRATED, lambda: calibrate(loaded, progress))
    if not _is_made(run, MEASURED):
        measure(loaded, progress)
    track = track and is_trained(run, config) and not is_finished(run, config)
    if track and is_installed(config.tracking.tracker):
        with tracked(run, config, progress) as tracking:
            tracking.finish(read_json(run.evaluation))
    if not _is_made(run, EXPLAINED):
        explain_measured(loaded, progress=progress)
    _make(run, EXPLORED, lambda: explore(loaded, progress))
    report(run, again=again)


def draw_inputs(loaded: LoadedRun) -> None:
    """The figures of the data and their augmentation, unless the run has them."""
    _make(loaded.run, DATA, lambda: _draw_data(loaded))


def measure(loaded: LoadedRun, progress: Progress = SILENT) -> dict[str, Any]:
    """Evaluates a run by its own recipe, calibrated before.

    Writes `evaluation.json`, `slices.json`, predictions and figures.
    """
    run, images, tta = loaded.run, loaded.images, loaded.config.evaluation.tta
    forget(run, MEASURED, EXPLORED)
    _make(run, CALIBRATED, lambda: calibrate(loaded, progress))
    near = near_measured(loaded, progress)
    evaluation, probabilities = evaluate_model(loaded, tta, near, progress)
    _, indices = loaded.measured()
    pixels, labels = images.images[indices], images.labels[indices]
    files = images.files[indices]
    write_predictions(
        run.predictions, images.ids[indices], labels, probabilities, images.classes, files
    )
    write_json(run.evaluation, evaluation)
    write_json(run.slices, _slices(loaded, probabilities, near))
    written = [run.predictions, run.evaluation, run.slices]
    written += draw_training(run, loaded.config)
    written += draw_evaluation(run, evaluation, pixels, labels, probabilities, files)
    _note(run, MEASURED, written)
    return evaluation


def near_measured(loaded: LoadedRun, progress: Progress = SILENT) -> np.ndarray:
    """int64: which of the measured images have a near or exact duplicate in training."""
    _, indices = loaded.measured()
    return near_training(loaded.images, loaded.split.train, indices, progress)


def evaluate_model(
    loaded: LoadedRun, tta: TTA, near: np.ndarray, progress: Progress = SILENT
) -> tuple[dict[str, Any], np.ndarray]:
    """(content of `evaluation.json`, probabilities [N, K] with `tta`) of the measured part.

    `near`: see `near_measured`. Probabilities are calibrated where the run is; those of a `tta`
    that is not the recipe's by a temperature of their own.
    """
    run, (part, indices) = loaded.run, loaded.measured()
    model = load_classifier(run.weights)
    pixels, labels = loaded.images.images[indices], loaded.images.labels[indices]
    averaged, plain = predict_logits(
        model, pixels, tta=tta, progress=progress, name=f"measuring on {part}"
    )
    temperature = _temperature(loaded, model, tta, progress)
    probabilities = as_probabilities(averaged, temperature)
    evaluation = evaluate_probabilities(
        probabilities,
        labels,
        model.classes,
        split=part,
        tta=tta,
        target=loaded.config.evaluation.target,
        phases=load_metadata(loaded.run.last)[TRAIN_STATE]["phases"],
        without_tta=None if tta == "none" else as_probabilities(plain, model.temperature),
    )
    calibration = read_json(run.calibration) if run.calibration.is_file() else None
    evaluation["probabilities"] = judge_probabilities(plain, labels, calibration)
    if tta != "none":
        views = before_and_after(averaged, labels, temperature if calibration else None)
        evaluation["probabilities"]["tta"] = {"views": tta, **views}
    copies = copies_of_training(loaded.images, loaded.split.train, indices)
    right = probabilities.argmax(1) == labels
    if len(copies):
        evaluation |= without_copies(right, copies)
    if corrected := loaded.images.corrected(indices):
        source_labels = loaded.images.uncorrected().labels[indices]
        evaluation |= with_source_labels(probabilities.argmax(1), source_labels, corrected)
    if len(near):
        evaluation |= without_near_duplicates(right, near)
    return evaluation, probabilities


def _slices(loaded: LoadedRun, probabilities: np.ndarray, near: np.ndarray) -> dict[str, Any]:
    """The content of `slices.json`, of the measured part."""
    _, indices = loaded.measured()
    images, labels = loaded.images, loaded.images.labels[indices]
    values = properties(images.images[indices])
    values |= file_properties(files_folder(loaded.config.data), images.files[indices])
    is_near = np.zeros(len(indices), bool)
    is_near[near] = True
    named = ("images with a near duplicate in training", "images without one")
    return evaluate_slices(
        probabilities.argmax(1) == labels,
        labels,
        images.classes,
        values,
        {"near duplicates": (is_near, *named)},
    )


def explain_measured(
    loaded: LoadedRun,
    *,
    method: str = DEFAULT,
    layer: str | None = None,
    out: Path | None = None,
    progress: Progress = SILENT,
) -> list[Path]:
    """Heatmaps of the part a run was measured on, tested, into `out` or the run's figures."""
    _, indices = loaded.measured()
    model = load_classifier(loaded.run.weights)
    judged = heatmaps_judged(loaded, model, method, layer, progress)
    written = explain_run(
        model,
        loaded.images.images[indices],
        loaded.images.labels[indices],
        read_predictions(loaded.run.predictions).probabilities,
        model.classes,
        out or loaded.run.figures,
        method=method,
        layer=layer,
        verdict=None if judged is None else verdict(judged, method),
        progress=progress,
    )
    if out is None:
        if judged is None:
            loaded.run.faithfulness.unlink(missing_ok=True)
        else:
            write_json(loaded.run.faithfulness, judged)
            written.append(loaded.run.faithfulness)
        # Figures that an earlier explanation left would contradict this one.
        for name in _made(loaded.run).get(EXPLAINED, []):
            figure = loaded.run.figures / Path(name).name
            if figure not in written:
                figure.unlink(missing_ok=True)
        _note(loaded.run, EXPLAINED, written)
    return written


def report(run: Run, *, again: bool = True) -> None:
    """Writes the report; with `again` false only where it is missing."""
    _make(run, REPORTED, lambda: [write_report(run)], again=again)


def forget(run: Run, *stages: str) -> None:
    """Counts the stages as missing from now on."""
    write_json(run.stages, {k: files for k, files in _made(run).items() if k not in stages})


def _draw_data(loaded: LoadedRun) -> list[Path]:
    run, images, parts = loaded.run, loaded.images, loaded.split
    augmented = draw_augmentation(run.figures, loaded.config, images, parts)
    return [*draw_data(run.figures, images, parts), *augmented]


def _temperature(loaded: LoadedRun, model: Classifier, tta: TTA, progress: Progress) -> float:
    """By what logits averaged over the views `tta` are divided; 1 in a run without calibration."""
    if tta == "none" or not loaded.run.calibration.is_file():
        return model.temperature
    known = read_json(loaded.run.calibration).get("tta", {})
    if known.get("views") == tta:
        return known["temperature"]
    return tta_temperature(loaded, model, tta, progress)


def _make(run: Run, stage: str, make: Callable[[], Sequence[Path]], *, again: bool = False) -> None:
    if again or not _is_made(run, stage):
        _note(run, stage, make())


def _is_made(run: Run, stage: str) -> bool:
    made = _made(run)
    if stage == CALIBRATED and stage not in made and MEASURED in made:
        return True  # by a version that did not calibrate; to evaluate it again does
    files = made.get(stage)
    return files is not None and all((run.path / name).is_file() for name in files)


def _made(run: Run) -> Mapping[str, list[str]]:
    return read_json(run.stages) if run.stages.is_file() else {}


def _note(run: Run, stage: str, files: Sequence[Path]) -> None:
    names = [path.relative_to(run.path).as_posix() for path in files]
    write_json(run.stages, {**_made(run), stage: names})
