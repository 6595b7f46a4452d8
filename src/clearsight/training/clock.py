"""A phase's time: its plan fitted to a time budget while it runs."""

import math

from clearsight.training.phases import Position
from clearsight.training.schedules import Plan

REFIT_SHARE = 0.05  # a budgeted plan is refitted each time this share of the budget has passed
REFIT_STRETCH = 4  # by the speed over this many of the latest refits


class Clock:
    """Fits a plan's total to a time budget from the speed measured so far; without one, never.

    `most` bounds the total: a phase on cached features takes no more than its epochs, for what it
    leaves of the budget is worth more to the phases after it.
    """

    def __init__(
        self,
        budget: float | None,
        steps_per_epoch: int,
        position: Position,
        most: int | None = None,
    ) -> None:
        self.budget = budget
        self.steps_per_epoch = steps_per_epoch
        self.most = most
        self.validation_seconds = 0.0
        self.next_refit = 0.0
        self.marks: list[tuple[int, float]] = [(position.step, position.seconds)]

    def restart(self, position: Position) -> None:
        """Begins a new stretch: what follows has another speed, or a validation lies between."""
        self.marks = [(position.step, position.seconds)]

    def refit(self, plan: Plan, position: Position, ahead: float = 1.0) -> Plan:
        """The plan that ends with the budget, when a refit is due; else the plan as it is.

        Due after the first steps (1, 2, 4 … in number), then each time a share of the budget has
        passed. The speed is that of the latest stretch, for a shared machine's varies; `ahead` is
        the mean cost of the steps to come, in steps as they were in that stretch.
        """
        step, seconds = position.step, position.seconds
        early = step & (step - 1) == 0
        if self.budget is None or not (early or seconds >= self.next_refit):
            return plan
        self.next_refit = seconds + REFIT_SHARE * self.budget
        since_step, since_seconds = self.marks[-REFIT_STRETCH:][0]
        self.marks.append((step, seconds))
        per_step = ahead * (seconds - since_seconds) / (step - since_step)
        # Each epoch costs a validation too, and so does the last, unfinished one.
        per_step += self.validation_seconds / self.steps_per_epoch
        left = self.budget - seconds - self.validation_seconds
        if left < per_step and plan.total <= step + 1:
            return plan  # a plan at its end is not made longer, or it would have none
        total = step + max(1, math.floor(left / per_step))
        if self.most is not None:
            total = min(total, self.most)
        # Refitted at its most, a plan would get one more step, whose epoch may not be cached.
        return plan.refit(step, total) if total > step else plan
