"""What a phase may ask for, which of its weights are used, and what is said of it."""

from dataclasses import replace

import pytest

from clearsight.config.parsing import parse
from clearsight.config.schema import Config, PhaseConfig
from clearsight.errors import ConfigError
from clearsight.models.factory import build
from clearsight.models.preprocess import Preprocess
from clearsight.training.clock import Clock
from clearsight.training.loop import end_reason
from clearsight.training.phases import (
    better,
    check_phases,
    closing_line,
    epochs_ahead,
    forecast,
    phase_row,
    unused_budget,
)
from clearsight.training.schedules import Plan
from clearsight.training.state import TrainState

MODEL = build("airnet-tiny", ("a", "b"), Preprocess([0.5] * 3, [0.25] * 3))


def epoch(phase: int, number: int, accuracy: float, loss: float) -> dict:
    return {"phase": phase, "epoch": number, "val_accuracy": accuracy, "val_loss": loss}


def history(*phases: list[tuple[float, float]]) -> list[dict]:
    """Rows of phases, each a list of (validation accuracy, loss)."""
    rows: list[dict] = []
    for phase, epochs in enumerate(phases, 1):
        for accuracy, loss in epochs:
            rows.append(epoch(phase, len(rows) + 1, accuracy, loss))
    return rows


def finished(rows: list[dict], *restore: str) -> tuple[TrainState, list[dict]]:
    """The state after phases with these settings of `restore`, and their rows in the table."""
    state = TrainState()
    for number, rule in enumerate(restore, 1):
        for row in (row for row in rows if row["phase"] == number):
            state.history.append(row)
            if better(row, state.best, rule):
                state.best = row
        phase = PhaseConfig(restore=rule)  # ty: ignore[invalid-argument-type]
        state.close_phase(phase_row(phase, state, MODEL, "all steps done"))
    return state, state.phases


# The second phase has a lower loss than its first epoch, but never than the first phase.
WORSE = history([(0.8, 0.5), (0.9, 0.6)], [(0.7, 0.9), (0.85, 0.7), (0.6, 0.8)])


def test_by_accuracy_the_best_epoch_of_all_phases_is_used() -> None:
    state, rows = finished(WORSE, "accuracy", "accuracy")
    assert state.best == WORSE[1]
    assert [row["gained"] for row in rows] == [True, False]
    assert [row["best_epoch"] for row in rows] == [2, 4]
    assert [row["val_accuracy"] for row in rows] == [0.9, 0.85]


def test_by_loss_each_phase_leaves_its_own_lowest_as_in_keras() -> None:
    state, rows = finished(WORSE, "loss", "loss")
    assert state.best == WORSE[3]  # though the first epoch of all had 0.5
    assert [row["best_epoch"] for row in rows] == [1, 4]
    assert [row["gained"] for row in rows] == [True, False]


def test_each_phase_goes_by_its_own_rule() -> None:
    assert finished(WORSE, "accuracy", "loss")[0].best == WORSE[3]
    assert finished(WORSE, "loss", "accuracy")[0].best == WORSE[3]  # 0.85 beats 0.8
    gains = history([(0.5, 0.5)], [(0.4, 0.4)])
    assert [row["gained"] for row in finished(gains, "loss", "loss")[1]] == [True, True]
    assert [row["gained"] for row in finished(gains, "accuracy", "accuracy")[1]] == [True, False]


def test_of_equal_epochs_the_first_is_used() -> None:
    equal = history([(0.5, 0.5), (0.5, 0.5)])
    for rule in ("accuracy", "loss"):
        assert finished(equal, rule)[0].best == equal[0]


def test_what_is_used_and_what_gained_nothing_is_said() -> None:
    by_accuracy, by_loss = PhaseConfig(name="fine"), PhaseConfig(name="fine", restore="loss")
    state, rows = finished(WORSE, "accuracy", "accuracy")
    assert closing_line(by_accuracy, rows[0], state.best) == (
        "phase fine: all steps done after 2 epochs; best validation accuracy 90.00 % "
        "(loss 0.6000) in epoch 2"
    )
    assert closing_line(by_accuracy, rows[1], state.best).endswith(
        "best validation accuracy 90.00 % (loss 0.6000) in epoch 2, before this phase; "
        "it gained nothing"
    )
    state, rows = finished(WORSE, "loss", "loss")
    assert closing_line(by_loss, rows[1], state.best).endswith(
        "lowest validation loss 0.7000 (accuracy 85.00 %) in epoch 4, higher than before; "
        "it gained nothing"
    )
    assert "so the last weights are used" in closing_line(by_loss, rows[0], None)


