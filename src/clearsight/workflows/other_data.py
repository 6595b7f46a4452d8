"""`clearsight evaluate --data OTHER`: a trained model on another data set with the same classes."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from clearsight.data.images import ImageSet, fitted_ids
from clearsight.data.names import listed
from clearsight.data.splits import PARTS
from clearsight.errors import DataError
from clearsight.evaluation.metrics import TTA, predict_probabilities
from clearsight.evaluation.predictions import read_predictions
from clearsight.evaluation.shift import side_by_side
from clearsight.files import read_json, write_json
from clearsight.progress import SILENT, Progress
from clearsight.runs import Run, at_work, check_measured
from clearsight.training.checkpoint import load_classifier
from clearsight.workflows.results import report


def is_another_set(images: ImageSet, manifest: Mapping[str, Any]) -> bool:
    """Whether fewer than half of a run's images are among `images`, by their ids.

    With half of them or more it is the run's own set, perhaps incomplete.
    """
    own = [i for part in PARTS for i in manifest["parts"][part]["ids"]]
    return len(set(own) & set(_ids(images, manifest))) < len(own) / 2


def evaluate_elsewhere(
    run: Run, images: ImageSet, *, source: str, tta: TTA, progress: Progress = SILENT
) -> dict[str, Any]:
    """Accuracy on another data set beside that on the run's own test part.

    Measured on the test part of `images` where they have one, else on all of them, but on no image
    that the run was trained or validated on. Their classes may be in another order and fewer than
    the model's; both sides are then of the classes that both have. Returns the set's entry in
    `other-data.json`, which is written along with the report; an older one of the same `source` is
    replaced:

    - `source`, `name`, `part` (`test` or `all`), `left_out` (images of the run), `tta`
    - what `side_by_side` gives

    Raises `DataError` for a class that the model does not know, and where no image is left;
    `RunError` where the run was not measured yet.
    """
    check_measured(run)
    own = read_predictions(run.predictions)
    labels = _labels_of(images, own.classes)
    chosen, part = np.flatnonzero(images.parts == "test"), "test"
    if not len(chosen):
        chosen, part = np.arange(len(images)), "all"
    used = _used_for_training(images, read_json(run.split))
    left = chosen[~used[chosen]]
    if not len(left):
        raise DataError(
            f"{images.name}: all of its {len(chosen):,} images were used to train run {run.path}; "
            "give images that it has not seen"
        )
    with at_work(run):
        probabilities = predict_probabilities(
            load_classifier(run.weights), images.images[left], tta=tta, progress=progress,
            name=f"measuring on {images.name}",
        )  # fmt: skip
        result = {
            "source": source,
            "name": images.name,
            "part": part,
            "left_out": len(chosen) - len(left),
            "tta": tta,
            **side_by_side(
                labels[left], probabilities.argmax(1), own, split=read_json(run.evaluation)["split"]
            ),
        }
        others = read_json(run.other_data) if run.other_data.is_file() else []
        others = [entry for entry in others if entry["source"] != source]
        write_json(run.other_data, [*others, result])
        report(run)
    return result


def _labels_of(images: ImageSet, classes: tuple[str, ...]) -> np.ndarray:
    """int64 [N]: the labels as numbers of the model's classes."""
    unknown = [name for name in images.classes if name not in classes]
    if unknown:
        raise DataError(
            f"{images.name}: found {listed(map(repr, unknown))} among its classes, the model knows "
            f"{listed(classes, 10)}; rename the classes to these, or leave them out"
        )
    return np.array([classes.index(name) for name in images.classes])[images.labels]


def _used_for_training(images: ImageSet, manifest: Mapping[str, Any]) -> np.ndarray:
    """bool [N]: images with the pixels of one in the run's training or validation part."""
    parts = manifest["parts"]
    used = {i[:64] for part in ("train", "validation") for i in parts[part]["ids"]}
    return np.array([i[:64] in used for i in _ids(images, manifest)])


def _ids(images: ImageSet, manifest: Mapping[str, Any]) -> list[str]:
    """The images' ids by the rule of the manifest's format."""
    ids = fitted_ids(images) if manifest["format"] == 1 else images.ids
    return [i.decode() for i in ids.tolist()]
