"""One phase of training, read from top to bottom."""

import math
import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Optimizer

from clearsight.config.schema import PhaseConfig
from clearsight.errors import TrainingError
from clearsight.runtime.device import autocast
from clearsight.runtime.seeds import seeded
from clearsight.training.clock import Clock
from clearsight.training.curriculum import Curriculum
from clearsight.training.feeds import Feed
from clearsight.training.freezing import set_modes
from clearsight.training.job import Job
from clearsight.training.optimizers import set_rate
from clearsight.training.phases import Position
from clearsight.training.schedules import Plan, factor, out_of_patience, plateau_factor


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, after the step at work was finished."""


def run_phase(  # noqa: PLR0915 - one piece on purpose: the order of its lines is the algorithm
    job: Job,
    phase: PhaseConfig,
    plan: Plan,
    feed: Feed,
    curriculum: Curriculum,
    *,
    budget: float | None,
    position: Position,
    optimizers: list[Optimizer],
    keep: Callable[[Position, bool], None],
) -> str:
    """Trains until the plan's end, the budget's, or patience's; returns which it was.

    `keep(position, is_best)` is called after each epoch, to keep what was reached.
    """
    model, training = job.model, job.training
    started = time.perf_counter() - position.seconds
    clock = Clock(budget, len(job.batches), position, most=plan.total if feed.cached else None)
    with interruptible() as interrupted, ExitStack() as tasks:
        while (reason := end_reason(phase, plan, position, budget)) is None:
            epoch_start, first_step = time.perf_counter(), position.step
            seen, losses, right = 0, [], torch.zeros((), dtype=torch.int64, device=job.device)
            scale = plateau_factor(position.validation_losses(), phase.plateau)
            set_modes(model, phase)
            tasks.enter_context(seeded(training.seed, "dropout", position.epoch))
            curriculum.progress = plan.progress(position.step)
            order = job.batches.indices(position.epoch, curriculum.kept())
            clock.steps_per_epoch = len(order)
            steps = min(len(order), plan.total - position.step)
            bar = tasks.enter_context(job.progress.task(f"epoch {position.epoch + 1}", steps))
            for batch in feed.epoch(position.epoch, order):
                share = factor(phase, curriculum.progress) * scale
                floor = phase.plateau_floor if scale < 1 else 0.0
                rate = set_rate(optimizers, phase.lr, share, floor)
                with autocast(job.device, job.precision):
                    logits = feed.forward(batch.inputs).float()
                    loss = F.cross_entropy(
                        logits, batch.targets, job.class_weights,
                        label_smoothing=training.label_smoothing,
                    )  # fmt: skip
                for optimizer in optimizers:
                    optimizer.zero_grad(set_to_none=True)
                loss.backward()
                if phase.clip:
                    trained = [p for p in model.parameters() if p.requires_grad]
                    torch.nn.utils.clip_grad_norm_(trained, phase.clip)
                for optimizer in optimizers:
                    optimizer.step()
                position.step += 1
                job.averaging.update(position.step)

                curriculum.note(
                    batch.indices, logits.detach(), batch.targets, training.label_smoothing
                )
                seen += len(batch.labels)
                losses.append(loss.detach())
                right += (logits.detach().argmax(1) == batch.labels).sum()
                # To look at a loss on a GPU is to wait for it: there, at the end of the epoch.
                if job.device.type == "cpu":
                    check_finite(losses[-1:], position, rate)
                position.seconds = time.perf_counter() - started
                plan = clock.refit(plan, position, curriculum.ahead)
                shrunk = curriculum.shrinks
                curriculum.progress = plan.progress(position.step)
                if curriculum.shrinks != shrunk:
                    clock.restart(position)
                bar(1)
                if interrupted() or position.step >= plan.total:
                    break
            if interrupted():
                raise Interrupted
            check_finite(losses, position, rate)
            tasks.close()
            position.epoch += 1
            trained_seconds = time.perf_counter() - epoch_start

            row: dict[str, Any] = {
                "phase": position.phase + 1,
                "epoch": position.epoch,
                "step": position.step,
                "lr": float(f"{rate:.6g}"),
                "train_loss": round(torch.stack(losses).mean().item(), 6),
                "train_accuracy": round(right.item() / seen, 6),
            }
            if job.validation is not None:
                with job.averaging.applied():
                    row |= validate(job, feed)
            position.history.append(row)
            clock.validation_seconds = time.perf_counter() - epoch_start - trained_seconds
            position.seconds = time.perf_counter() - started
            clock.restart(position)
            position.plan = plan.knots
            timing = {
                "phase": position.phase + 1,
                "epoch": position.epoch,
                "seconds": round(time.perf_counter() - epoch_start, 3),
                "images_per_second": round(seen / trained_seconds, 1),
                "elapsed": round(position.seconds, 3),
            }
            position.timing.append(timing)
            is_best = job.validation is not None and better(row, position.best)
            if is_best:
                position.best = row
            keep(position, is_best)
            done = position.step - first_step
            job.progress.epoch(
                {
                    **row,
                    "phase": phase.name,
                    "epochs": position.epoch + math.ceil((plan.total - position.step) / done),
                    "images_per_second": timing["images_per_second"],
                    "seconds_left": (plan.total - position.step) * timing["seconds"] / done,
                }
            )
        if interrupted():
            raise Interrupted
    return reason


def end_reason(
    phase: PhaseConfig, plan: Plan, position: Position, budget: float | None
) -> str | None:
    """Why the phase is at its end, for the table of phases; None while it is not."""
    if out_of_patience(position.validation_losses(), phase.patience):
        return f"no better validation loss for {phase.patience} epochs"
    if position.step < plan.total:
        return None
    return "all steps done" if budget is None else "time budget used"


def validate(job: Job, feed: Feed) -> dict[str, float]:
    """Loss and accuracy on the validation part, in the precision of training."""
    assert job.validation is not None
    assert feed.probabilities is not None
    labels, probabilities = job.validation[1], feed.probabilities()
    of_label = probabilities[np.arange(len(labels)), labels]
    return {
        "val_loss": round(float(-np.log(np.maximum(of_label, 1e-12)).mean()), 6),
        "val_accuracy": round(float((probabilities.argmax(1) == labels).mean()), 6),
    }


def better(row: dict[str, Any], best: dict[str, Any] | None) -> bool:
    """Whether an epoch's validation accuracy, then loss, beats the best so far."""
    if best is None:
        return True
    return (row["val_accuracy"], -row["val_loss"]) > (best["val_accuracy"], -best["val_loss"])


def check_finite(losses: list[Tensor], position: Position, rate: float) -> None:
    """Raises `TrainingError` at the first of the latest losses that is NaN or infinite."""
    finite = torch.stack(losses).isfinite().cpu()
    if finite.all():
        return
    step = position.step - len(losses) + int(finite.logical_not().nonzero()[0]) + 1
    cause = (
        f"the learning rate ({rate:.3g}) is likely too high; lower phases.{position.phase}.lr, "
        f"give it a warmup, or set phases.{position.phase}.clip = 1"
    )
    raise TrainingError(f"training: the loss is not finite at step {step}; {cause}")


@contextmanager
def interruptible() -> Generator[Callable[[], bool]]:
    """Within the block the first Ctrl-C is only noted; the yielded function tells of it.

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
