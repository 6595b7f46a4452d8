"""Engines: what computes a bundle's answers, ONNX Runtime or torch, each imported on use."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

import numpy as np

from clearsight.bundle.format import COPY_AGAIN, Bundle
from clearsight.errors import BundleError, first_line
from clearsight.progress import Advance

if TYPE_CHECKING:
    from clearsight.models.classifier import Classifier

Engine = Literal["onnx", "int8", "torch"]


class Answers(NamedTuple):
    """What an engine says of N images.

    `probabilities`: float32 [N, K], calibrated; `features`: float32 [N, D], of the network's last
    layer before the head; `unlike`: float32 [N], larger is less like the training images. The last
    two are None for bundles that were exported before there were any.
    """

    probabilities: np.ndarray
    features: np.ndarray | None = None
    unlike: np.ndarray | None = None


Run = Callable[[np.ndarray], Answers]
"""uint8 [N, S, S, 3] → what an engine says of them."""

# So many pixels go through the network at once: 100 images of 64 px. Measured on two cores,
# neither engine gains from more at 32 px.
PIXELS_AT_ONCE = 100 * 64 * 64


def onnx_engine(graph: bytes, name: str, bundle: Bundle | None = None) -> Run:
    """ONNX Runtime over a serialised graph.

    `name` is what errors call the graph. Raises `BundleError` where it can't be loaded, or has not
    the size, the number of classes and the features of `bundle`, if that is given.
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
            f"({first_line(error)}); {COPY_AGAIN}"
        ) from error
    if bundle is not None:
        square, count = [bundle.size, bundle.size, 3], len(bundle.classes)
        expected = {f"images tensor(uint8) {square}", f"probabilities tensor(float) [{count}]"}
        if bundle.features is not None:
            expected |= {f"features tensor(float) [{bundle.features}]", "unlike tensor(float) []"}
        found = {
            f"{value.name} {value.type} {value.shape[1:]}"
            for value in (*session.get_inputs(), *session.get_outputs())
            if not (value.shape and isinstance(value.shape[0], int))  # any number of images
        }
        if not expected <= found or len(session.get_inputs()) > 1:
            raise BundleError(
                f"{name}: has {', '.join(sorted(found)) or 'no batches'} for each image, "
                f"bundle.json expects {', '.join(sorted(expected))}; {COPY_AGAIN}"
            )

    there = {value.name for value in session.get_outputs()}
    names = [name for name in Answers._fields if name in there]

    def run(pixels: np.ndarray) -> Answers:
        found = cast("list[np.ndarray]", session.run(names, {"images": pixels}))
        return Answers(**dict(zip(names, found, strict=True)))

    return run


def silence_telemetry() -> None:
    """Keeps ONNX Runtime, which reads this at import, from reporting usage to its makers."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def in_batches(run: Run, images: np.ndarray, advance: Advance = lambda count: None) -> Answers:
    """What `run` says of `images`, uint8 [N, S, S, 3] with N ≥ 1, some at a time.

    `advance` is called with the number of images just done.
    """
    batch, parts = batch_size(images.shape[1]), []
    for start in range(0, len(images), batch):
        # A copy, for a memory-mapped array is read-only and tensors are not.
        parts.append(run(np.array(images[start : start + batch])))
        advance(len(parts[-1].probabilities))
    return Answers(
        **{
            name: np.concatenate([getattr(part, name) for part in parts])
            for name, first in parts[0]._asdict().items()
            if first is not None
        }
    )


def batch_size(size: int) -> int:
    """Images of `size` × `size` px to compute at once."""
    return max(1, min(100, PIXELS_AT_ONCE // size**2))


def cores() -> int:
    """CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def torch_engine(bundle: Bundle) -> Run:
    run = model_engine(bundle.classifier())
    if bundle.features is None:  # as the bundle's graph, which has no other outputs
        return lambda pixels: Answers(run(pixels).probabilities)
    return run


def model_engine(model: "Classifier") -> Run:
    """Torch over a classifier on the CPU in eval mode."""
    import torch

    def run(pixels: np.ndarray) -> Answers:
        with torch.inference_mode():
            return Answers(*(found.numpy() for found in model.outputs(torch.from_numpy(pixels))))

    return run
