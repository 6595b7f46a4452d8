"""A run with everything that a workflow needs of it, loaded once and passed on."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from clearsight.config.schema import Config, DataConfig
from clearsight.data.columns import ROLES
from clearsight.data.images import Fit, ImageSet
from clearsight.data.relabelling import read_corrections, relabel
from clearsight.data.sources import load_images
from clearsight.data.splits import Split, from_manifest, with_weights
from clearsight.data.table_source import images_folder
from clearsight.data.tables import is_table
from clearsight.errors import DataError
from clearsight.files import read_json
from clearsight.models.factory import input_size
from clearsight.models.own import find_trained
from clearsight.progress import SILENT, Progress
from clearsight.runs import Run, open_run
from clearsight.training.recorded import check_recipe

Data = str | Path | ImageSet
"""Images: where they lie, or loaded already."""


@dataclass(frozen=True, kw_only=True)
class LoadedRun:
    """A run, its recipe, its images, and their split."""

    run: Run
    config: Config
    images: ImageSet
    split: Split

    def measured(self) -> tuple[str, np.ndarray]:
        """(name, int64 indices) of the part the run is measured on: test, else validation.

        Raises `DataError` where the split has neither.
        """
        for name in ("test", "validation"):
            indices = getattr(self.split, name)
            if len(indices):
                return name, indices
        raise DataError(
            f"{self.images.name}: the split has neither test nor validation images to measure on; "
            "set data.test or data.validation above 0"
        )


def load_run(
    run: Run | Path | str,
    *,
    data: Data | None = None,
    data_dir: Path | str | None = None,
    progress: Progress = SILENT,
) -> LoadedRun:
    """Opens a run and loads its images, unless `data` gives them.

    Else it says where they lie, if not where they were. Raises `RunError` for a folder that is no
    run or whose recipe was edited, `DataError` where the images are not the run's.
    """
    run = run if isinstance(run, Run) else open_run(run)
    config = run.config()
    check_recipe(run, config)
    manifest = read_json(run.split)
    images = load_run_images(run, data=data, data_dir=data_dir, progress=progress)
    # By the run's own copy: the file may have changed since.
    relabelled = str(run.relabelled) if config.data.relabelled else None
    corrected = replace(config.data, relabelled=relabelled)
    images = load_data(replace(config, data=corrected), progress=progress, images=images)
    split = from_manifest(images, manifest)
    images = with_weights(images, split, manifest)
    return LoadedRun(run=run, config=config, images=images, split=split)


def load_run_images(
    run: Run,
    *,
    data: Data | None = None,
    data_dir: Path | str | None = None,
    progress: Progress = SILENT,
) -> ImageSet:
    """The images at `data`, default: where the run's were, fitted as the run's were.

    With the labels of the source: corrections are the run's own, and `data` may be another set.
    Raises `DataError` where they are loaded already and fitted in another way.
    """
    config, manifest = run.config(), read_json(run.split)
    expected: tuple[int, Fit] = (manifest["size"], manifest["fit"])
    images = data
    if not isinstance(images, ImageSet):
        # The size as it was: left to the data, it would change with a larger image added to them.
        source = config.data.source if data is None else str(data)
        place = replace(config.data, source=source, size=expected[0], relabelled=None)
        if data is not None and not is_table(source):  # the fields of a table say nothing of it
            place = replace(place, images=None, **{f"{role}_column": None for role in ROLES})
        images = load_data(replace(config, data=place), data_dir, progress)
    found = (images.size, images.fit)
    if found != expected:
        raise DataError(
            f"run {run.path}: found images of {found[0]} px ({found[1]}), it was trained on "
            f"{expected[0]} px ({expected[1]}); load them with that size and fit"
        )
    return images


def load_data(
    config: Config,
    data_dir: Path | str | None = None,
    progress: Progress = SILENT,
    *,
    images: ImageSet | None = None,
    on_corrupt: Callable[[str, str], None] | None = None,
) -> ImageSet:
    """The images of a recipe, unless they are given, with its corrected labels."""
    relabelled = config.data.relabelled
    # First, for decoding the images may take minutes.
    corrections = None if relabelled is None else read_corrections(Path(relabelled))
    if images is None:
        size = config.data.size
        if size is None and (trained := find_trained(config.model.weights)) is not None:
            size = trained.size
        images = load_images(
            config.data.source,
            size=size,
            up_to=input_size(config.model),
            fit=config.data.fit,
            truncated=config.data.truncated,
            images=config.data.images,
            columns=named_columns(config.data),
            cache_disk=config.cache.disk,
            data_dir=data_dir,
            progress=progress,
            on_corrupt=on_corrupt,
        )
    return images if corrections is None else relabel(images, corrections)


def files_folder(config: DataConfig) -> Path:
    """The folder that `ImageSet.files` are relative to, where the source has files."""
    source = Path(config.source)
    return images_folder(source, config.images) if is_table(config.source) else source


def named_columns(config: DataConfig) -> dict[str, str]:
    """{role: column} of the columns of a table that a recipe names."""
    columns = {role: getattr(config, f"{role}_column") for role in ROLES}
    return {role: name for role, name in columns.items() if name is not None}
