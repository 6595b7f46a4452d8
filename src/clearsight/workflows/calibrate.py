"""What a trained model says of its validation images, and what follows for its probabilities."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from clearsight.errors import UsageError
from clearsight.evaluation.calibration import fit_temperature
from clearsight.evaluation.metrics import TTA, as_probabilities, predict_logits
from clearsight.evaluation.predictions import write_predictions
from clearsight.evaluation.selection import (
    PASSING,
    promises,
    set_threshold,
    sure_threshold,
    unlike_threshold,
)
from clearsight.files import write_json
from clearsight.models.classifier import Classifier, unlike
from clearsight.progress import SILENT, Progress
from clearsight.training.checkpoint import load_classifier, save_temperature
from clearsight.workflows.loading import LoadedRun

# What is kept for those who read a bundle without clearsight, which computes any other.
ACCURACIES = (0.95, 0.98, 0.99)
COVERAGES = (0.8, 0.9, 0.95, 0.99)
# Several views of each image take long, and one number needs no more images.
TTA_IMAGES = 2000


def calibrate(loaded: LoadedRun, progress: Progress = SILENT) -> list[Path]:
    """Calibrates the model of a run on its validation part; returns the files written.

    They are `calibration.json` and `predictions-validation.parquet`; the temperature becomes part
    of the checkpoint. Without a validation part nothing is written.
    """
    run, images, indices = loaded.run, loaded.images, loaded.split.validation
    if not len(indices):
        return []
    model, tta, labels = load_classifier(run.weights), loaded.config.evaluation.tta, images.labels
    _, logits = predict_logits(
        model, images.images[indices], tta="none", progress=progress, name="predicting validation"
    )
    temperature = fit_temperature(logits, labels[indices])
    probabilities = as_probabilities(logits, temperature)
    content = {"temperature": temperature, **thresholds(probabilities, labels[indices])}
    scores = unlike(torch.from_numpy(logits)).numpy()
    content["unlike"] = {"threshold": unlike_threshold(scores), "passing": PASSING}
    if tta != "none":
        views = {"views": tta, "temperature": tta_temperature(loaded, model, tta, progress)}
        content["tta"] = views
    write_predictions(
        run.validation_predictions, images.ids[indices], labels[indices], probabilities,
        model.classes, images.files[indices],
    )  # fmt: skip
    write_json(run.calibration, content)
    save_temperature(run.weights, temperature)
    return [run.calibration, run.validation_predictions]


def tta_temperature(
    loaded: LoadedRun, model: Classifier, tta: TTA, progress: Progress = SILENT
) -> float:
    """The temperature for logits averaged over the views `tta`, from the validation part."""
    indices = loaded.split.validation[:TTA_IMAGES]  # their order is random
    logits, _ = predict_logits(
        model, loaded.images.images[indices], tta=tta, progress=progress, name="calibrating views"
    )
    return fit_temperature(logits, loaded.images.labels[indices])


def thresholds(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """The keys `n`, `sure` and `sets` of `calibration.json`, without what can't be promised.

    `probabilities`: float [N, K], calibrated; `labels`: int [N], of the validation part.
    """
    found, true = promises(probabilities, labels), probabilities[np.arange(len(labels)), labels]
    sure, sets = [], []
    for accuracy in ACCURACIES:
        try:
            sure.append({"accuracy": accuracy, **sure_threshold(found, accuracy)._asdict()})
        except UsageError:
            break  # nor can more
    for coverage in COVERAGES:
        try:
            sets.append({"coverage": coverage, "probability": set_threshold(true, coverage)})
        except UsageError:
            break
    return {"n": len(labels), "sure": sure, "sets": sets}
