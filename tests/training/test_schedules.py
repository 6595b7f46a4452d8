"""Plans, schedules, plateau and patience: pure functions, checked by hand."""

import pytest

from clearsight.config.schema import PhaseConfig
from clearsight.training.schedules import Plan, factor, out_of_patience, plateau_factor


def test_a_plan_of_one_knot_is_linear_and_ends_at_one() -> None:
    plan = Plan(((0, 10),))
    assert [plan.progress(step) for step in (0, 5, 10)] == [0.0, 0.5, 1.0]


def test_a_refitted_plan_is_continuous_and_ends_at_its_new_total() -> None:
    plan = Plan(((0, 10),)).refit(5, 25)
    assert plan.progress(5) == 0.5
    assert plan.progress(15) == pytest.approx(0.75)  # half of the remaining 20 steps
    assert plan.progress(25) == 1.0
    shorter = plan.refit(15, 16)
    assert shorter.progress(15) == pytest.approx(0.75)
    assert shorter.progress(16) == 1.0


def test_a_refit_leaves_at_least_one_step_and_replaces_a_knot_at_the_same_step() -> None:
    plan = Plan(((0, 10),)).refit(4, 2)
    assert plan.total == 5
    assert plan.refit(4, 9).knots == ((0, 10), (4, 9))


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [1, 1, 1]),
        ("linear", [1, 0.5, 0]),
        ("cosine", [1, 0.5, 0]),
    ],
)
def test_schedules_at_start_middle_and_end(schedule: str, expected: list[float]) -> None:
    phase = PhaseConfig(schedule=schedule)  # ty: ignore[invalid-argument-type]
    assert [factor(phase, p) for p in (0.0, 0.5, 1.0)] == pytest.approx(expected)


def test_cosine_at_a_quarter() -> None:
    assert factor(PhaseConfig(schedule="cosine"), 0.25) == pytest.approx((1 + 0.5**0.5) / 2)


def test_warmup_rises_linearly_and_the_rest_uses_what_is_left() -> None:
    phase = PhaseConfig(schedule="linear", warmup=0.2, final_lr=0.1)
    assert [factor(phase, p) for p in (0, 0.1, 0.2, 0.6, 1)] == pytest.approx(
        [0, 0.5, 1, 0.55, 0.1]
    )


def test_one_cycle_starts_at_a_25th_and_peaks_at_three_tenths() -> None:
    phase = PhaseConfig(schedule="one-cycle")
    assert [factor(phase, p) for p in (0, 0.15, 0.3, 1)] == pytest.approx([0.04, 0.52, 1, 0])


def test_plateau_halves_after_each_patience_without_progress() -> None:
    losses = [1.0, 0.9, 0.95, 0.91]  # two epochs without progress
    assert plateau_factor(losses, 3) == 1.0
    assert plateau_factor([*losses, 0.92], 3) == 0.5
    assert plateau_factor([*losses, 0.92, 1, 1, 1], 3) == 0.25
    assert plateau_factor([*losses, 0.92, 0.5, 1, 1], 3) == 0.5
    assert plateau_factor([1.0] * 100, 0) == 1.0


# Keras' ReduceLROnPlateau(factor=0.5, patience=3, min_delta=…) by hand: an epoch improves where its
# loss is below the best by more than min_delta; only then is it the new best.
@pytest.mark.parametrize(
    ("losses", "min_delta", "expected"),
    [
        # Each a bit better than the one before, yet none by 1e-4 below 2.3: three waited, halved.
        ([2.3, 2.29996, 2.29994, 2.29992], 1e-4, 0.5),
        ([2.3, 2.29996, 2.29994, 2.29992], 0.0, 1.0),
        # The fourth is 1.1e-4 below the best there was, 2.3, and starts the wait again.
        ([2.3, 2.29996, 2.29994, 2.29989, 2.3, 2.3], 1e-4, 1.0),
        ([2.3, 2.29996, 2.29994, 2.29989, 2.3, 2.3, 2.3], 1e-4, 0.5),
        # Below by exactly min_delta is no improvement.
        ([1.0, 0.5, 0.5, 0.5], 0.5, 0.5),
        # After a halving the wait begins anew, the best stays.
        ([1.0, 1.0, 1.0, 1.0, 0.99995, 0.99995, 0.99995], 1e-4, 0.25),
        ([1.0, 1.0, 1.0, 1.0, 0.9, 0.9, 0.9], 1e-4, 0.5),
    ],
)
def test_plateau_is_keras_rule(losses: list[float], min_delta: float, expected: float) -> None:
    assert plateau_factor(losses, 3, min_delta) == expected


def test_patience_is_keras_rule_without_a_smallest_decrease() -> None:
    # EarlyStopping(patience=2, min_delta=0): any lower loss starts the wait again.
    falling = [2.3 - 1e-6 * epoch for epoch in range(20)]
    assert not any(out_of_patience(falling[:n], 2) for n in range(21))
    stops = [n for n in range(1, 6) if out_of_patience([1.0, 0.9, 0.9, 0.9, 0.8][:n], 2)]
    assert stops[0] == 4  # two epochs with the same loss as the best


def test_patience_counts_epochs_since_the_best() -> None:
    assert not out_of_patience([1.0, 0.9, 0.95], 2)
    assert out_of_patience([1.0, 0.9, 0.95, 0.9], 2)
    assert not out_of_patience([1.0, 0.9, 0.95, 0.89], 2)
    assert not out_of_patience([1.0] * 50, 0)
    assert not out_of_patience([], 1)
