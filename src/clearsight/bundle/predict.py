"""Predictions of a bundle. Torch is imported only where its engine is asked for."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from clearsight.bundle.engines import Engine, batch_size, cores, onnx_engine, torch_engine
from clearsight.bundle.format import Bundle, read_bundle
from clearsight.data.decoding import read_image, to_rgb
from clearsight.data.images import fit_image
from clearsight.errors import BundleError, UsageError

OneImage = str | os.PathLike[str] | Image.Image | np.ndarray


@dataclass(frozen=True)
class Prediction:
    """What the model says of one image.

    `file`: its path as given, None for pixels; `label`: the most probable class and its
    `probability`; `probabilities`: of every class, in the order of the bundle's classes.
    """

    file: str | None
    label: str
    probability: float
    probabilities: dict[str, float]


@dataclass(frozen=True)
class Predictor:
    """A loaded bundle; `run` maps uint8 [N, S, S, 3] to probabilities float32 [N, K].

    With `truncated`, damaged files are used as far as they can be decoded.
    """

    bundle: Bundle
    engine: Engine
    run: Callable[[np.ndarray], np.ndarray]
    truncated: bool = False

    def predict(self, images: OneImage | Iterable[OneImage]) -> list[Prediction]:
        """One prediction per image, in their order.

        An image is the path of a file, a Pillow image, or uint8 pixels [H, W, 3]; give one,
        several, or uint8 [N, H, W, 3]. They are opened and fitted as in training. Raises
        `DataError` for a file that can't be decoded, `UsageError` for other pixels.
        """
        return list(self.stream(images))

    def stream(self, images: OneImage | Iterable[OneImage]) -> Iterator[Prediction]:
        """As `predict`, a batch at a time: memory does not grow with the number of images."""
        size, classes = self.bundle.size, self.bundle.classes
        rest = iter(_several(images))
        with ThreadPoolExecutor(cores()) as pool:
            while batch := list(islice(rest, batch_size(size))):
                pixels = np.stack(list(pool.map(self._fitted, batch)))
                for image, row in zip(batch, self.run(pixels), strict=True):
                    top = int(row.argmax())
                    yield Prediction(
                        file=os.fspath(image) if isinstance(image, str | os.PathLike) else None,
                        label=classes[top],
                        probability=float(row[top]),
                        probabilities=dict(zip(classes, row.tolist(), strict=True)),
                    )

    def _fitted(self, image: OneImage) -> np.ndarray:
        size, fit = self.bundle.size, self.bundle.fit
        if isinstance(image, str | os.PathLike):
            opened = read_image(Path(image), os.fspath(image), truncated=self.truncated)
            return fit_image(opened, size, fit)
        if isinstance(image, Image.Image):
            return fit_image(to_rgb(image), size, fit)
        if not isinstance(image, np.ndarray):
            raise UsageError(
                f"images: found {type(image).__name__}, expected paths, Pillow images or "
                "uint8 arrays [H, W, 3]"
            )
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise UsageError(
                f"images: found an array {image.dtype} {list(image.shape)}, expected uint8 "
                "[H, W, 3] with pixels from 0 to 255"
            )
        return fit_image(Image.fromarray(image), size, fit)


def load(
    path: str | Path,
    engine: Literal["auto", "onnx", "int8", "torch"] = "auto",
    *,
    truncated: bool = False,
) -> Predictor:
    """The predictor of the bundle in folder `path`, after its checksums were verified.

    `auto` is ONNX Runtime where it is installed, else torch; both compute in fp32 on the CPU.
    With `truncated`, damaged files are used as far as they can be decoded.
    `int8` is ONNX Runtime over the graph that `clearsight export --int8` adds. Raises `BundleError`
    for a bundle that is damaged, newer than this clearsight, or without that graph.
    """
    if engine not in ("auto", "onnx", "int8", "torch"):
        raise UsageError(f"engine: found {engine!r}, expected one of auto, onnx, int8, torch")
    bundle = read_bundle(path)
    if engine == "auto":
        engine = "onnx" if find_spec("onnxruntime") else "torch"
    if engine == "torch":
        return Predictor(bundle, "torch", torch_engine(bundle), truncated)
    if engine == "int8" and bundle.int8 is None:
        raise BundleError(
            f"bundle {path}: no int8 graph in it; export it with `clearsight export RUN --int8`, "
            "or use another engine"
        )
    graph = bundle.int8_onnx if engine == "int8" else bundle.onnx
    return Predictor(bundle, engine, onnx_engine(graph.read_bytes(), str(graph), bundle), truncated)


def _several(images: OneImage | Iterable[OneImage]) -> Iterable[OneImage]:
    one = isinstance(images, str | os.PathLike | Image.Image)
    if one or (isinstance(images, np.ndarray) and images.ndim != 4):
        return [images]
    return images
