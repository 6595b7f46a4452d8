"""Training a run: all phases, from a split of images to checkpoints in the run folder."""

import hashlib
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer

from clearsight.config.recipes import to_table, to_toml
from clearsight.config.schema import Config
from clearsight.data.batches import Batches, channel_statistics
from clearsight.data.images import ImageSet
from clearsight.data.splits import Split
from clearsight.files import write_csv, write_text
from clearsight.models.classifier import Classifier
from clearsight.models.factory import start
from clearsight.progress import SILENT, Progress
from clearsight.runs import Run
from clearsight.runtime.device import pick_device, pick_precision, tune_allocator
from clearsight.runtime.seeds import seeded
from clearsight.training import checkpoint
from clearsight.training.averaging import Averaging
from clearsight.training.checkpoint import TRAIN_STATE
from clearsight.training.clock import Clock
from clearsight.training.context import TrainContext
from clearsight.training.freezing import freeze, selected
from clearsight.training.inputs import phase_inputs
from clearsight.training.loop import run_phase
from clearsight.training.margins import Margins
from clearsight.training.optimizers import build_optimizers
from clearsight.training.phases import (
    check_phases,
    closing_line,
    first_plan,
    phase_budget,
    phase_row,
    planned_epochs,
    resolved,
    unused_budget,
)
from clearsight.training.schedules import Plan
from clearsight.training.selective_backprop import SelectiveBackprop
from clearsight.training.state import TrainState

PREPARE_IMAGES = 5000  # enough for a backbone that initialises itself from data


def train_model(
    run: Run,
    config: Config,
    images: ImageSet,
    split: Split,
    *,
    model: Classifier | None = None,
    resume: bool = False,
    progress: Progress = SILENT,
) -> list[dict[str, Any]]:
    """Trains the model of `config` on `split`; returns the rows of the table of phases.

    `model` is what `new_classifier` gives, where it was made already. With `resume` training
    continues after the last epoch that the run folder keeps.
    Leaves checkpoints, `history.csv` and `timing.csv` in the run folder, whole at the end of every
    epoch, and in `recipe.toml` the configuration that repeats the run exactly. Raises `ConfigError`
    before any work, and `TrainingError`.
    """
    check_phases(config, len(split.validation))
    tune_allocator()
    device = pick_device(config.training.device)
    state = TrainState()
    if resumed := resume and run.last.is_dir():
        metadata = checkpoint.load_metadata(run.last)
        state = TrainState.from_dict(metadata[TRAIN_STATE])
        if state.phase >= len(config.phases):
            return _leave_records(run, config, state)
        model = checkpoint.load_architecture(run.last)
    model = model or new_classifier(config, images, split)
    model = model.to(device).to(memory_format=torch.channels_last)
    context = _context(config, images, split, model, progress)
    if resumed:
        checkpoint.load_margins(run.last, context.margins.state())
    metadata = model.describe() | {
        "data": {"size": images.size, "fit": images.fit},
        "recipe": to_table(config),
    }
    # Looked up for all phases now: a wrong name in the last must not cost the work of the first.
    trainable = [
        selected(model, phase.trainable, f"phases.{number}.trainable")
        for number, phase in enumerate(config.phases)
    ]
    allowed = {name for name, p in model.named_parameters() if p.requires_grad}
    with ExitStack() as bars:
        tick = None
        if (budget := config.training.budget) is not None:
            bar = _bar(progress, "training", budget, lambda: state.run_seconds, unit="s")
            tick = bars.enter_context(bar)
        while state.phase < len(config.phases):
            freeze(model, trainable[state.phase], allowed)
            _train_phase(run, context, state, metadata, tick)
    checkpoint.save_weights(
        run.last, model, context.averaging, _with_state(metadata, state), context.margins.state()
    )
    if unused := unused_budget(config, state):
        progress.say(unused)
    return _leave_records(run, config, state)


def _leave_records(run: Run, config: Config, state: TrainState) -> list[dict[str, Any]]:
    """Writes what a trained run has besides its checkpoints; returns the table of phases."""
    write_csv(run.history, state.history)
    write_csv(run.timing, state.timing)
    write_text(run.recipe, to_toml(resolved(config, state)))
    return state.phases


def new_classifier(config: Config, images: ImageSet, split: Split) -> Classifier:
    """The model of `config` as training starts: pretrained, or with the weights the seed gives."""
    with seeded(config.training.seed, "weights"):
        model = start(config.model, images.classes, lambda: channel_statistics(images, split.train))
    if model.origin is None:  # trained weights are not to be overwritten
        model.prepare(torch.from_numpy(images.images[split.train[:PREPARE_IMAGES]]))
    return model


