"""`clearsight evaluate --faithfulness`: whether a run's heatmaps show what its model uses."""

from typing import Any

import numpy as np

from clearsight.errors import UsageError
from clearsight.explanation.judge import judge
from clearsight.explanation.methods import DEFAULT, METHODS
from clearsight.files import file_digest, read_json, write_json
from clearsight.models.classifier import Classifier
from clearsight.progress import SILENT, Progress
from clearsight.training.checkpoint import WEIGHTS, load_classifier
from clearsight.workflows.loading import LoadedRun

QUICK_IMAGES, QUICK_STEPS = 200, 8
"""Of the test that every run gets: about as many images to predict as 10,000 with mirror images."""
IMAGES, STEPS = 500, 16


def measure_faithfulness(loaded: LoadedRun, progress: Progress = SILENT) -> dict[str, Any]:
    """Every method on 500 images, with the checks; returns and writes `faithfulness.json`.

    Methods that have no map for the run's model are left out.
    """
    model = load_classifier(loaded.run.weights)
    part, images = _drawn(loaded, IMAGES)
    fit = []
    for name in METHODS:
        try:
            judge(model, images[:1], split=part, methods=[name], steps=1)
        except UsageError:
            continue
        fit.append(name)
    judged = judge(
        model, images, split=part, methods=fit, steps=STEPS, checks=True, progress=progress
    )
    judged = {"method": DEFAULT, "weights": _digest(loaded), **judged}
    write_json(loaded.run.faithfulness, judged)
    return judged


def heatmaps_judged(
    loaded: LoadedRun,
    model: Classifier,
    method: str,
    layer: str | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any] | None:
    """The content of `faithfulness.json` for one method, on 200 images; None where it has no map.

    A file of the same weights that has the method already is kept: it may be of more images.
    """
    run = loaded.run
    digest = _digest(loaded)
    if layer is None and run.faithfulness.is_file():
        known = read_json(run.faithfulness)
        if known["weights"] == digest and any(row["name"] == method for row in known["rows"]):
            return {**known, "method": method}
    part, images = _drawn(loaded, QUICK_IMAGES)
    try:
        judged = judge(
            model, images, split=part, methods=[method], steps=QUICK_STEPS, layer=layer,
            progress=progress,
        )  # fmt: skip
    except UsageError:
        return None
    return {"method": method, "weights": digest, **judged}


def _drawn(loaded: LoadedRun, count: int) -> tuple[str, np.ndarray]:
    """(name of the part the run is measured on, up to `count` of its images, drawn at random)."""
    part, indices = loaded.measured()
    chosen = np.random.default_rng(0).permutation(indices)[:count]
    return part, loaded.images.images[np.sort(chosen)]


def _digest(loaded: LoadedRun) -> str:
    return file_digest(loaded.run.weights / WEIGHTS)
