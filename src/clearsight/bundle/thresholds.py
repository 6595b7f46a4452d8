"""From where on a bundle answers: for an accuracy, for a coverage, for familiar images."""

from typing import TYPE_CHECKING

import numpy as np

from clearsight.bundle.format import Bundle
from clearsight.errors import BundleError, UsageError
from clearsight.evaluation.selection import Threshold, promises, set_threshold, sure_threshold

if TYPE_CHECKING:
    from clearsight.evaluation.predictions import Predictions


def sure(bundle: Bundle, accuracy: float) -> Threshold:
    """The probability above which answers are right for the share `accuracy` of images or more.

    Raises `BundleError` where the bundle has no calibration, `UsageError` where its validation
    images don't allow to promise that; the sentence says what they do.
    """
    said = _validation(bundle, "sure")
    try:
        return sure_threshold(promises(said.probabilities, said.labels), accuracy)
    except UsageError as error:
        raise UsageError(f"bundle {bundle.path}: {error}") from error


def set_from(bundle: Bundle, coverage: float) -> float:
    """The probability from which on classes are in a set that holds the true one.

    `coverage` is the share of images of which it does. Raises as `sure` does.
    """
    said = _validation(bundle, "coverage")
    try:
        return set_threshold(said.probabilities[np.arange(len(said.labels)), said.labels], coverage)
    except UsageError as error:
        raise UsageError(f"bundle {bundle.path}: {error}") from error


def unlike(bundle: Bundle) -> float:
    """The score above which an image is less like those of the training than is usual.

    Raises `BundleError` where the bundle has no such score, or no threshold for it.
    """
    asked = f"bundle {bundle.path}: familiar images were asked for, but it"
    if bundle.features is None:
        raise BundleError(f"{asked} gives no score of them; export its run anew")
    if bundle.calibration is None or "unlike" not in bundle.calibration:
        raise BundleError(
            f"{asked} has no threshold for them; evaluate and export its run anew, one with a "
            "validation part"
        )
    return bundle.calibration["unlike"]["threshold"]


def _validation(bundle: Bundle, asked: str) -> "Predictions":
    if bundle.calibration is None:
        raise BundleError(
            f"bundle {bundle.path}: {asked} was asked for, but it has no calibration; evaluate and "
            "export its run anew (format version 1 had none), one with a validation part"
        )
    from clearsight.evaluation.predictions import read_predictions  # pyarrow, only where needed

    return read_predictions(bundle.validation)
