"""`clearsight evaluate --corruptions`: a trained model on corrupted images of its test part."""

from pathlib import Path
from typing import Any

from clearsight.errors import RunError
from clearsight.evaluation.corruptions import (
    SAMPLE,
    balanced_sample,
    right_under_corruptions,
    summarise_corruptions,
)
from clearsight.evaluation.summary import corruptions_result
from clearsight.figures.robustness import corruption_curves
from clearsight.figures.save import save
from clearsight.files import write_json
from clearsight.notebook import Result, shown
from clearsight.progress import SILENT, Progress
from clearsight.runs import Run, at_work, check_measured
from clearsight.training.checkpoint import load_classifier
from clearsight.training.recorded import is_trained
from clearsight.workflows.loading import Data, LoadedRun, load_run
from clearsight.workflows.results import report


def evaluate_corruptions(
    run: Run | Path | str,
    *,
    n: int = SAMPLE,
    data: Data | None = None,
    data_dir: Path | str | None = None,
    progress: Progress | None = None,
) -> Result:
    """Accuracy under fifteen corruptions at five severities, and as JPEG files.

    Measured on `n` images of the part the run is measured on, equally many of each class, or on all
    of them where it has fewer; one view per image, as the bundle predicts. Writes
    `corruptions.json`, whose content is returned, its figure, and the report anew. `data` says
    where the run's images lie, if not where they were, or is the run's `ImageSet`. Raises
    `RunError` where the run was not trained to its end and measured.
    """
    progress = shown(progress)
    loaded = load_run(run, data=data, data_dir=data_dir, progress=progress)
    check_measured(loaded.run)
    check_finished(loaded)
    with at_work(loaded.run):
        result = measure_corruptions(loaded, n, progress)
        report(loaded.run)
    return corruptions_result(result)


def check_finished(loaded: LoadedRun) -> None:
    """Raises `RunError` where the run was not trained to its end."""
    if not is_trained(loaded.run, loaded.config):
        raise RunError(
            f"run {loaded.run.path}: its training has not finished; finish it first, with "
            f"`clearsight train --resume {loaded.run.path}`"
        )


def measure_corruptions(
    loaded: LoadedRun, n: int = SAMPLE, progress: Progress = SILENT
) -> dict[str, Any]:
    """As `evaluate_corruptions`, of a finished run, without the report."""
    run, (part, indices) = loaded.run, loaded.measured()
    images, labels, ids = loaded.images.images, loaded.images.labels, loaded.images.ids
    drawn = indices[balanced_sample(labels[indices], ids[indices], n)]
    right = right_under_corruptions(
        load_classifier(run.weights), images[drawn], labels[drawn], ids[drawn], progress=progress
    )
    about = {"split": part, "n": len(drawn), "of": len(indices), "size": loaded.images.size}
    result = about | summarise_corruptions(right)
    write_json(run.corruptions, result)
    save(corruption_curves(result), run.figures / "corruptions.png")
    return result
