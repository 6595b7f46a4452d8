"""The confusion dossier of a run: `dossier.json` and `dossier.png` in its folder."""

from pathlib import Path

import numpy as np
from PIL import Image

from clearsight.data.images import ImageSet
from clearsight.errors import UsageError
from clearsight.evaluation.doubt import in_doubt
from clearsight.evaluation.predictions import read_predictions
from clearsight.explanation.dossier import Part, confusion_dossier
from clearsight.explanation.methods import DEFAULT
from clearsight.files import replacing, write_json
from clearsight.progress import SILENT, Progress
from clearsight.training.checkpoint import load_classifier
from clearsight.workflows.doubt import margin_evidence
from clearsight.workflows.loading import LoadedRun


def write_dossier(
    loaded: LoadedRun,
    *,
    method: str = DEFAULT,
    layer: str | None = None,
    progress: Progress = SILENT,
) -> list[Path]:
    """Writes the dossier of the part a run was measured on; none where the method has no map."""
    run, (split, indices), images = loaded.run, loaded.measured(), loaded.images
    model = load_classifier(run.weights)
    probabilities = read_predictions(run.predictions).probabilities
    margins = margin_evidence(loaded, model)
    try:
        content, pictures = confusion_dossier(
            model,
            _part(images, indices, in_doubt(images.labels[indices], probabilities)),
            probabilities,
            _part(images, loaded.split.train, None if margins is None else margins.margins < 0),
            split=split,
            method=method,
            layer=layer,
            progress=progress,
        )
    except UsageError:
        for path in (run.dossier, run.dossier_pictures):
            path.unlink(missing_ok=True)
        return []
    with replacing(run.dossier_pictures) as temporary:
        Image.fromarray(pictures).save(temporary, "PNG")
    write_json(run.dossier, content)
    return [run.dossier, run.dossier_pictures]


def _part(images: ImageSet, indices: np.ndarray, doubted: np.ndarray | None) -> Part:
    return Part(
        images=images.images[indices],
        labels=images.labels[indices],
        ids=images.ids[indices],
        files=images.files[indices],
        doubted=doubted,
    )
