"""Training a run: all phases, from a split of images to checkpoints in the run folder."""

import hashlib
import time
from typing import Any

import numpy as np
import torch

from clearsight.config.recipes import to_toml
from clearsight.config.schema import Config
from clearsight.data.batches import Batches, channel_statistics
from clearsight.data.images import ImageSet
from clearsight.data.splits import Split
from clearsight.errors import ConfigError
from clearsight.files import write_csv, write_text
from clearsight.models.classifier import Classifier
from clearsight.models.factory import rebuild, start
from clearsight.progress import SILENT, Progress
from clearsight.runs import Run
from clearsight.runtime.device import pick_device, pick_precision, tune_allocator
from clearsight.runtime.seeds import seeded
from clearsight.training import checkpoint
from clearsight.training.averaging import Averaging
from clearsight.training.curriculum import Curriculum
from clearsight.training.feeds import feed_for
from clearsight.training.freezing import freeze, selected
from clearsight.training.job import Job
from clearsight.training.loop import run_phase
from clearsight.training.optimizers import build_optimizers
from clearsight.training.phases import (
    Position,
    first_plan,
    phase_budget,
    planned_epochs,
    resolved,
)
from clearsight.training.schedules import Plan

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
    epoch, and in `recipe.toml` the configuration that repeats the run exactly. Raises
    `TrainingError`.
    """
    tune_allocator()
    device = pick_device(config.training.device)
    resuming = resume and run.last.is_dir()
    if resuming:
        model = rebuild(checkpoint.load_metadata(run.last))
    model = model or new_classifier(config, images, split)
    model = model.to(device).to(memory_format=torch.channels_last)
    by_loss = config.data.balance == "loss"
    job = Job(
        model=model,
        training=config.training,
        augment=config.augment,
        cache=config.cache,
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
            "training": _digest(images, split.train),
            "validation": _digest(images, split.validation),
        },
        class_weights=_class_weights(images, split, device) if by_loss else None,
        averaging=Averaging(model, config.training),
        device=device,
        precision=pick_precision(config.training.precision, device),
        progress=progress,
    )
    # Looked up for all phases now: a wrong name in the last must not cost the work of the first.
    trained = [
        selected(model, phase.trains, f"phases.{number}.trains")
        for number, phase in enumerate(config.phases)
    ]
    check_shrinking(config)
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    position = Position()
    about = model.describe() | {
        "data": {"size": images.size, "fit": images.fit},
    }
    if resuming:
        position = Position.from_dict(checkpoint.load_metadata(run.last)["position"])
        if position.phase >= len(config.phases):
            return position.phases

    def keep(position: Position, is_best: bool) -> None:
        write_csv(run.history, position.history)
        write_csv(run.timing, position.timing)
        if is_best:
            checkpoint.save_weights(run.best, model, job.averaging, about | position.history[-1])
        state = about | position.history[-1] | {"position": position.to_dict()}
        checkpoint.save_state(run.last, model, job.averaging, optimizers, curriculum.state(), state)

    while position.phase < len(config.phases):
        phase = config.phases[position.phase]
        freeze(model, trained[position.phase], trainable)
        optimizers = build_optimizers(model, phase)
        plan = first_plan(phase, len(job.batches))
        epochs = planned_epochs(position, plan, len(job.batches), phase.skip)
        curriculum = Curriculum(phase, len(job.batches.images), device)
        if resuming:
            checkpoint.load_state(run.last, model, job.averaging, optimizers, curriculum.state())
            plan = Plan(position.plan) if position.plan else plan
            resuming = False

        started = time.perf_counter()
        feed = feed_for(job, phase, epochs, curriculum)
        position.seconds += time.perf_counter() - started
        budget = phase_budget(config, position)
        reason = run_phase(
            job, phase, plan, feed, curriculum,
            budget=budget, position=position, optimizers=optimizers, keep=keep,
        )  # fmt: skip
        del feed  # its features are not to lie in memory beside the next phase's
        job.averaging.settle()
        if phase.patience and position.best is not None:
            checkpoint.load_weights(run.best, model)
        job.averaging.restart()
        position.close_phase(_phase_row(phase.name, position, model, reason))

    state = about | position.history[-1] | {"position": position.to_dict()}
    checkpoint.save_weights(run.last, model, job.averaging, state)
    write_text(run.recipe, to_toml(resolved(config, position)))
    return position.phases


def check_shrinking(config: Config) -> None:
    """Raises `ConfigError` where a phase would shrink images in front of frozen stages."""
    for number, phase in enumerate(config.phases):
        if phase.shrink < 1 and phase.trains != "all":
            raise ConfigError(
                f"phases.{number}.shrink: found {phase.shrink:g} in a phase that trains "
                f"{phase.trains}; what is frozen sees images of one size, so leave shrink out"
            )


def new_classifier(config: Config, images: ImageSet, split: Split) -> Classifier:
    """The model of `config` as training starts: pretrained, or with the weights the seed gives."""
    with seeded(config.training.seed, "weights"):
        model = start(config.model, images.classes, lambda: channel_statistics(images, split.train))
    model.prepare(torch.from_numpy(images.images[split.train[:PREPARE_IMAGES]]))
    return model


def _part(images: ImageSet, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    return (images.images[indices], images.labels[indices]) if len(indices) else None


def _digest(images: ImageSet, indices: np.ndarray) -> str:
    """A hash of a part's pixels (their ids say of which originals), labels and order."""
    digest = hashlib.sha256(f"{images.size} {images.fit} ".encode())
    digest.update(images.ids[indices].tobytes())
    digest.update(images.labels[indices].tobytes())
    return digest.hexdigest()


def _class_weights(images: ImageSet, split: Split, device: torch.device) -> torch.Tensor:
    """float32 [K]: inverse frequencies in the training part, of mean 1 over its images."""
    counts = np.bincount(images.labels[split.train], minlength=len(images.classes))
    weights = len(split.train) / (len(counts) * np.maximum(counts, 1))
    return torch.tensor(weights, dtype=torch.float32, device=device)


def _phase_row(name: str, position: Position, model: Classifier, reason: str) -> dict[str, Any]:
    """A row of the table of phases in `evaluation.json`."""
    rows = [row for row in position.history if row["phase"] == position.phase + 1]
    scored = [row for row in rows if "val_accuracy" in row]
    best = max(scored, key=lambda row: (row["val_accuracy"], -row["val_loss"]), default=None)
    sizes = {True: 0, False: 0}
    for parameter in model.parameters():
        sizes[parameter.requires_grad] += parameter.numel()
    return {
        "name": name,
        "epochs": len(rows),
        "best_epoch": best["epoch"] if best else None,
        "stop_reason": reason,
        "seconds": round(position.seconds, 1),
        "trainable": sizes[True],
        "frozen": sizes[False],
        "val_accuracy": best["val_accuracy"] if best else None,
    }
