"""One phase of training, read from top to bottom."""

import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from clearsight.config.schema import PhaseConfig
from clearsight.errors import TrainingError
from clearsight.runtime.device import autocast
from clearsight.runtime.seeds import generator, seeded
from clearsight.training.clock import Clock
from clearsight.training.context import TrainContext
from clearsight.training.freezing import set_modes
from clearsight.training.inputs import PhaseInputs, StepImages
from clearsight.training.loss import cross_entropy
from clearsight.training.optimizers import set_rate
from clearsight.training.phases import better, forecast
from clearsight.training.progressive_resizing import cost_ahead, shows_small
from clearsight.training.schedules import Plan, factor, out_of_patience, plateau_factor
from clearsight.training.selective_backprop import SelectiveBackprop
from clearsight.training.state import TrainState


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, after the current step was finished."""


def run_phase(  # noqa: PLR0915 - one piece on purpose: the order of its lines is the algorithm
    context: TrainContext,
    state: TrainState,
    plan: Plan,
    inputs: PhaseInputs,
    selection: SelectiveBackprop,
    *,
    optimizers: list[Optimizer],
    clock: Clock,
    tick: Callable[[], None],
    keep: Callable[[TrainState, bool], None],
) -> str:
    """Trains the current phase until its plan, budget or patience ends; returns which it was.

    `tick()` is called whenever `state` has moved on, and `keep(state, is_best)` after each epoch,
    to keep what was reached.
    """
    config, model, batches, device = context.config, context.model, context.batches, context.device
    training, phase = config.training, config.phases[state.phase]
    last = state.phase + 1 == len(config.phases)
    started = time.perf_counter() - state.seconds
    small = shows_small(phase, plan.progress(state.step))
    with interruptible() as interrupted:
        while (reason := end_reason(phase, plan, state, clock, last=last)) is None:
            epoch_start, first_step = time.perf_counter(), state.step
            seen, losses, right = 0, [], torch.zeros((), dtype=torch.int64, device=device)
            scale = plateau_factor(
                state.validation_losses(), phase.plateau, phase.plateau_min_delta
            )
            set_modes(model, phase)
            # Which images this epoch shows, in which order.
            kept = selection.kept(plan.progress(state.step))
            selection.leave_out(kept)
            order = batches.indices(state.epoch, kept)
            draw = generator(training.seed, "augment", state.epoch, device=device)
            with seeded(training.seed, "dropout", state.epoch):
                for indices in order:
                    # At which size.
                    progress = plan.progress(state.step)
                    if small != shows_small(phase, progress):
                        small = not small
                        clock.restart(state)
                    # The batch.
                    batch = inputs.batch(
                        StepImages(
                            indices=indices, epoch=state.epoch, small=small, draw=draw,
                            times_shown=selection.times_shown(indices, state.epoch),
                        )
                    )  # fmt: skip
                    # The step.
                    share = factor(phase, progress) * scale
                    floor = phase.plateau_floor if scale < 1 else 0.0
                    rate = set_rate(optimizers, phase.lr, share, floor)
                    with autocast(device, context.precision):
                        logits = inputs.forward(batch.inputs).float()
                        loss, of_each = cross_entropy(
                            logits, batch.targets, context.class_weights,
                            training.label_smoothing, batch.weights,
                        )  # fmt: skip
                    for optimizer in optimizers:
                        optimizer.zero_grad(set_to_none=True)
                    loss.backward()
                    if phase.clip:
                        trained = [p for p in model.parameters() if p.requires_grad]
                        torch.nn.utils.clip_grad_norm_(trained, phase.clip)
                    for optimizer in optimizers:
                        optimizer.step()
                    state.step += 1
                    context.averaging.update(state.step)
                    selection.update(indices, of_each)
                    context.margins.update(indices, logits, batch.targets)

                    seen += len(batch.labels)
                    losses.append(loss.detach())
                    right += (logits.detach().argmax(1) == batch.labels).sum()
                    # Looking at a loss on a GPU waits for it: there, at the end of the epoch.
                    if device.type == "cpu":
                        check_finite(losses[-1:], state, rate)
                    state.seconds = time.perf_counter() - started
                    plan = clock.refit(plan, state, len(order), cost_ahead(phase, progress))
                    tick()
                    if interrupted() or state.step >= plan.total:
                        break
            if interrupted():
                raise Interrupted
            check_finite(losses, state, rate)
            state.epoch += 1
            trained_seconds = time.perf_counter() - epoch_start

            row: dict[str, Any] = {
                "phase": state.phase + 1,
                "epoch": state.epoch,
                "step": state.step,
                "lr": float(f"{rate:.6g}"),
                "train_loss": round(torch.stack(losses).mean().item(), 6),
                "train_accuracy": round(right.item() / seen, 6),
            }
            if context.validation is not None:
                with context.averaging.applied():
                    row |= validate(context, inputs)
            state.history.append(row)
            clock.validation_seconds = time.perf_counter() - epoch_start - trained_seconds
            state.seconds = time.perf_counter() - started
            clock.restart(state)
            state.plan = plan.knots
            timing = {
                "phase": state.phase + 1,
                "epoch": state.epoch,
                "seconds": round(time.perf_counter() - epoch_start, 3),
                "images_per_second": round(seen / trained_seconds, 1),
                "elapsed": round(state.seconds, 3),
            }
            state.timing.append(timing)
            is_best = context.validation is not None and better(row, state.best, phase.restore)
            if is_best:
                state.best = row
            keep(state, is_best)
            tick()
            seconds_per_step = timing["seconds"] / (state.step - first_step)
            context.progress.epoch(
                {
                    **row,
                    "phase": phase.name,
                    "images_per_second": timing["images_per_second"],
                    **forecast(config, state, plan, len(batches.images), seconds_per_step),
                }
            )
        if interrupted():
            raise Interrupted
    return reason


def end_reason(
    phase: PhaseConfig, plan: Plan, state: TrainState, clock: Clock, *, last: bool
) -> str | None:
    """Why the phase ends, for the table of phases; None while it goes on."""
    if out_of_patience(state.validation_losses(), phase.patience):
        return f"no better validation loss for {phase.patience} epochs"
    if state.step < plan.total:
        return None
    if clock.budget is None or plan.total == clock.most:
        return "all steps done"
    return "time budget used" if last else "share of the time budget used"


def validate(context: TrainContext, inputs: PhaseInputs) -> dict[str, float]:
    """Loss and accuracy on the validation part, in the precision of training."""
    assert context.validation is not None
    assert inputs.probabilities is not None
    labels, probabilities = context.validation[1], inputs.probabilities()
    of_label = probabilities[np.arange(len(labels)), labels]
    return {
        "val_loss": round(float(-np.log(np.maximum(of_label, 1e-12)).mean()), 6),
        "val_accuracy": round(float((probabilities.argmax(1) == labels).mean()), 6),
    }


def check_finite(losses: list[Tensor], state: TrainState, rate: float) -> None:
    """Raises `TrainingError` at the first of the latest losses that is NaN or infinite."""
    finite = torch.stack(losses).isfinite().cpu()
    if finite.all():
        return
    step = state.step - len(losses) + int(finite.logical_not().nonzero()[0]) + 1
    cause = (
        f"the learning rate ({rate:.3g}) is likely too high; lower phases.{state.phase}.lr, "
        f"give it a warmup, or set phases.{state.phase}.clip = 1"
    )
    raise TrainingError(f"training: the loss is not finite at step {step}; {cause}")


@contextmanager
def interruptible() -> Generator[Callable[[], bool]]:
    """Within the block the first Ctrl-C only sets a flag, which the yielded function returns.

    A second one interrupts at once.
    """
    noted = False

    def note(number: int, frame: Any) -> None:
        nonlocal noted
        if noted:
            raise KeyboardInterrupt
        noted = True

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: noted
    finally:
        signal.signal(signal.SIGINT, before)