def _train_phase(
    run: Run,
    context: TrainContext,
    state: TrainState,
    metadata: Mapping[str, Any],
    tick: Callable[[], None] | None,
) -> None:
    """The current phase, whose parameters are frozen already, from inputs to its closed row.

    `tick` moves the bar of a budgeted run; without, the phase has a bar of its own.
    """
    config, model = context.config, context.model
    phase, last = config.phases[state.phase], state.phase + 1 == len(config.phases)
    steps_per_epoch = len(context.batches)
    optimizers = build_optimizers(model, phase)
    selection = SelectiveBackprop(phase, len(context.batches.images), context.device)
    plan = planned = first_plan(phase, steps_per_epoch)
    epochs = planned_epochs(state, planned, steps_per_epoch, phase.selective_backprop)
    if state.plan:  # the phase has begun: it is resumed
        selection_state = selection.state()
        checkpoint.load_state(run.last, model, context.averaging, optimizers, selection_state)
        plan = Plan(state.plan)

    started = time.perf_counter()
    inputs = phase_inputs(context, phase, epochs)
    state.seconds += time.perf_counter() - started
    # On cached features a phase takes no more than its epochs, for what it leaves of the budget is
    # worth more to the phases after it. The last one takes all, if it has inputs for more epochs.
    bounded = inputs.cached and not (last and inputs.any_epoch)
    clock = Clock(phase_budget(config, state), state, planned.total if bounded else None)
    keep = partial(_keep_epoch, run, context, metadata, optimizers, selection)
    with ExitStack() as bars:
        if tick is None:
            name = f"phase {phase.name}"
            bar = _bar(context.progress, name, plan.total, lambda: state.step)
            tick = bars.enter_context(bar)
        reason = run_phase(
            context, state, plan, inputs, selection,
            optimizers=optimizers, clock=clock, tick=tick, keep=keep,
        )  # fmt: skip
    del inputs  # its features are not to lie in memory beside the next phase's
    context.averaging.settle()
    if phase.patience and state.best is not None:
        checkpoint.load_weights(run.best, model)
    context.averaging.restart()
    row = phase_row(phase, state, model, reason)
    context.progress.say(closing_line(phase, row, state.best))
    state.close_phase(row)


def _keep_epoch(
    run: Run,
    context: TrainContext,
    metadata: Mapping[str, Any],
    optimizers: list[Optimizer],
    selection: SelectiveBackprop,
    state: TrainState,
    is_best: bool,
) -> None:
    """Writes what an epoch leaves in the run folder."""
    write_csv(run.history, state.history)
    write_csv(run.timing, state.timing)
    model, averaging = context.model, context.averaging
    if is_best:
        checkpoint.save_weights(run.best, model, averaging, {**metadata, **state.history[-1]})
    everything = _with_state(metadata, state)
    checkpoint.save_state(
        run.last, model, averaging, optimizers, selection.state(), everything,
        context.margins.state(),
    )  # fmt: skip


def _with_state(metadata: Mapping[str, Any], state: TrainState) -> dict[str, Any]:
    return {**metadata, **state.history[-1], TRAIN_STATE: state.to_dict()}


@contextmanager
def _bar(
    progress: Progress, name: str, total: float, value: Callable[[], float], unit: str = ""
) -> Generator[Callable[[], None]]:
    """A task of `progress`; calling what it yields brings it to `value()`."""
    with progress.task(name, total, unit=unit) as advance:
        shown = 0.0

        def tick() -> None:
            nonlocal shown
            if value() != shown:
                advance(value() - shown)
                shown = value()

        tick()
        yield tick


def _context(
    config: Config, images: ImageSet, split: Split, model: Classifier, progress: Progress
) -> TrainContext:
    device = next(model.parameters()).device
    return TrainContext(
        config=config,
        model=model,
        batches=Batches(
            images,
            split.train,
            batch=config.training.batch,
            seed=config.training.seed,
            device=device,
            balanced=config.data.balance == "sampling",
        ),
        validation=_part(images, split.validation),
        ids={
            "training": part_digest(images, split.train),
            "validation": part_digest(images, split.validation),
        },
        class_weights=(
            _class_weights(images, split, device) if config.data.balance == "loss" else None
        ),
        averaging=Averaging(model, config.training),
        margins=Margins(len(split.train), device),
        device=device,
        precision=pick_precision(config.training.precision, device),
        progress=progress,
    )


def _part(images: ImageSet, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    return (images.images[indices], images.labels[indices]) if len(indices) else None


def part_digest(images: ImageSet, indices: np.ndarray) -> str:
    """A hash of a part's pixels (their ids say of which originals), labels, weights and order."""
    digest = hashlib.sha256(f"{images.size} {images.fit} ".encode())
    digest.update(images.ids[indices].tobytes())
    digest.update(images.labels[indices].tobytes())
    if images.weights is not None:
        digest.update(images.weights[indices].tobytes())
    return digest.hexdigest()


def _class_weights(images: ImageSet, split: Split, device: torch.device) -> torch.Tensor:
    """float32 [K]: inverse frequencies in the training part, of mean 1 over its images."""
    counts = np.bincount(images.labels[split.train], minlength=len(images.classes))
    weights = len(split.train) / (len(counts) * np.maximum(counts, 1))
    return torch.tensor(weights, dtype=torch.float32, device=device)
