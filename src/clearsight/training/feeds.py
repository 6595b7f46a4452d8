"""What a phase's steps work on: images augmented anew, fixed views of them, or cached features."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clearsight.config.schema import AugmentConfig, PhaseConfig
from clearsight.data.augment import augment, shrunk_lengths
from clearsight.data.batches import Batches
from clearsight.evaluation.metrics import predict_probabilities
from clearsight.models.compiling import compiled
from clearsight.models.stages import can_cut, run_rest, stages
from clearsight.runtime.seeds import generator
from clearsight.training.curriculum import Curriculum
from clearsight.training.features import Chunk, Features, Frozen, View, compute_features
from clearsight.training.freezing import frozen_depth
from clearsight.training.job import Job

CHUNK = 128  # images the frozen stages see at a time


@dataclass(frozen=True)
class Example:
    """One step's examples.

    - `inputs`: what `Feed.forward` takes; uint8 images [N, H, W, 3], or features
    - `targets`: int64 [N], or float32 [N, K] under Mixup or CutMix
    - `labels`: int64 [N]
    - `indices`: int64 [N], places in the training part
    """

    inputs: Tensor
    targets: Tensor
    labels: Tensor
    indices: Tensor


@dataclass(frozen=True, kw_only=True)
class Feed:
    """Where a phase gets its examples, and what is left to compute of the model.

    - `epoch`: number of an epoch in the run, from 0, and the places of its batches → its
      examples, step by step
    - `forward`: inputs → logits [N, K]
    - `probabilities`: gives float32 [N, K] of the validation part; None where there is none
    - `cached`: whether the frozen stages are computed already
    """

    epoch: Callable[[int, list[Tensor]], Iterator[Example]]
    forward: Callable[[Tensor], Tensor]
    probabilities: Callable[[], np.ndarray] | None
    cached: bool


def feed_for(job: Job, phase: PhaseConfig, epochs: range, curriculum: Curriculum) -> Feed:
    """The feed of a phase whose parameters are frozen already; `epochs` are those it may take.

    `curriculum` says at every step whether its images are shrunk.

    Where the first stages are frozen it goes over `cache.views` fixed views of the images, and
    over what those stages make of them if that can be cached. The result is the same either way.
    """
    depth = 0 if phase.trains == "all" else frozen_depth(job.model)
    if not depth or not job.cache.views:
        less = job.batches.shrunk(phase.shrink), shrunk_lengths(job.augment, phase.shrink)
        return _feed(job, partial(_fresh, job, *less, curriculum))
    # Unaugmented, all views would be the same one.
    views = job.cache.views if job.augment != AugmentConfig() else 1
    features = None
    if job.cache.store == "auto":
        features = _features(job, depth, sorted({epoch % views for epoch in epochs}))
    if features is None:
        return _feed(job, partial(_fixed, job, lru_cache(1)(partial(_pixels, job)), views))
    training, validation = features
    rest = job.model.head
    if depth < len(stages(job.model.backbone)):
        rest = partial(run_rest, job.model, depth=depth)
    probabilities = None
    if validation is not None:
        probabilities = partial(
            predict_probabilities, FromFeatures(job.model, rest, validation, job.device),
            np.arange(len(validation.rows)), batch=CHUNK, device=job.device,
            precision=job.precision,
        )  # fmt: skip
    return Feed(
        epoch=partial(_cached, job, training, views),
        forward=rest,
        probabilities=probabilities,
        cached=True,
    )


class FromFeatures(nn.Module):
    """A model whose images are known: positions among them, int64 [N] → logits [N, K]."""

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

    def forward(self, positions: Tensor) -> Tensor:
        return self.rest(self.features.take(positions, self.device))


def _feed(job: Job, epoch: Callable[[int, list[Tensor]], Iterator[Example]]) -> Feed:
    """A feed of images, for the whole model."""
    probabilities = None
    if job.validation is not None:
        probabilities = partial(
            predict_probabilities, job.model, job.validation[0],
            device=job.device, precision=job.precision,
        )  # fmt: skip
    forward = job.model
    if job.training.compile:
        forward = compiled(job.model, job.device, job.precision)
    return Feed(epoch=epoch, forward=forward, probabilities=probabilities, cached=False)


def _fresh(
    job: Job,
    shrunk: Batches,
    shrunk_augment: AugmentConfig,
    curriculum: Curriculum,
    epoch: int,
    order: list[Tensor],
) -> Iterator[Example]:
    draw = generator(job.training.seed, "augment", epoch, device=job.device)
    for places in order:
        small = curriculum.shrinks
        batch = (shrunk if small else job.batches).take(places)
        config = shrunk_augment if small else job.augment
        images, targets = augment(
            batch.images, batch.labels, config=config, epoch=curriculum.turn(epoch, places),
            indices=places, generator=draw, classes=len(job.model.classes),
        )  # fmt: skip
        yield Example(images, targets, batch.labels, places)


def _fixed(
    job: Job, pixels: Callable[[int], Chunk], views: int, epoch: int, order: list[Tensor]
) -> Iterator[Example]:
    images, targets = pixels(epoch % views)
    for places in order:
        labels = job.batches.labels.index_select(0, places)
        inputs = images.index_select(0, places)
        yield Example(inputs, targets.index_select(0, places), labels, places)


def _cached(
    job: Job, features: dict[int, Features], views: int, epoch: int, order: list[Tensor]
) -> Iterator[Example]:
    view = features[epoch % views]
    for places in order:
        labels = job.batches.labels.index_select(0, places)
        targets = labels
        if view.targets is not None:
            targets = view.targets.index_select(0, places.to(view.targets.device)).to(job.device)
        yield Example(view.take(places, job.device), targets, labels, places)


def _features(
    job: Job, depth: int, views: list[int]
) -> tuple[dict[int, Features], Features | None] | None:
    """Features of the training part's views, by number, and of the validation part."""
    model = job.model.eval()
    if depth < len(stages(model.backbone)) and not can_cut(model, job.batches.images[:1]):
        job.progress.say(
            f"features: {model.name} can't be cut between its stages; the frozen ones are "
            "computed anew in every epoch"
        )
        return None
    frozen = Frozen(model, depth, job.device, job.precision)
    wanted = [_training_view(job, view) for view in views]
    if job.validation is not None:
        wanted.append(_validation_view(job, job.validation[0]))
    found = compute_features(frozen, wanted, job.cache, job.progress)
    if found is None:
        return None
    training = dict(zip(views, found, strict=False))
    return training, found[-1] if job.validation is not None else None


