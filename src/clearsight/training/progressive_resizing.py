"""Progressive resizing (Howard, DAWNBench 2018): a phase begins with smaller training images."""

from clearsight.config.schema import PhaseConfig


def shows_small(phase: PhaseConfig, progress: float) -> bool:
    """Whether a step at `progress` (0 … 1) of the phase sees images of reduced size."""
    return phase.progressive_resizing < 1 and progress < phase.progressive_resizing_until


def cost_ahead(phase: PhaseConfig, progress: float) -> float:
    """Mean cost of the steps from `progress` to the phase's end, in steps as they are now.

    Cost grows with the number of pixels.
    """
    if not shows_small(phase, progress):
        return 1.0
    full_size = (1 - phase.progressive_resizing_until) / (1 - progress)
    return 1 - full_size + full_size / phase.progressive_resizing**2
