"""What the steps of a phase compute on: newly augmented images, fixed views, or cached features."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clearsight.config.schema import AugmentConfig, PhaseConfig
from clearsight.data.augment import augment, resized_lengths
from clearsight.evaluation.metrics import predict_probabilities
from clearsight.models.compiling import compiled
from clearsight.models.stages import can_cut, run_rest, stages
from clearsight.runtime.seeds import generator
from clearsight.training.context import TrainContext
from clearsight.training.features import Chunk, Features, Frozen, View, compute_features
from clearsight.training.freezing import frozen_depth

CHUNK = 128  # images the frozen stages see at a time


@dataclass(frozen=True, kw_only=True)
class StepImages:
    """Which images a step uses, and how they are to be shown.

    - `indices`: int64 [N], their indices in the training part
    - `epoch`: number of the epoch in the run, from 0
    - `times_shown`: how often they were shown before, an int or int64 [N]
    - `small`: whether at the reduced size of progressive resizing
    - `draw`: the epoch's generator for augmentation
    """

    indices: Tensor
    epoch: int
    times_shown: int | Tensor
    small: bool
    draw: torch.Generator


@dataclass(frozen=True)
class TrainBatch:
    """One step's batch.

    - `inputs`: what `PhaseInputs.forward` takes; uint8 images [N, H, W, 3], or features
    - `targets`: int64 [N], or float32 [N, K] under Mixup or CutMix
    - `labels`: int64 [N]
    - `weights`: float32 [N], how much each image counts in the loss; None: all alike
    """

    inputs: Tensor
    targets: Tensor
    labels: Tensor
    weights: Tensor | None


@dataclass(frozen=True, kw_only=True)
class PhaseInputs:
    """Where a phase gets its batches, and what is left to compute of the model.

    - `batch`: the batch of a step; nothing but its argument decides what is in it
    - `forward`: a batch's inputs → logits [N, K]
    - `probabilities`: gives float32 [N, K] of the validation part; None where there is none
    - `cached`: whether the features of the frozen stages are cached
    - `any_epoch`: whether there are inputs for more epochs than were planned
    """

    batch: Callable[[StepImages], TrainBatch]
    forward: Callable[[Tensor], Tensor]
    probabilities: Callable[[], np.ndarray] | None
    cached: bool
    any_epoch: bool


def phase_inputs(context: TrainContext, phase: PhaseConfig, epochs: range) -> PhaseInputs:
    """The inputs of a phase whose parameters are frozen already; `epochs` are those it may take.

    Where the first stages are frozen, these are `cache.views` fixed views of the images, or their
    features if those can be cached. The result is the same either way.
    """
    cache, augmented = context.config.cache, context.config.augment != AugmentConfig()
    depth = 0 if phase.trainable == "all" else frozen_depth(context.model)
    if not depth or not cache.views:
        return _of_images(context, _fresh(context, phase.progressive_resizing))
    views = cache.views if augmented else 1  # unaugmented, all views would be the same
    wanted = sorted({epoch % views for epoch in epochs})
    found = _features(context, depth, wanted) if cache.store == "auto" else None
    if found is None:
        pixels = lru_cache(1)(partial(_pixels, context))
        return _of_images(context, partial(_fixed, context, pixels, views))
    training, validation = found
    rest = context.model.head
    if depth < len(stages(context.model.backbone)):
        rest = partial(run_rest, context.model, depth=depth)
    probabilities = None
    if validation is not None:
        model = FromFeatures(context.model, rest, validation, context.device)
        indices = np.arange(len(validation.rows))
        probabilities = partial(_predict, context, model, indices, batch=CHUNK)
    return PhaseInputs(
        batch=partial(_cached, context, training, views),
        forward=rest,
        probabilities=probabilities,
        cached=True,
        any_epoch=len(wanted) == views,
    )


class FromFeatures(nn.Module):
    """A model of images whose features are known: indices among them, int64 [N] → logits [N, K]."""

    def __init__(
        self,
        model: nn.Module,
        rest: Callable[[Tensor], Tensor],
        features: Features,
        device: torch.device,
    ) -> None:
        super().__init__()
        self.model = model  # registered, so that this module's mode is the model's
        self.rest = rest
        self.features = features
        self.device = device

    def forward(self, indices: Tensor) -> Tensor:
        return self.rest(self.features.take(indices, self.device))


def _of_images(context: TrainContext, batch: Callable[[StepImages], TrainBatch]) -> PhaseInputs:
    """Batches of images, for the whole model."""
    probabilities = None
    if context.validation is not None:
        probabilities = partial(_predict, context, context.model, context.validation[0])
    forward = context.model
    if context.config.training.compile:
        forward = compiled(context.model, context.device, context.precision)
    return PhaseInputs(
        batch=batch, forward=forward, probabilities=probabilities, cached=False, any_epoch=True
    )


def _predict(
    context: TrainContext, model: nn.Module, inputs: np.ndarray, batch: int | None = None
) -> np.ndarray:
    """Probabilities of the validation part, in the precision of training."""
    return predict_probabilities(
        model, inputs, batch=batch, device=context.device, precision=context.precision,
        progress=context.progress, name="validation",
    )  # fmt: skip


def _fresh(context: TrainContext, factor: float) -> Callable[[StepImages], TrainBatch]:
    """Gives images augmented anew, where they are to be small with sides `factor` of their own."""
    smaller = context.batches.resized(factor)
    shorter = resized_lengths(context.config.augment, factor)

    def batch(step: StepImages) -> TrainBatch:
        source = smaller if step.small else context.batches
        images, labels = source.take(step.indices)
        inputs, targets = augment(
            images, labels, config=shorter if step.small else context.config.augment,
            epoch=step.times_shown, indices=step.indices, generator=step.draw,
            classes=len(context.model.classes), weights=_weights(context, step.indices),
        )  # fmt: skip
        return _batch(context, step, inputs, targets)

    return batch


def _fixed(
    context: TrainContext, pixels: Callable[[int], Chunk], views: int, step: StepImages
) -> TrainBatch:
    images, targets = pixels(step.epoch % views)
    return _batch(
        context,
        step,
        images.index_select(0, step.indices),
        targets.index_select(0, step.indices),
    )


def _cached(
    context: TrainContext, features: dict[int, Features], views: int, step: StepImages
) -> TrainBatch:
    view = features[step.epoch % views]
    targets = context.batches.labels.index_select(0, step.indices)
    if view.targets is not None:
        indices = step.indices.to(view.targets.device)
        targets = view.targets.index_select(0, indices).to(context.device)
    return _batch(context, step, view.take(step.indices, context.device), targets)


def _batch(context: TrainContext, step: StepImages, inputs: Tensor, targets: Tensor) -> TrainBatch:
    """The batch of a step; `targets` as `augment` gives them."""
    labels = context.batches.labels.index_select(0, step.indices)
    weights = _weights(context, step.indices)
    if weights is not None and targets.is_floating_point():
        weights = targets.sum(1)  # of the mixed images
        targets = targets / weights.clamp(min=torch.finfo(weights.dtype).tiny)[:, None]
    return TrainBatch(inputs, targets, labels, weights)


def _weights(context: TrainContext, indices: Tensor) -> Tensor | None:
    weights = context.batches.weights
    return None if weights is None else weights.index_select(0, indices)


def _features(
    context: TrainContext, depth: int, views: list[int]
) -> tuple[dict[int, Features], Features | None] | None:
    """Features of the training part's views, by number, and of the validation part."""
    model = context.model.eval()
    if depth < len(stages(model.backbone)) and not can_cut(model, context.batches.images[:1]):
        context.progress.say(
            f"features: {model.name} can't be cut between its stages, so the frozen stages are "
            "computed in every epoch"
        )
        return None
    frozen = Frozen(model, depth, context.device, context.precision)
    wanted = [_training_view(context, view) for view in views]
    if context.validation is not None:
        wanted.append(_validation_view(context, context.validation[0]))
    found = compute_features(frozen, wanted, context.config.cache, context.progress)
    if found is None:
        return None
    training = dict(zip(views, found, strict=False))
    return training, found[-1] if context.validation is not None else None


