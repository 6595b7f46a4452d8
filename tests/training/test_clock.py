"""A budgeted plan: it uses the time there is, and it ends."""

import pytest

from clearsight.training.clock import Clock
from clearsight.training.phases import Position
from clearsight.training.schedules import Plan


def steps_taken(budget: float, per_step: float, validation: float, steps_per_epoch: int) -> int:
    """Steps of a run whose every step and validation takes the same time."""
    position, plan = Position(), Plan(((0, 1),))
    clock = Clock(budget, steps_per_epoch, position)
    clock.validation_seconds = validation
    while position.step < plan.total and position.step < 10_000:
        position.step += 1
        position.seconds += per_step
        plan = clock.refit(plan, position)
        if position.step % steps_per_epoch == 0:
            position.seconds += validation
            plan = clock.refit(plan, position, epoch_end=True)
    return position.step


def test_a_budget_is_used_up() -> None:
    assert steps_taken(100.0, 1.0, 0.0, 10) == pytest.approx(100, abs=1)


@pytest.mark.parametrize(("budget", "validation"), [(2.0, 1.5), (2.0, 0.0), (1.0, 10.0)])
def test_a_budget_of_a_step_or_two_ends_the_phase(budget: float, validation: float) -> None:
    assert steps_taken(budget, 1.3, validation, 2) <= 3