def _training_view(job: Job, view: int) -> View:
    about: dict[str, Any] = {"ids": job.ids["training"]}
    if job.augment != AugmentConfig():
        about |= {"augment": asdict(job.augment), "seed": job.training.seed, "view": view}
    return View(
        name=f"{len(job.batches.images):,} training images, view {view + 1}",
        count=len(job.batches.images),
        about=about,
        chunks=partial(_chunks, job, view),
    )


def _validation_view(job: Job, images: np.ndarray) -> View:
    def chunks() -> Iterator[Chunk]:
        for start in range(0, len(images), CHUNK):
            # A copy, for a memory-mapped array is read-only and tensors are not.
            pixels = torch.from_numpy(np.array(images[start : start + CHUNK])).to(job.device)
            yield pixels, torch.zeros(len(pixels), dtype=torch.int64)

    return View(
        name=f"{len(images):,} validation images",
        count=len(images),
        about={"ids": job.ids["validation"]},
        chunks=chunks,
    )


def _chunks(job: Job, view: int) -> Iterator[Chunk]:
    """A view of the training part: augmented by draws of its own, in the order of the part."""
    draw = generator(job.training.seed, "view", view, device=job.device)
    for places in torch.arange(len(job.batches.images), device=job.device).split(CHUNK):
        yield augment(
            job.batches.images.index_select(0, places), job.batches.labels.index_select(0, places),
            config=job.augment, epoch=view, indices=places, generator=draw,
            classes=len(job.model.classes),
        )  # fmt: skip


def _pixels(job: Job, view: int) -> Chunk:
    """All of a view's images and targets."""
    if job.augment == AugmentConfig():
        return job.batches.images, job.batches.labels
    images, targets = zip(*_chunks(job, view), strict=True)
    return torch.cat(images), torch.cat(targets)
