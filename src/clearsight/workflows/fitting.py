"""Training without a report: from images to a bundle, as the scikit-learn classifier needs it."""

from pathlib import Path

from clearsight.bundle.format import Bundle
from clearsight.config.schema import Config
from clearsight.data.images import ImageSet
from clearsight.files import write_json
from clearsight.progress import SILENT, Progress
from clearsight.runs import at_work, create_run
from clearsight.training.train import train_model
from clearsight.workflows.calibrate import calibrate
from clearsight.workflows.export import export
from clearsight.workflows.results import evaluate_model, near_measured
from clearsight.workflows.train import prepare, surroundings


def fit_bundle(config: Config, images: ImageSet, out: Path, progress: Progress = SILENT) -> Bundle:
    """Trains, calibrates and measures in the new run folder `out`, and exports into it.

    Nothing is drawn, explained or tracked. Raises `ClearsightError`s.
    """
    run = create_run(out, config, surroundings(config))
    with at_work(run):
        loaded, model = prepare(run, images, None, progress)
        train_model(run, config, images, loaded.split, model=model, progress=progress)
        calibrate(loaded, progress)
        near = near_measured(loaded, progress)
        evaluation, _ = evaluate_model(loaded, config.evaluation.tta, near, progress)
        write_json(run.evaluation, evaluation)
    return export(run, data=images, progress=progress)
