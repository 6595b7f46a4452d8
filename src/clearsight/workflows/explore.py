"""The explorer of a run: what its page shows of the images that the run was measured on."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from clearsight.data.groups import training_duplicates
from clearsight.errors import UsageError
from clearsight.evaluation.explorer import NEIGHBOURS, choose, content
from clearsight.evaluation.metrics import batch_size
from clearsight.evaluation.neighbours import nearest
from clearsight.evaluation.predictions import read_predictions
from clearsight.evaluation.slices import cut
from clearsight.explanation.heatmaps import heatmaps
from clearsight.explanation.methods import explainer
from clearsight.files import read_json, write_text
from clearsight.models.classifier import Classifier
from clearsight.models.modes import evaluating
from clearsight.progress import SILENT, Advance, Progress
from clearsight.runs import Run
from clearsight.training.checkpoint import load_classifier
from clearsight.workflows.doubt import margin_evidence
from clearsight.workflows.loading import LoadedRun
from clearsight.workflows.slicing import slicing

TRAINING = 5000  # training images among which neighbours are looked for
POINTS = 5000  # images on the map


def explore(loaded: LoadedRun, progress: Progress = SILENT) -> list[Path]:
    """Writes `explorer.json` of a measured run; returns its path."""
    run, images = loaded.run, loaded.images
    part, indices = loaded.measured()
    pixels, training = images.images[indices], loaded.split.train[:TRAINING]  # in random order
    predictions = read_predictions(run.predictions)
    model = load_classifier(run.weights)
    duplicates = training_duplicates(images, loaded.split.train, indices, progress)
    has_duplicate = np.flatnonzero(duplicates >= 0)
    shown = choose(predictions.labels, predictions.probabilities, images.size, has_duplicate)
    rest = np.setdiff1d(np.arange(len(pixels)), shown)[: max(0, POINTS - len(shown))]
    mapped = np.concatenate([shown, rest])
    with progress.task("features", len(mapped) + len(training)) as advance:
        of_measured = _outputs(model, pixels[mapped], advance)
        of_training = _outputs(model, images.images[training], advance)
    near, _ = nearest(of_measured.features[: len(shown)], [of_training.features], NEIGHBOURS)
    values, flags = slicing(loaded, has_duplicate)
    found = content(
        predictions,
        shown,
        pixels[shown],
        part=part,
        maps=_maps(model, pixels[shown], predictions.probabilities[shown].argmax(1), progress),
        mapped=mapped,
        features=of_measured.features,
        neighbours=_training_images(loaded, model, training[near], duplicates[shown]),
        slices=cut(predictions.labels, (), values, flags),
        scores=_scores(run, Outputs(*(each[: len(shown)] for each in of_measured))),
    )
    write_text(run.explorer, json.dumps(found, ensure_ascii=False, separators=(",", ":")))
    return [run.explorer]


def _training_images(
    loaded: LoadedRun, model: Classifier, near: np.ndarray, duplicates: np.ndarray
) -> dict[str, np.ndarray]:
    """The `neighbours` of `content`: `near` int64 [M, n] and `duplicates` [M], -1 for none, are
    indices into the run's images."""
    images, train = loaded.images, loaded.split.train
    has_one = duplicates >= 0
    kept, places = np.unique([*near.flat, *duplicates[has_one]], return_inverse=True)
    kept = kept.astype(np.int64)
    of_duplicates = np.full(len(duplicates), -1)
    of_duplicates[has_one] = places[near.size :]
    doubted = np.zeros(len(images), bool)
    if (margins := margin_evidence(loaded, model)) is not None:
        doubted[train] = margins.margins < 0
    return {
        "indices": places[: near.size].reshape(near.shape),
        "duplicates": of_duplicates,
        "images": images.images[kept],
        "labels": images.labels[kept],
        "files": images.files[kept],
        "doubted": doubted[kept],
    }


class Outputs(NamedTuple):
    """As `clearsight.models.classifier.Outputs`, in arrays."""

    probabilities: np.ndarray
    features: np.ndarray
    unlike: np.ndarray


def _outputs(model: Classifier, pixels: np.ndarray, advance: Advance) -> Outputs:
    """All that the model tells of one view of uint8 images [N, H, W, 3]."""
    batch, parts = batch_size(model.preprocess.size or pixels.shape[1]), []
    device = next(model.parameters()).device
    with evaluating(model), torch.inference_mode():
        for start in range(0, len(pixels), batch):
            several = torch.from_numpy(np.array(pixels[start : start + batch])).to(device)
            parts.append(model.outputs(several))
            advance(len(several))
    return Outputs(*(torch.cat(each).cpu().numpy() for each in zip(*parts, strict=True)))


def _scores(run: Run, outputs: Outputs) -> dict[str, np.ndarray]:
    """What else is known of the shown images, by name, float [M]; flags are 0 or 1.

    `unsure` is what `--sure` holds back at the strictest accuracy that the run can promise.
    """
    scores = {"unlikeness": outputs.unlike}
    promised = read_json(run.calibration) if run.calibration.is_file() else {}
    if promised.get("sure"):
        sure = outputs.probabilities.max(1) > promised["sure"][-1]["probability"]
        scores["unsure"] = 1 - sure
    if "unlike" in promised:
        scores["unlike"] = outputs.unlike > promised["unlike"]["threshold"]
    return scores


def _maps(
    model: Classifier, pixels: np.ndarray, targets: np.ndarray, progress: Progress
) -> np.ndarray | None:
    """float32 [M, H, W], the heatmaps of the predicted classes; None where the model gives none."""
    try:
        explain = explainer(model, pixels.shape[1:])
    except UsageError:
        return None
    parts, step = [], batch_size(pixels.shape[1])
    with progress.task("heatmaps", len(pixels)) as advance:
        for start in range(0, len(pixels), step):
            several, of = pixels[start : start + step], targets[start : start + step]
            parts.append(heatmaps(explain(several, of)).cpu().numpy())
            advance(len(several))
    return np.concatenate(parts)
