"""One phase of training, read from top to bottom."""

import math
import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Optimizer

from clearsight.config import AugmentConfig, PhaseConfig, TrainingConfig
from clearsight.data.augment import augment
from clearsight.data.batches import Batches
from clearsight.errors import TrainingError
from clearsight.evaluation.metrics import predict_probabilities
from clearsight.models.classifier import Classifier
from clearsight.progress import Progress
from clearsight.runtime import Precision, autocast, generator
from clearsight.training.averaging import Averaging
from clearsight.training.optimizers import set_rate
from clearsight.training.phases import Position
from clearsight.training.schedules import Plan, factor, out_of_patience, plateau_factor

FINITE_CHECK_STEPS = 50  # looking at a loss on a GPU waits for it, so it is done now and then
REFIT_SHARE = 0.05  # a budgeted plan is refitted each time this share of the budget has passed
REFIT_STRETCH = 4  # by the speed since this many refits ago
REFIT_STRETCH = 4  # by the speed over this many of the latest refits


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, after the step at work was finished."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What stays the same through all phases of a run."""

    model: Classifier
    training: TrainingConfig
    augment: AugmentConfig
    batches: Batches
    validation: tuple[np.ndarray, np.ndarray] | None  # uint8 [N, H, W, 3], int64 [N]
    class_weights: Tensor | None  # float32 [K]
    averaging: Averaging
    device: torch.device
    precision: Precision
    progress: Progress


def run_phase(  # noqa: PLR0915 - one piece on purpose: the order of its lines is the algorithm
    job: Job,
    phase: PhaseConfig,
    plan: Plan,
    *,
    budget: float | None,
    position: Position,
    optimizers: list[Optimizer],
    keep: Callable[[Position, bool], None],
) -> str:
    """Trains until the plan's end, the budget's, or patience's; returns which it was.

    `keep(position, is_best)` is called after each epoch, to keep what was reached.
    """
    model, training, batches = job.model, job.training, job.batches
    classes = len(model.classes)
    started = time.perf_counter() - position.seconds
    clock = Clock(budget, steps_per_epoch=len(batches))
    with interruptible() as interrupted, ExitStack() as tasks:
        while position.step < plan.total:
            epoch_start, first_step = time.perf_counter(), position.step
            seen, losses, right = 0, [], torch.zeros((), dtype=torch.int64, device=job.device)
            scale = plateau_factor(position.validation_losses(), phase.plateau)
            draw = generator(training.seed, "augment", position.epoch, device=job.device)
            model.train()
            steps = min(len(batches), plan.total - position.step)
            bar = tasks.enter_context(job.progress.task(f"epoch {position.epoch + 1}", steps))
            for batch in batches.epoch(position.epoch):
                share = factor(phase, plan.progress(position.step)) * scale
                rate = set_rate(optimizers, share, phase.plateau_floor if scale < 1 else 0.0)
                images, targets = augment(
                    batch.images, batch.labels, config=job.augment, epoch=position.epoch,
                    indices=batch.indices, generator=draw, classes=classes,
                )  # fmt: skip
                with autocast(job.device, job.precision):
                    logits = model(images).float()
                    loss = F.cross_entropy(
                        logits, targets, job.class_weights,
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

                seen += len(batch.labels)
                losses.append(loss.detach())
                right += (logits.detach().argmax(1) == batch.labels).sum()
                if position.step % FINITE_CHECK_STEPS == 0 or job.device.type == "cpu":
                    check_finite(losses, position, rate)
                position.seconds = time.perf_counter() - started
                plan = clock.refit(plan, position)
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
                    row |= validate(job)
            position.history.append(row)
            clock.validation_seconds = time.perf_counter() - epoch_start - trained_seconds
            position.seconds = time.perf_counter() - started
            plan = clock.refit(plan, position, epoch_end=True)
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
            if out_of_patience(position.validation_losses(), phase.patience):
                return f"no better validation loss for {phase.patience} epochs"
    return "all steps done" if budget is None else "time budget used"


class Clock:
    """Fits a plan's total to a time budget from the speed measured so far; without one, never."""

    def __init__(self, budget: float | None, steps_per_epoch: int) -> None:
        self.budget = budget
        self.steps_per_epoch = steps_per_epoch
        self.validation_seconds = 0.0
        self.next_refit = 0.0
        self.marks: list[tuple[int, float]] = [(0, 0.0)]

    def refit(self, plan: Plan, position: Position, *, epoch_end: bool = False) -> Plan:
        """The plan that ends with the budget, when a refit is due; else the plan as it is.

        Due after the first steps (1, 2, 4 … in number), then each time a share of the budget has
        passed. The speed is that of the latest stretch, for a shared machine's varies.
        """
        step, seconds = position.step, position.seconds
        if epoch_end:
            # The stretch since the last mark contains a validation: start a new one.
            self.marks = [(step, seconds)]
            return plan
        early = step & (step - 1) == 0
        if self.budget is None or not (early or seconds >= self.next_refit):
            return plan
        self.next_refit = seconds + REFIT_SHARE * self.budget
        since_step, since_seconds = self.marks[-REFIT_STRETCH:][0]
        self.marks.append((step, seconds))
        per_step = (seconds - since_seconds) / (step - since_step)
        # Each epoch costs a validation too, and so does the last, unfinished one.
        per_step += self.validation_seconds / self.steps_per_epoch
        left = self.budget - seconds - self.validation_seconds
        return plan.refit(step, step + max(1, math.floor(left / per_step)))


def validate(job: Job) -> dict[str, float]:
    """Loss and accuracy on the validation part, in the precision of training."""
    assert job.validation is not None
    images, labels = job.validation
    probabilities = predict_probabilities(
        job.model, images, device=job.device, precision=job.precision
    )
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
    """Raises `TrainingError` at the first loss of the epoch that is NaN or infinite."""
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
