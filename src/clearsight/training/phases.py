"""The phases of a run: their plans and shares of a time budget, and what each of them reached."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from clearsight.config.schema import Config, PhaseConfig
from clearsight.errors import ConfigError
from clearsight.models.classifier import Classifier
from clearsight.training.progressive_resizing import cost_ahead
from clearsight.training.schedules import Plan
from clearsight.training.state import TrainState
from clearsight.wording import percent

UNUSED_SHARE = 0.02  # of a time budget; less than that left over is not worth a line


def check_phases(config: Config, validation_images: int) -> None:
    """Raises `ConfigError` where a phase asks for what cannot be, before any work is done.

    That is: smaller images in front of frozen stages, or a decision by validation loss where there
    are no validation images.
    """
    for number, phase in enumerate(config.phases):
        if phase.progressive_resizing < 1 and phase.trainable != "all":
            raise ConfigError(
                f"phases.{number}.progressive_resizing: found {phase.progressive_resizing:g} in a "
                f"phase whose trainable is {phase.trainable}; frozen stages see images of one "
                "size, so leave progressive_resizing out"
            )
        for field in ("patience", "plateau"):
            if getattr(phase, field) and not validation_images:
                raise ConfigError(
                    f"phases.{number}.{field}: found {getattr(phase, field)}, but there are no "
                    f"validation images to decide by; set data.validation above 0, or {field} = 0"
                )


def first_plan(phase: PhaseConfig, steps_per_epoch: int) -> Plan:
    """The plan a phase starts with: as recorded, or its steps, or its epochs."""
    if phase.plan:
        return Plan(phase.plan)
    return Plan(((0, phase.steps or max(1, round(phase.epochs * steps_per_epoch))),))


def phase_budget(config: Config, state: TrainState) -> float | None:
    """Seconds for the current phase: what the finished ones left, in proportion to epochs."""
    if config.training.budget is None:
        return None
    left = config.training.budget - sum(row["seconds"] for row in state.phases)
    epochs = [phase.epochs for phase in config.phases[state.phase :]]
    return max(left, 0.0) * epochs[0] / sum(epochs)


def planned_epochs(
    state: TrainState, plan: Plan, steps_per_epoch: int, left_out: float = 0.0
) -> range:
    """Numbers, from 0 in the run, of the epochs that `plan` gives the current phase, at most.

    `left_out` is the fraction of the images that they may leave out.
    """
    first = state.epoch - len(state.phase_rows())
    shortest = max(1, math.floor(steps_per_epoch * (1 - left_out)))
    return range(first, first + math.ceil(plan.total / shortest))


def epochs_ahead(phase: PhaseConfig, plan: Plan, step: int, images: int, batch: int) -> int:
    """Epochs from `step` to the plan's end, where selective backprop leaves out what it may."""
    kept = images - int(phase.selective_backprop * images)
    full, short = max(1, images // batch), max(1, kept // batch)
    count = 0
    while step < plan.total:
        progress = plan.progress(step)
        leaves_out = phase.selective_backprop_from <= progress < phase.selective_backprop_until
        step += short if leaves_out else full
        count += 1
    return count


def forecast(
    config: Config, state: TrainState, plan: Plan, images: int, seconds_per_step: float
) -> dict[str, Any]:
    """`epochs` and `seconds_left`, as `Progress.epoch` has them, at the end of an epoch."""
    if config.training.budget is not None:
        return {"epochs": None, "seconds_left": config.training.budget - state.run_seconds}
    phase, *later = config.phases[state.phase :]
    batch = min(config.training.batch, images)
    steps_per_epoch = images // batch
    epochs = state.epoch + epochs_ahead(phase, plan, state.step, images, batch)
    for other in later:
        epochs += epochs_ahead(other, first_plan(other, steps_per_epoch), 0, images, batch)
    per_step = seconds_per_step * cost_ahead(phase, plan.progress(state.step))
    return {"epochs": epochs, "seconds_left": per_step * (plan.total - state.step)}


def better(row: Mapping[str, Any], best: Mapping[str, Any] | None, restore: str) -> bool:
    """Whether the weights of an epoch of a phase replace the best so far, as its `restore` says."""
    if best is None:
        return True
    if restore == "loss" and best["phase"] != row["phase"]:
        return True  # the phase's own best is wanted, whatever there was before
    return _score(row, restore) > _score(best, restore)


def phase_row(phase: PhaseConfig, state: TrainState, model: Classifier, reason: str) -> dict:
    """The row of the phase that ends now in the table of phases in `evaluation.json`.

    `best_epoch` is the phase's best as its `restore` says, and `val_accuracy` that epoch's;
    `gained` tells whether it beat the best before the phase.
    """
    rows = state.phase_rows()
    scored = [row for row in rows if "val_accuracy" in row]
    best = max(scored, key=lambda row: _score(row, phase.restore), default=None)
    before = state.best_before
    gained = best and (
        before is None or _score(best, phase.restore) > _score(before, phase.restore)
    )
    sizes = {True: 0, False: 0}
    for parameter in model.parameters():
        sizes[parameter.requires_grad] += parameter.numel()
    return {
        "name": phase.name,
        "epochs": len(rows),
        "best_epoch": best["epoch"] if best else None,
        "stop_reason": reason,
        "seconds": round(state.seconds, 1),
        "trainable": sizes[True],
        "frozen": sizes[False],
        "val_accuracy": best["val_accuracy"] if best else None,
        "gained": gained,
    }


def closing_line(phase: PhaseConfig, row: Mapping[str, Any], best: Mapping | None) -> str:
    """What a finished phase reached, for the reader; `best` is the epoch whose weights are used."""
    line = f"phase {phase.name}: {row['stop_reason']} after {row['epochs']} epoch"
    line += "s" * (row["epochs"] != 1)
    if best is None:
        return f"{line}; no validation images, so the last weights are used"
    accuracy, loss = percent(best["val_accuracy"]), f"{best['val_loss']:.4f}"
    if phase.restore == "loss":
        reached = f"lowest validation loss {loss} (accuracy {accuracy}) in epoch {best['epoch']}"
        other = "" if row["gained"] else ", higher than before; it gained nothing"
    else:
        reached = f"best validation accuracy {accuracy} (loss {loss}) in epoch {best['epoch']}"
        other = "" if row["gained"] else ", before this phase; it gained nothing"
    return f"{line}; {reached}{other}"


def unused_budget(config: Config, state: TrainState) -> str | None:
    """What to say of the part of a time budget that a finished run left over, if anything."""
    budget = config.training.budget
    if budget is None or budget - state.run_seconds < UNUSED_SHARE * budget:
        return None
    left, reason = budget - state.run_seconds, state.phases[-1]["stop_reason"]
    return f"time budget: {left:.0f} s of {budget:.0f} s left over ({reason})"


def resolved(config: Config, state: TrainState) -> Config:
    """The configuration that repeats a budgeted run exactly: its steps instead of its budget."""
    if config.training.budget is None:
        return config
    phases = tuple(
        replace(phase, steps=plan[-1][1], plan=plan)
        for phase, plan in zip(config.phases, state.plans, strict=True)
    )
    return replace(config, phases=phases, training=replace(config.training, budget=None))


def _score(row: Mapping[str, Any], restore: str) -> tuple[float, ...]:
    """What `restore` compares epochs by: the higher the better."""
    if restore == "loss":
        return (-row["val_loss"],)
    return (row["val_accuracy"], -row["val_loss"])
