"""The features of frozen stages, computed once and kept for the phase and the next run.

An entry is `clearsight/features/<key>/` in the user's cache folder: `features.bin`, where a view
mixes images `targets.npy`, and `meta.json`. The key is a hash of the frozen weights and modules,
the preprocessing, the images' ids, their augmentation, precision, kind of device and torch's
version. Entries appear whole; a damaged one is computed again. Any may be deleted at any time, and
the least recently used ones are, to stay within `cache.disk`.
"""

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clearsight.config.schema import CacheConfig
from clearsight.errors import FileError
from clearsight.files import replacing, write_json
from clearsight.models.classifier import Classifier
from clearsight.models.stages import run_prefix, stages
from clearsight.progress import Progress
from clearsight.runtime.device import Precision, autocast
from clearsight.runtime.disk_cache import GIB, cache_folder, make_room

_FORMAT = 1

Chunk = tuple[Tensor, Tensor]
"""uint8 images [n, H, W, 3] on the device, and their targets: int64 [n] or float32 [n, K]."""


@dataclass(frozen=True, kw_only=True)
class View:
    """The images of a part as the frozen stages see them.

    - `name`: for the reader; `count`: how many images
    - `metadata`: plain values that say which pixels they are, for the key
    - `chunks`: yields them chunk by chunk, the same each time it is called
    """

    name: str
    count: int
    metadata: Mapping[str, Any]
    chunks: Callable[[], Iterator[Chunk]]


@dataclass(frozen=True)
class Frozen:
    """The first `depth` stages of a model, which are in eval mode, and how they compute."""

    model: Classifier
    depth: int
    device: torch.device
    precision: Precision

    def __call__(self, images: Tensor) -> Tensor:
        """uint8 [N, H, W, 3] → features [N, D], or maps as [N, H, W, C], in their own precision."""
        with torch.inference_mode(), autocast(self.device, self.precision):
            x = run_prefix(self.model, images, self.depth)
        return (x.permute(0, 2, 3, 1) if x.ndim == 4 else x).contiguous()

    def describe(self) -> dict[str, Any]:
        """All that decides the result besides the images."""
        groups = stages(self.model.backbone)
        modules = [module for _, group in groups[: self.depth] for module in group]
        if self.depth == len(groups):
            modules = [self.model.backbone]
        digest = hashlib.sha256()
        for module in (self.model.preprocess, *modules):
            digest.update(repr(module).encode())
            for name, tensor in module.state_dict().items():
                digest.update(name.encode())
                digest.update(_bytes(tensor.detach().cpu()).data)
        return {
            "format": _FORMAT,
            "torch": torch.__version__,
            "device": self.device.type,
            "precision": self.precision,
            "model": self.model.name,
            "depth": self.depth,
            "preprocess": self.model.preprocess.describe(),
            "weights": digest.hexdigest(),
        }


@dataclass(frozen=True)
class Features:
    """The output of frozen stages for the images of a view, in their order.

    - `rows`: [N, D], or [N, H, W, C]; in memory, or mapped from the disk
    - `targets`: float32 [N, K] where the view mixed images, else None
    """

    rows: Tensor
    targets: Tensor | None

    def take(self, indices: Tensor, device: torch.device) -> Tensor:
        """[n, D], or [n, C, H, W] in channels-last memory, on `device`; `indices`: int64 [n]."""
        rows = self.rows.index_select(0, indices.to(self.rows.device)).to(device)
        return rows.permute(0, 3, 1, 2) if rows.ndim == 4 else rows


