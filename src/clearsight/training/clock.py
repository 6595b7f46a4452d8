"""A phase's time: its plan fitted to a time budget while it runs."""

import math

from clearsight.training.schedules import Plan
from clearsight.training.state import TrainState

REFIT_SHARE = 0.05  # a budgeted plan is refitted each time this share of the budget has passed
REFIT_STRETCH = 4  # by the speed over this many of the latest refits


class Clock:
    """Fits a plan's total to a time budget from the speed measured so far; without one, never.

    `budget` is in seconds. `most` bounds the total number of steps, where the inputs of no more
    epochs are cached, or later phases have more use for the time.
    """

    def __init__(self, budget: float | None, state: TrainState, most: int | None = None) -> None:
        self.budget = budget
        self.most = most
        self.validation_seconds = 0.0
        self.next_refit = 0.0
        self.marks: list[tuple[int, float]] = [(state.step, state.seconds)]

    def restart(self, state: TrainState) -> None:
        """Begins a new stretch: what follows has another speed, or a validation lies between."""
        self.marks = [(state.step, state.seconds)]

    def refit(
        self, plan: Plan, state: TrainState, steps_per_epoch: int, ahead: float = 1.0
    ) -> Plan:
        """The plan that ends with the budget, when a refit is due; else the plan as it is.

        Due after the first steps (1, 2, 4 … in number), then each time a share of the budget has
        passed. The speed is that of the latest stretch, because a shared machine's varies; `ahead`
        is the mean cost of the steps to come, in steps as they were in that stretch.
        """
        step, seconds = state.step, state.seconds
        early = step & (step - 1) == 0
        if self.budget is None or not (early or seconds >= self.next_refit):
            return plan
        self.next_refit = seconds + REFIT_SHARE * self.budget
        since_step, since_seconds = self.marks[-REFIT_STRETCH:][0]
        self.marks.append((step, seconds))
        per_step = ahead * (seconds - since_seconds) / (step - since_step)
        # Each epoch costs a validation too, and so does the last, unfinished one.
        per_step += self.validation_seconds / steps_per_epoch
        left = self.budget - seconds - self.validation_seconds
        if left < per_step and plan.total <= step + 1:
            return plan  # a plan at its end is not made longer, or it would have none
        total = step + max(1, math.floor(left / per_step))
        if self.most is not None:
            total = min(total, self.most)
        # Refitted at its most, a plan would get one more step, whose epoch may not be cached.
        return plan.refit(step, total) if total > step else plan