def _training_view(context: TrainContext, view: int) -> View:
    config = context.config
    metadata: dict[str, Any] = {"ids": context.ids["training"]}
    if config.augment != AugmentConfig():
        metadata |= {"augment": asdict(config.augment), "seed": config.training.seed, "view": view}
    return View(
        name=f"{len(context.batches.images):,} training images, view {view + 1}",
        count=len(context.batches.images),
        metadata=metadata,
        chunks=partial(_chunks, context, view),
    )


def _validation_view(context: TrainContext, images: np.ndarray) -> View:
    def chunks() -> Iterator[Chunk]:
        for start in range(0, len(images), CHUNK):
            # A copy, for a memory-mapped array is read-only and tensors are not.
            pixels = torch.from_numpy(np.array(images[start : start + CHUNK])).to(context.device)
            yield pixels, torch.zeros(len(pixels), dtype=torch.int64)

    return View(
        name=f"{len(images):,} validation images",
        count=len(images),
        metadata={"ids": context.ids["validation"]},
        chunks=chunks,
    )


def _chunks(context: TrainContext, view: int) -> Iterator[Chunk]:
    """A view of the training part: augmented by draws of its own, in the order of the part."""
    batches, config = context.batches, context.config
    draw = generator(config.training.seed, "view", view, device=context.device)
    for indices in torch.arange(len(batches.images), device=context.device).split(CHUNK):
        images, labels = batches.take(indices)
        yield augment(
            images, labels, config=config.augment, epoch=view, indices=indices, generator=draw,
            classes=len(context.model.classes), weights=_weights(context, indices),
        )  # fmt: skip


def _pixels(context: TrainContext, view: int) -> Chunk:
    """All of a view's images and targets."""
    if context.config.augment == AugmentConfig():
        return context.batches.images, context.batches.labels
    images, targets = zip(*_chunks(context, view), strict=True)
    return torch.cat(images), torch.cat(targets)
