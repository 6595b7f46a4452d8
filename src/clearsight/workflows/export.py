"""`clearsight export`: the bundle of a measured run."""

from pathlib import Path
from typing import Any

from clearsight.bundle import export as bundling
from clearsight.bundle.card import int8_cost
from clearsight.bundle.conversion.convert import convert as converted
from clearsight.bundle.conversion.runtime import ABOUT
from clearsight.bundle.format import Bundle, read_bundle
from clearsight.bundle.quantize import CALIBRATION, Int8Images
from clearsight.config.recipes import recipe_hash, to_table
from clearsight.config.schema import Config
from clearsight.errors import DataError
from clearsight.evaluation.predictions import without_files
from clearsight.files import read_json
from clearsight.ledger import HARDWARE
from clearsight.notebook import shown
from clearsight.progress import Progress
from clearsight.runs import Run, check_measured, open_run
from clearsight.training.checkpoint import load_classifier, load_metadata
from clearsight.workflows.loading import Data, LoadedRun, load_run


def export(
    run: Run | Path | str,
    *,
    out: Path | str | None = None,
    int8: bool = False,
    data: Data | None = None,
    data_dir: Path | str | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Writes the bundle of a measured run, default into the run folder, and returns it.

    It can be given wherever the path of its folder can. `int8` adds a graph in 8-bit integers,
    calibrated on training images; `data` says where the images lie, if not where they were, or is
    the run's `ImageSet`. Raises `DataError` for int8 without a validation part, `BundleError` where
    accuracy on it falls by over 0.5 points.
    """
    progress = shown(progress)
    run = run if isinstance(run, Run) else open_run(run)
    check_measured(run)
    loaded = load_run(run, data=data, data_dir=data_dir, progress=progress)
    _, indices = loaded.measured()
    validation = run.validation_predictions
    path = bundling.export(
        load_classifier(run.weights),
        out=Path(out) if out is not None else run.bundle,
        fit=loaded.images.fit,
        size=loaded.images.size,
        metrics=read_json(run.evaluation),
        provenance=_provenance(loaded),
        test_images=loaded.images.images[indices],
        calibration=_calibration(run),
        validation=without_files(validation) if validation.is_file() else None,
        int8=_for_int8(loaded) if int8 else None,
        progress=progress,
    )
    bundle = read_bundle(path, verify=False)
    if bundle.int8 is not None:
        progress.say(f"int8: {int8_cost(bundle.int8)}")
    return bundle


def convert(
    run: Run | Path | str,
    to: str,
    *,
    out: Path | str | None = None,
    data: Data | None = None,
    data_dir: Path | str | None = None,
    progress: Progress | None = None,
) -> Path:
    """Writes a measured run's model for another runtime, default into the run folder, as `to`.

    `to`: a key of `bundle.conversion.convert.RUNTIMES`, where the errors stand. The model is that
    of the run's bundle, which is written first where there is none. Returns the folder's path.
    """
    progress = shown(progress)
    run = run if isinstance(run, Run) else open_run(run)
    check_measured(run)
    loaded = load_run(run, data=data, data_dir=data_dir, progress=progress)
    if not run.bundle.exists():
        export(run, data=loaded.images, progress=progress)
    _, indices = loaded.measured()
    folder = Path(out) if out is not None else run.path / to
    bundle = read_bundle(run.bundle)
    converted(bundle, to, folder, loaded.images.images[indices], progress)
    told = read_json(folder / ABOUT)["parity"]
    progress.say(
        f"{to}: the same labels as ONNX Runtime on {told['n']:,} images, probabilities within "
        f"{told['max_difference']:.1g}"
    )
    return folder


def _calibration(run: Run) -> dict[str, Any] | None:
    """What a bundle keeps of `calibration.json`: it predicts without test-time augmentation."""
    if not run.calibration.is_file():
        return None
    return {key: value for key, value in read_json(run.calibration).items() if key != "tta"}


def _provenance(loaded: LoadedRun) -> dict[str, Any]:
    """How the model came to be, as `bundle.json` keeps it."""
    run, config = loaded.run, loaded.config
    surroundings = read_json(run.environment)
    return {
        "recipe": config.name,
        "recipe_hash": recipe_hash(config),
        "data": loaded.images.name,
        "seed": config.training.seed,
        "split_hash": read_json(run.split)["hash"],
        "weights": load_metadata(run.weights).get("weights"),
        "trained": surroundings["started"],
        "git": surroundings["git"],
        "versions": {key: surroundings[key] for key in ("clearsight", "python", "torch")},
        "hardware": {key: surroundings[key] for key in HARDWARE},
        "config": _portable_recipe(config),
    }


def _portable_recipe(config: Config) -> dict[str, Any]:
    """The resolved recipe for a bundle, which travels: of paths only the last name."""
    table = to_table(config)
    places = [("data", "source"), ("data", "relabelled"), ("data", "images"), ("model", "weights")]
    for section, name in places:
        if table[section].get(name):
            table[section][name] = Path(table[section][name]).name
    del table["tracking"]
    return table


def _for_int8(loaded: LoadedRun) -> Int8Images:
    """Training images to calibrate with, and the validation part to judge by."""
    images, parts = loaded.images, loaded.split
    if not len(parts.validation):
        raise DataError(
            f"{images.name}: the split has no validation images to judge int8 by; "
            "train with data.validation above 0, or export without --int8"
        )
    return Int8Images(
        calibration=images.images[parts.train[:CALIBRATION]],
        validation=images.images[parts.validation],
        labels=images.labels[parts.validation],
    )
