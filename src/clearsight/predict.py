"""Predictions of a bundle. Torch is imported only where its engine is asked for."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Literal, cast

import numpy as np
from PIL import Image

from clearsight.bundle import COPY_AGAIN, Bundle, read_bundle
from clearsight.data.decoding import read_image, to_rgb
from clearsight.data.images import fit_image
from clearsight.errors import BundleError, UsageError

Engine = Literal["onnx", "int8", "torch"]
OneImage = str | os.PathLike[str] | Image.Image | np.ndarray

# So many pixels go through the network at once: 100 images of 64 px. Measured on two cores,
# neither engine gains from more at 32 px.
PIXELS_AT_ONCE = 100 * 64 * 64


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
    """A loaded bundle; `run` maps uint8 [N, S, S, 3] to probabilities float32 [N, K]."""

    bundle: Bundle
    engine: Engine
    run: Callable[[np.ndarray], np.ndarray]

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
            return fit_image(read_image(Path(image), os.fspath(image)), size, fit)
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


def load(path: str | Path, engine: Literal["auto", "onnx", "int8", "torch"] = "auto") -> Predictor:
    """The predictor of the bundle in folder `path`, after its checksums were verified.

    `auto` is ONNX Runtime where it is installed, else torch; both compute in fp32 on the CPU.
    `int8` is ONNX Runtime over the graph that `clearsight export --int8` adds. Raises `BundleError`
    for a bundle that is damaged, newer than this clearsight, or without that graph.
    """
    if engine not in ("auto", "onnx", "int8", "torch"):
        raise UsageError(f"engine: found {engine!r}, expected one of auto, onnx, int8, torch")
    bundle = read_bundle(path)
    if engine == "auto":
        engine = "onnx" if find_spec("onnxruntime") else "torch"
    if engine == "torch":
        return Predictor(bundle, "torch", _torch_engine(bundle))
    if engine == "int8" and bundle.int8 is None:
        raise BundleError(
            f"bundle {path}: no int8 graph in it; export it with `clearsight export RUN --int8`, "
            "or use another engine"
        )
    graph = bundle.int8_onnx if engine == "int8" else bundle.onnx
    return Predictor(bundle, engine, onnx_engine(graph.read_bytes(), str(graph)))


def onnx_engine(graph: bytes, name: str) -> Callable[[np.ndarray], np.ndarray]:
    """ONNX Runtime over a serialised graph: uint8 [N, S, S, 3] → probabilities float32 [N, K].

    `name` is what errors call the graph. Raises `BundleError` where it can't be loaded.
    """
    silence_telemetry()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = cores()
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no narrower base
        raise BundleError(
            f"{name}: ONNX Runtime {onnxruntime.__version__} can't load it "
            f"({str(error).strip().splitlines()[0]}); {COPY_AGAIN}"
        ) from error

    def run(pixels: np.ndarray) -> np.ndarray:
        (probabilities,) = session.run(["probabilities"], {"images": pixels})
        return cast("np.ndarray", probabilities)

    return run


def silence_telemetry() -> None:
    """Keeps ONNX Runtime, which reads this at import, from reporting usage to its makers."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def in_batches(
    run: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    progress: Callable[[int], None] = lambda done: None,
) -> np.ndarray:
    """What `run` says of `images`, uint8 [N, S, S, 3] with N ≥ 1, some at a time: [N, K].

    `progress` is called with the number of images done so far.
    """
    batch, parts = batch_size(images.shape[1]), []
    for start in range(0, len(images), batch):
        # A copy, for a memory-mapped array is read-only and tensors are not.
        parts.append(run(np.array(images[start : start + batch])))
        progress(start + len(parts[-1]))
    return np.concatenate(parts)


def batch_size(size: int) -> int:
    """Images of `size` × `size` px to compute at once."""
    return max(1, min(100, PIXELS_AT_ONCE // size**2))


def cores() -> int:
    """CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _torch_engine(bundle: Bundle) -> Callable[[np.ndarray], np.ndarray]:
    import torch

    model = bundle.classifier()

    def run(pixels: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(pixels)).softmax(1).numpy()

    return run


def _several(images: OneImage | Iterable[OneImage]) -> Iterable[OneImage]:
    one = isinstance(images, str | os.PathLike | Image.Image)
    if one or (isinstance(images, np.ndarray) and images.ndim != 4):
        return [images]
    return images