def test_without_validation_nothing_is_the_best() -> None:
    state = TrainState(history=[{"phase": 1, "epoch": 1}])
    row = phase_row(PhaseConfig(), state, MODEL, "all steps done")
    assert (row["best_epoch"], row["val_accuracy"], row["gained"]) == (None, None, None)


@pytest.mark.parametrize("field", ["patience", "plateau"])
def test_what_needs_validation_is_refused_without(field: str) -> None:
    config = Config(phases=(PhaseConfig(), replace(PhaseConfig(), **{field: 3})))
    with pytest.raises(ConfigError, match=rf"phases\.1\.{field}: found 3, .*data\.validation"):
        check_phases(config, 0)
    check_phases(config, 1)


def test_the_epochs_to_come_are_known_where_images_are_left_out() -> None:
    # 60 images in batches of 10: 6 steps an epoch, 3 where 0.4 of the images are left out.
    phase = PhaseConfig(selective_backprop=0.4)
    # Epochs end at steps 6 and 12 (0.25 and 0.5 of 24); from 0.3 on they are short.
    assert epochs_ahead(phase, Plan(((0, 24),)), 0, 60, 10) == 6
    assert epochs_ahead(phase, Plan(((0, 24),)), 12, 60, 10) == 4
    again = PhaseConfig(selective_backprop=0.4, selective_backprop_until=0.75)
    assert epochs_ahead(again, Plan(((0, 24),)), 0, 60, 10) == 5
    assert epochs_ahead(PhaseConfig(), Plan(((0, 24),)), 24, 60, 10) == 0
    assert epochs_ahead(PhaseConfig(), Plan(((0, 3),)), 0, 5, 10) == 3  # one small batch


def test_epochs_are_counted_over_all_phases_and_the_time_is_the_phases() -> None:
    table = {"training": {"batch": 10}, "phases": [{"epochs": 2}, {"epochs": 3}]}
    config = parse(Config, table)
    state = TrainState(epoch=1, step=6, seconds=6.0)
    found = forecast(config, state, Plan(((0, 12),)), images=60, seconds_per_step=0.5)
    assert found == {"epochs": 5, "seconds_left": 3.0}


def test_with_a_budget_its_rest_counts_down_and_no_number_of_epochs_is_promised() -> None:
    config = parse(Config, {"training": {"budget": 100}, "phases": [{}, {}]})
    state = TrainState(phase=1, epoch=4, step=6, seconds=6.0, phases=[{"seconds": 30.0}])
    found = forecast(config, state, Plan(((0, 12),)), images=60, seconds_per_step=0.5)
    assert found == {"epochs": None, "seconds_left": 64.0}


def test_a_phase_names_the_true_reason_of_its_end() -> None:
    state, plan = TrainState(step=10, seconds=5.0), Plan(((0, 10),))
    phase = PhaseConfig()

    def reason(clock: Clock, *, last: bool = True) -> str | None:
        return end_reason(phase, plan, state, clock, last=last)

    assert reason(Clock(None, state)) == "all steps done"
    assert reason(Clock(60.0, state)) == "time budget used"
    assert reason(Clock(60.0, state), last=False) == "share of the time budget used"
    # On cached features a phase is done with its epochs, whatever time is left.
    assert reason(Clock(60.0, state, most=10)) == "all steps done"
    assert reason(Clock(60.0, state, most=20)) == "time budget used"
    assert end_reason(phase, Plan(((0, 11),)), state, Clock(60.0, state), last=True) is None


def test_a_budget_left_over_is_said() -> None:
    config = parse(Config, {"training": {"budget": 100}})
    rows = [{"seconds": 30.0, "stop_reason": "no better validation loss for 2 epochs"}]
    assert unused_budget(config, TrainState(phase=1, phases=rows)) == (
        "time budget: 70 s of 100 s left over (no better validation loss for 2 epochs)"
    )
    assert unused_budget(config, TrainState(phase=1, phases=[rows[0] | {"seconds": 99.0}])) is None
    assert unused_budget(Config(), TrainState(phase=1, phases=rows)) is None
