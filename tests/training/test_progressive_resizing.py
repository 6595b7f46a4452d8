"""Progressive resizing: when images are small, and what the full size will cost."""

import pytest

from clearsight.config.schema import PhaseConfig
from clearsight.training.progressive_resizing import cost_ahead, shows_small


def phase(factor: float = 1.0, until: float = 0.6) -> PhaseConfig:
    return PhaseConfig(progressive_resizing=factor, progressive_resizing_until=until)


@pytest.mark.parametrize(("progress", "small"), [(0.0, True), (0.59, True), (0.6, False)])
def test_images_are_small_up_to_a_fraction_of_the_phase(progress: float, small: bool) -> None:
    assert shows_small(phase(0.75), progress) is small
    assert not shows_small(phase(), progress)


def test_the_cost_ahead_counts_pixels() -> None:
    # Half of what is left is at 16 px, half at 32 px, which costs four times as much.
    assert cost_ahead(phase(0.5, 0.75), 0.5) == 2.5
    assert cost_ahead(phase(0.5, 1.0), 0.5) == 1.0
    assert cost_ahead(phase(0.5, 0.75), 0.8) == 1.0
    assert cost_ahead(phase(), 0.5) == 1.0
