"""Schedules: pure functions of how far a phase has come.

A phase's progress runs from 0 to 1 over its steps. A time budget changes the number of steps during
training; `Plan` keeps the progress continuous and lets it end at exactly 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from clearsight.config.schema import PhaseConfig

ONE_CYCLE_RISE = 0.3  # fraction of rising learning rate where a recipe names no warm-up
ONE_CYCLE_START = 1 / 25


@dataclass(frozen=True)
class Plan:
    """How many steps a phase takes, as known at each knot (step, total steps).

    From a knot on, progress is linear in the step and reaches 1 at the knot's total. One knot
    (0, total) is an ordinary schedule; a budgeted run adds knots as it learns the machine's speed.
    """

    knots: tuple[tuple[int, int], ...]

    @property
    def total(self) -> int:
        """Steps of the phase as known now."""
        return self.knots[-1][1]

    def progress(self, step: int) -> float:
        """Fraction of the phase that is done at the start of `step` (0 … total-1)."""
        done = 0.0
        starts = [start for start, _ in self.knots[1:]] + [step]
        for (start, total), end in zip(self.knots, starts, strict=True):
            end = min(end, step)  # noqa: PLW2901
            if end <= start:
                break
            done += (1 - done) * (end - start) / (total - start)
        return min(done, 1.0)

    def refit(self, step: int, total: int) -> "Plan":
        """The plan in which `step` steps are done and the phase will have taken `total`."""
        kept = tuple(knot for knot in self.knots if knot[0] < step)
        return Plan((*kept, (step, max(total, step + 1))))


def factor(phase: PhaseConfig, progress: float) -> float:
    """The learning rate at `progress` (0 … 1) as a fraction of the phase's peak.

    Cosine: Loshchilov & Hutter 2017; one-cycle: Smith & Topin 2018.
    """
    rise = phase.warmup
    start = 0.0
    shape = phase.schedule
    if shape == "one-cycle":
        rise = rise or ONE_CYCLE_RISE
        start, shape = ONE_CYCLE_START, "cosine"
    if progress < rise:
        return start + (1 - start) * progress / rise
    left = 1 - (progress - rise) / (1 - rise)
    if shape == "constant":
        return 1.0
    shaped = left if shape == "linear" else (1 - math.cos(math.pi * left)) / 2
    return phase.final_lr + (1 - phase.final_lr) * shaped


def plateau_factor(losses: Sequence[float], patience: int, min_delta: float = 0.0) -> float:
    """½ for each time `patience` epochs passed without a lower validation loss; 1 if 0.

    Lower by more than `min_delta`. As Keras' `ReduceLROnPlateau` with a factor of ½.
    """
    scale, best, waited = 1.0, math.inf, 0
    for loss in losses:
        if loss < best - min_delta:
            best, waited = loss, 0
        else:
            waited += 1
        if patience and waited >= patience:
            scale, waited = scale / 2, 0
    return scale


def out_of_patience(losses: Sequence[float], patience: int) -> bool:
    """Whether the last `patience` epochs brought no lower validation loss; never with 0.

    As Keras' `EarlyStopping`.
    """
    if not patience or len(losses) <= patience:
        return False
    return min(losses[-patience:]) >= min(losses[:-patience])
