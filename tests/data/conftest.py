"""Fixtures of the data tests."""

import numpy as np
import pytest

from clearsight.data.images import ImageSet, content_ids
from tests.recorder import Recorder


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture(scope="module")
def pets() -> ImageSet:
    """20 noise images of 4 px, of the classes cat and dog by turns."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 3), np.uint8)
    return ImageSet(
        images=pixels, labels=np.arange(20) % 2, classes=("cat", "dog"), ids=content_ids(pixels),
        parts=np.full(20, ""), name="pets",
    )  # fmt: skip
