"""A phase's time: shares of the budget, and plans that fit it."""

import pytest

from clearsight.config.schema import Config, PhaseConfig, TrainingConfig
from clearsight.training.clock import Clock
from clearsight.training.phases import phase_budget, planned_epochs
from clearsight.training.schedules import Plan
from clearsight.training.state import TrainState


def test_a_phase_gets_its_share_of_what_the_finished_ones_left() -> None:
    config = Config(
        training=TrainingConfig(budget=100.0),
        phases=(PhaseConfig(epochs=20), PhaseConfig(epochs=10), PhaseConfig(epochs=10)),
    )
    assert phase_budget(config, TrainState()) == 50.0
    assert phase_budget(config, TrainState(phase=1, phases=[{"seconds": 10.0}])) == 45.0
    spent = TrainState(phase=2, phases=[{"seconds": 10.0}, {"seconds": 95.0}])
    assert phase_budget(config, spent) == 0.0
    assert phase_budget(Config(), TrainState()) is None


def test_a_plan_grows_into_the_budget_unless_features_are_cached() -> None:
    state = TrainState(step=4, seconds=12.0)
    plan = Plan(((0, 10),))
    # Ten seconds of filling lie before the first step; four steps took 2 s, 88 s are left.
    start = TrainState(step=0, seconds=10.0)
    assert Clock(100.0, start).refit(plan, state, 5).total == 4 + 176
    assert Clock(100.0, start, most=10).refit(plan, state, 5).total == 10
    assert Clock(None, start).refit(plan, state, 5) == plan


def test_a_plan_at_its_most_is_not_made_longer_by_time_left() -> None:
    # One step is a whole epoch, and its features are all that is cached.
    done = TrainState(step=1, seconds=0.1)
    assert Clock(100.0, TrainState(), most=1).refit(Plan(((0, 1),)), done, 1).total == 1


@pytest.mark.parametrize(("steps", "expected"), [(10, range(3, 8)), (9, range(3, 8))])
def test_the_epochs_a_plan_gives_are_counted_from_the_phases_first(
    steps: int, expected: range
) -> None:
    history = [{"phase": 1}] * 3 + [{"phase": 2}] * 2
    state = TrainState(phase=1, epoch=5, history=history)
    assert planned_epochs(state, Plan(((0, steps),)), 2) == expected


def test_epochs_that_leave_images_out_are_more() -> None:
    assert planned_epochs(TrainState(), Plan(((0, 100),)), 10, left_out=0.5) == range(20)


def test_dearer_steps_to_come_are_foreseen() -> None:
    # 10 s for 10 steps; a tenth of the steps left cost as much, the others three times that.
    state = TrainState(step=10, seconds=10.0)
    plan = Clock(290.0, TrainState()).refit(Plan(((0, 20),)), state, 10, ahead=2.8)
    assert plan.total == 10 + 100


def steps_taken(budget: float, per_step: float, validation: float, steps_per_epoch: int) -> int:
    """Steps of a run whose every step and validation takes the same time."""
    state, plan = TrainState(), Plan(((0, 1),))
    clock = Clock(budget, state)
    clock.validation_seconds = validation
    while state.step < plan.total and state.step < 10_000:
        state.step += 1
        state.seconds += per_step
        plan = clock.refit(plan, state, steps_per_epoch)
        if state.step % steps_per_epoch == 0:
            state.seconds += validation
            clock.restart(state)
    return state.step


def test_a_budget_is_used_up() -> None:
    assert steps_taken(100.0, 1.0, 0.0, 10) == pytest.approx(100, abs=1)


@pytest.mark.parametrize(("budget", "validation"), [(2.0, 1.5), (2.0, 0.0), (1.0, 10.0)])
def test_a_budget_of_a_step_or_two_ends_the_phase(budget: float, validation: float) -> None:
    assert steps_taken(budget, 1.3, validation, 2) <= 3
