"""What a network would cost on this machine, by input size, before anything is trained.

Nothing here is about accuracy: sizes of maps, speed, memory and time are facts of the architecture
and the machine, so random weights are enough.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from clearsight.data.images import ImageSet
from clearsight.models.classifier import Classifier
from clearsight.models.factory import build
from clearsight.models.preprocess import Preprocess
from clearsight.models.stages import can_cut, final_map, run_prefix, run_rest, stages
from clearsight.progress import SILENT, Progress
from clearsight.runtime.device import pick_device

SIZES = (32, 64, 96, 128, 160, 192, 224)
BATCH = 8  # images measured at once: few, for a large network on two cores is slow
TRAINED_BATCH = 32  # images for which the memory is stated
LEAST_SECONDS = 0.2  # of each measurement


@dataclass(frozen=True, kw_only=True)
class SizeCost:
    """What a network costs at one input size, `size` px.

    - `last_map`: height and width of the last stage's map, None where it gives none
    - `images_per_second`: forward only
    - `head_seconds`: to compute the features of all training images once, which is nearly all
      that training a head on them costs
    - `top1_seconds`, `top2_seconds`: for one epoch of the head and the last one or two stages on
      cached maps, filling the cache aside; None where the network can't be cut
    - `all_seconds`: for one epoch of everything
    - `memory`: bytes for training everything with Adam, 32 images at a time
    - `feature_bytes`: bytes of the features of all training images, float32
    """

    size: int
    last_map: tuple[int, int] | None
    images_per_second: float
    head_seconds: float
    top1_seconds: float | None
    top2_seconds: float | None
    all_seconds: float
    memory: int
    feature_bytes: int


def profile_network(
    name: str,
    images: ImageSet,
    training_images: int,
    *,
    sizes: tuple[int, ...] = SIZES,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Measures the network `name` on a few of `images`, for an epoch of `training_images`.

    Returns `model`, `images`, `device` and `sizes`, a list of `SizeCost`s as dicts. Raises
    `ConfigError` for an unknown name.
    """
    device = pick_device("auto")
    few = torch.from_numpy(images.images[:BATCH].copy()).to(device)
    few = few.repeat(-(-BATCH // len(few)), 1, 1, 1)[:BATCH]
    rows = []
    with progress.task("measuring sizes", len(sizes)) as advance:
        for size in sizes:
            model = build(name, images.classes, Preprocess([0.5] * 3, [0.25] * 3, size)).to(device)
            rows.append(asdict(measure(model, few, training_images)))
            advance(1)
    return {"model": name, "images": training_images, "device": device.type, "sizes": rows}


def measure(model: Classifier, images: Tensor, training_images: int) -> SizeCost:
    """The facts of one model on uint8 `images` [N, H, W, 3]; its weights stay as they are."""
    size = model.preprocess.size
    assert size is not None
    last, cut = final_map(model, images[:1]), can_cut(model, images[:1])
    count = len(stages(model.backbone))
    model.eval()
    with torch.no_grad():
        speed = _speed(lambda: model(images), len(images), images.device)
        features = run_prefix(model, images[:1], count)
    tops: list[float | None] = []
    for top in (1, 2):
        depth = count - top
        if not cut or depth < 0:
            tops.append(None)
            continue
        with torch.no_grad():
            maps = run_prefix(model, images, depth)
        tops.append(training_images / _training_speed(model, maps, depth))
    saved = _saved_bytes(model, images)
    parameters = sum(p.numel() * p.element_size() for p in model.parameters())
    whole = _training_speed(model, images, None)
    return SizeCost(
        size=size,
        last_map=last,
        images_per_second=speed,
        head_seconds=training_images / speed,
        top1_seconds=tops[0],
        top2_seconds=tops[1],
        all_seconds=training_images / whole,
        memory=4 * parameters + TRAINED_BATCH * saved // len(images),  # with gradients, two moments
        feature_bytes=training_images * features.shape[1] * 4,
    )


def _training_speed(model: Classifier, inputs: Tensor, depth: int | None) -> float:
    """Images per second forward and backward, from images or from maps at `depth`."""

    def step() -> None:
        logits = model(inputs) if depth is None else run_rest(model, inputs, depth)
        logits.float().logsumexp(1).sum().backward()
        model.zero_grad(set_to_none=True)

    return _speed(step, len(inputs), inputs.device)


def _speed(step: Callable[[], object], images: int, device: torch.device) -> float:
    """Images per second of `step`, after one to warm up."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    step()
    wait()
    started, steps = time.perf_counter(), 0
    while steps == 0 or time.perf_counter() - started < LEAST_SECONDS:
        step()
        wait()
        steps += 1
    return images * steps / (time.perf_counter() - started)


def _saved_bytes(model: Classifier, images: Tensor) -> int:
    """Bytes a forward pass keeps for the backward pass, parameters aside."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        logits = model(images)
        logits.sum().backward()
    model.zero_grad(set_to_none=True)
    return sum(kept.values())
