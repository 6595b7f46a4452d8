"""`clearsight evaluate`: what a trained model gets right, on images no choice was made on."""

from pathlib import Path
from typing import Any

import numpy as np

from clearsight.data.images import ImageSet
from clearsight.evaluation.metrics import TTA, evaluate_probabilities, predict_both
from clearsight.evaluation.predictions import write_predictions
from clearsight.evaluation.report import write_report
from clearsight.figures.run import draw_evaluation, draw_training
from clearsight.files import write_json
from clearsight.models.classifier import Classifier
from clearsight.progress import SILENT, Progress
from clearsight.runs import Run
from clearsight.training.checkpoint import TRAIN_STATE, load_classifier, load_metadata
from clearsight.workflows.loading import LoadedRun, load_run


def evaluate(
    run: Run | Path | str,
    *,
    data_dir: Path | str | None = None,
    tta: TTA | None = None,
    images: ImageSet | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Measures a run's model on its test part; returns the content of `evaluation.json`.

    The part is the validation part where the split has no test part, and named so. Writes
    `evaluation.json`, `predictions.parquet`, that of the validation part, the figures and the
    report; with another `tta` than the recipe's it writes nothing, for that is not the result of
    the recipe. `images` are the run's, where they are loaded already.
    """
    loaded = load_run(run, data_dir=data_dir, images=images, progress=progress)
    if tta is not None and tta != loaded.config.evaluation.tta:
        progress.say(
            f"the recipe measures with test-time augmentation {loaded.config.evaluation.tta}: its "
            "recorded result is unchanged"
        )
        return evaluate_model(loaded, load_classifier(loaded.run.weights), tta, progress)[0]
    evaluation = measure(loaded, progress=progress)
    write_report(loaded.run)
    return evaluation


def measure(loaded: LoadedRun, *, progress: Progress = SILENT) -> dict[str, Any]:
    """Evaluates a run by its own recipe and writes all results, the report aside."""
    run, images, tta = loaded.run, loaded.images, loaded.config.evaluation.tta
    model = load_classifier(run.weights)
    evaluation, probabilities = evaluate_model(loaded, model, tta, progress)
    _, indices = loaded.measured()
    pixels, labels = images.images[indices], images.labels[indices]
    files = _files(images, indices)
    write_predictions(
        run.predictions, images.ids[indices], labels, probabilities, model.classes, files
    )
    _write_validation(loaded, model, progress)
    write_json(run.evaluation, evaluation)
    draw_training(run, loaded.config)
    draw_evaluation(run, evaluation, pixels, labels, probabilities, files)
    return evaluation


def evaluate_model(
    loaded: LoadedRun, model: Classifier, tta: TTA, progress: Progress = SILENT
) -> tuple[dict[str, Any], np.ndarray]:
    """(content of `evaluation.json`, probabilities [N, K] with `tta`) of the measured part."""
    part, indices = loaded.measured()
    pixels, labels = loaded.images.images[indices], loaded.images.labels[indices]
    probabilities, plain = predict_both(
        model, pixels, tta=tta, progress=progress, name=f"measuring on {part}"
    )
    evaluation = evaluate_probabilities(
        probabilities,
        labels,
        model.classes,
        split=part,
        tta=tta,
        target=loaded.config.evaluation.target,
        phases=load_metadata(loaded.run.last)[TRAIN_STATE]["phases"],
        without_tta=None if tta == "none" else plain,
    )
    return evaluation, probabilities


def _write_validation(loaded: LoadedRun, model: Classifier, progress: Progress) -> None:
    """Writes what the model, as it is shipped, says of the validation part, if there is one."""
    indices, images = loaded.split.validation, loaded.images
    if not len(indices):
        return
    probabilities, _ = predict_both(
        model, images.images[indices], tta="none", progress=progress, name="predicting validation"
    )
    write_predictions(
        loaded.run.validation_predictions,
        images.ids[indices],
        images.labels[indices],
        probabilities,
        model.classes,
        _files(images, indices),
    )


def _files(images: ImageSet, indices: np.ndarray) -> np.ndarray | None:
    files = getattr(images, "files", None)
    return None if files is None else files[indices]
