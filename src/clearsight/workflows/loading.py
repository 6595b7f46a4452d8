"""A run with everything that a workflow needs of it, loaded once and passed on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clearsight.config.schema import Config
from clearsight.data.images import ImageSet
from clearsight.data.sources import load_images
from clearsight.data.splits import Split, from_manifest
from clearsight.errors import DataError, RunError
from clearsight.files import read_json
from clearsight.models.factory import input_size
from clearsight.progress import SILENT, Progress
from clearsight.runs import Run, open_run


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
    data_dir: Path | str | None = None,
    images: ImageSet | None = None,
    progress: Progress = SILENT,
) -> LoadedRun:
    """Opens a run and loads its images, unless they are given.

    Raises `RunError` for a folder that is no run, `DataError` where the images are not the run's.
    """
    run = run if isinstance(run, Run) else open_run(run)
    config = run.config()
    images = load_data(config, data_dir, progress) if images is None else images
    return LoadedRun(
        run=run, config=config, images=images, split=from_manifest(images, read_json(run.split))
    )


def load_data(
    config: Config,
    data_dir: Path | str | None = None,
    progress: Progress = SILENT,
    *,
    on_corrupt: Callable[[str, str], None] | None = None,
) -> ImageSet:
    """The images of a recipe."""
    return load_images(
        config.data.source,
        size=config.data.size,
        up_to=input_size(config.model),
        fit=config.data.fit,
        truncated=config.data.truncated,
        cache_disk=config.cache.disk,
        data_dir=data_dir,
        progress=progress,
        on_corrupt=on_corrupt,
    )


def check_measured(run: Run) -> None:
    """Raises `RunError` for a run that has no `evaluation.json` yet."""
    if not run.evaluation.is_file():
        raise RunError(
            f"run {run.path}: not measured yet; finish it with "
            f"`clearsight train --resume {run.path}`"
        )