def compute_features(
    frozen: Frozen, views: Sequence[View], config: CacheConfig, progress: Progress
) -> list[Features] | None:
    """The features of each view, from the cache where it has them; None where they don't fit.

    On disk if `config.disk` and the free space allow, read into the device's memory if
    `config.memory` does; in memory alone if they are not kept on disk. Says what it does.
    """
    one = frozen(next(views[0].chunks())[0][:1])
    row_bytes = one.numel() * one.element_size()
    needed = row_bytes * sum(view.count for view in views)
    described = frozen.describe()
    entries = [_entry(described, view) for view in views]
    in_memory = needed <= config.memory * GIB
    started = time.perf_counter()
    opened = {entry: _open(entry) for entry in entries}
    missing = row_bytes * sum(v.count for e, v in zip(entries, views, strict=True) if not opened[e])
    found: list[Features] | None = None
    if make_room(entries, missing, config.disk):
        try:
            for entry, view in zip(entries, views, strict=True):
                if opened[entry] is None:
                    _write(entry, frozen, view, one, progress)
            found = [_opened(entry) for entry in entries]
        except FileError as error:
            progress.say(f"features: they can't be kept on disk ({error.__cause__ or error})")
    if found is None and in_memory:
        found = [_compute(frozen, view, one, progress) for view in views]
    if found is None:
        progress.say(
            f"features: they need {_readable(needed)}, more than cache.disk "
            f"({config.disk:g} GiB) and cache.memory ({config.memory:g} GiB) allow; the frozen "
            "stages are computed in every epoch"
        )
        return None
    if in_memory:
        found = [Features(f.rows.to(frozen.device, copy=True), f.targets) for f in found]
    progress.say(
        f"features: {', '.join(view.name for view in views)}, {_readable(needed)} "
        f"{'in memory' if in_memory else 'on disk'}, "
        f"{'computed' if missing else 'from the cache'} in {time.perf_counter() - started:.1f} s"
    )
    return found


def _entry(described: Mapping[str, Any], view: View) -> Path:
    key = json.dumps([described, view.metadata], sort_keys=True)
    return cache_folder("features") / hashlib.sha256(key.encode()).hexdigest()[:32]


def _open(entry: Path) -> Features | None:
    """The entry's features, mapped; None where it is absent or damaged."""
    try:
        meta = json.loads((entry / "meta.json").read_text(encoding="utf-8"))
        shape, dtype = meta["shape"], getattr(torch, meta["dtype"])
        size = math.prod(shape)
        if (entry / "features.bin").stat().st_size != size * dtype.itemsize:
            return None
        targets = torch.from_numpy(np.load(entry / "targets.npy")) if meta["mixed"] else None
        rows = torch.from_file(str(entry / "features.bin"), shared=False, size=size, dtype=dtype)
        os.utime(entry / "meta.json")  # just used, so it is removed last
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError):
        return None
    return Features(rows.view(shape), targets)


def _opened(entry: Path) -> Features:
    features = _open(entry)
    if features is None:
        raise FileError(f"{entry}: can't be read back; remove it or set cache.store = off")
    return features


def _write(entry: Path, frozen: Frozen, view: View, one: Tensor, progress: Progress) -> None:
    with replacing(entry) as folder:
        folder.mkdir()
        mixed: list[Tensor] = []
        # Written in order and not through a memory map: a full disk is then an error, not a signal.
        with (folder / "features.bin").open("wb") as file:
            for rows, targets in _stream(frozen, view, progress):
                file.write(_bytes(rows).data)
                mixed += [targets] if targets.is_floating_point() else []
        if mixed:
            np.save(folder / "targets.npy", torch.cat(mixed).cpu().numpy())
        meta = {
            "shape": [view.count, *one.shape[1:]],
            "dtype": str(one.dtype).removeprefix("torch."),
            "mixed": bool(mixed),
            "view": view.metadata,
        }
        write_json(folder / "meta.json", meta)


def _compute(frozen: Frozen, view: View, one: Tensor, progress: Progress) -> Features:
    rows = torch.empty((view.count, *one.shape[1:]), dtype=one.dtype)
    mixed: list[Tensor] = []
    start = 0
    for chunk, targets in _stream(frozen, view, progress):
        rows[start : start + len(chunk)] = chunk
        start += len(chunk)
        mixed += [targets] if targets.is_floating_point() else []
    return Features(rows, torch.cat(mixed) if mixed else None)


def _stream(frozen: Frozen, view: View, progress: Progress) -> Iterator[Chunk]:
    """(features on the CPU, targets) of the view, chunk by chunk."""
    with progress.task(f"features: {view.name}", view.count) as advance:
        for images, targets in view.chunks():
            yield frozen(images).cpu(), targets
            advance(len(images))


def _readable(size: int) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{math.ceil(size / 2**20)} MiB"


def _bytes(tensor: Tensor) -> np.ndarray:
    return tensor.contiguous().flatten().view(torch.uint8).numpy()
