"""By what the measured images of a run are cut into slices."""

import numpy as np

from clearsight.data.originals import file_properties
from clearsight.evaluation.slices import properties
from clearsight.workflows.loading import LoadedRun, files_folder

Values = dict[str, np.ndarray]
Flags = dict[str, tuple[np.ndarray, str, str]]


def slicing(loaded: LoadedRun, near: np.ndarray) -> tuple[Values, Flags]:
    """The `values` and `flags` of `evaluation.slices.evaluate_slices`, of the measured part.

    `near`: int64, which of its images have a near duplicate in training.
    """
    images, (_, indices) = loaded.images, loaded.measured()
    values = properties(images.images[indices])
    values |= file_properties(files_folder(loaded.config.data), images.files[indices])
    is_near = np.zeros(len(indices), bool)
    is_near[near] = True
    named = ("images with a near duplicate in training", "images without one")
    return values, {"near duplicates": (is_near, *named)}
