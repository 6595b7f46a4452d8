"""`clearsight evaluate`: what a trained model gets right, on images no choice was made on."""

from pathlib import Path

from clearsight.data.images import ImageSet
from clearsight.errors import UsageError
from clearsight.evaluation.metrics import TTA
from clearsight.evaluation.shift import other_data_result
from clearsight.evaluation.summary import evaluation_result
from clearsight.files import read_json
from clearsight.notebook import Result, shown
from clearsight.progress import Progress
from clearsight.runs import Run, at_work, open_run
from clearsight.training.recorded import is_trained
from clearsight.workflows.faithfulness import measure_faithfulness
from clearsight.workflows.loading import Data, load_run, load_run_images
from clearsight.workflows.other_data import evaluate_elsewhere, is_another_set
from clearsight.workflows.results import (
    CALIBRATED,
    EXPLAINED,
    MEASURED,
    REPORTED,
    evaluate_model,
    forget,
    make_missing,
    measure,
    near_measured,
)
from clearsight.workflows.robustness import check_finished, measure_corruptions


def evaluate(
    run: Run | Path | str,
    *,
    data: Data | None = None,
    data_dir: Path | str | None = None,
    tta: TTA | None = None,
    faithfulness: bool = False,
    corruptions: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Measures a run's model on its test part; returns the content of `evaluation.json`.

    The part is the validation part where the split has no test part, and named so. Calibrates the
    model anew; writes `evaluation.json`, `predictions.parquet`, that of the validation part, the
    figures and the report, and whatever else a killed process left out; with another `tta` than the
    recipe's it writes nothing, for that is not the result of the recipe. With `faithfulness` the
    heatmaps of every method are tested, and `faithfulness.json` says how they fared; with
    `corruptions` accuracy is measured on corrupted images too, see `evaluate_corruptions`.

    `data` says where the images lie, if not where they were, or is an `ImageSet`. Where it has
    fewer than half of the run's images, by their ids, it is another data set, and only its entry in
    `other-data.json` is written and returned. A notebook shows what is returned in words and as a
    table of the classes.
    """
    progress = shown(progress)
    run = run if isinstance(run, Run) else open_run(run)
    if data is not None:
        images = load_run_images(run, data=data, data_dir=data_dir, progress=progress)
        source = images.name if isinstance(data, ImageSet) else str(data)
        if is_another_set(images, read_json(run.split)):
            if faithfulness or corruptions:
                raise UsageError(
                    f"data: {data} is another data set, but heatmaps and corruptions are measured "
                    "on the run's own part; measure one or the other"
                )
            own = run.config().evaluation.tta
            if tta not in (None, own):
                raise UsageError(
                    f"tta: found {tta}, but another data set is measured as the run's own part "
                    f"was, with {own}; leave it out"
                )
            return other_data_result(
                evaluate_elsewhere(run, images, source=source, tta=own, progress=progress)
            )
        data = images
    loaded = load_run(run, data=data, data_dir=data_dir, progress=progress)
    if tta is not None and tta != loaded.config.evaluation.tta:
        progress.say(
            f"the recipe measures with test-time augmentation {loaded.config.evaluation.tta}: its "
            "recorded result is unchanged"
        )
        near = near_measured(loaded, progress)
        return evaluation_result(evaluate_model(loaded, tta, near, progress)[0], run)
    if corruptions:
        check_finished(loaded)
    if not is_trained(loaded.run, loaded.config):
        progress.say(
            f"run {loaded.run.path}: its training has not finished; "
            f"`clearsight train --resume {loaded.run.path}` finishes it"
        )
    with at_work(loaded.run):
        forget(loaded.run, CALIBRATED, MEASURED, REPORTED)
        evaluation = measure(loaded, progress)
        if faithfulness:
            measure_faithfulness(loaded, progress)
            forget(loaded.run, EXPLAINED)  # its figures say the verdict
        if corruptions:
            measure_corruptions(loaded, progress=progress)
        make_missing(loaded, progress)
    return evaluation_result(evaluation, run)
