"""Engines: what computes a bundle's probabilities, ONNX Runtime or torch, each imported on use."""

import os
from collections.abc import Callable
from typing import Literal, cast

import numpy as np

from clearsight.bundle.format import COPY_AGAIN, Bundle
from clearsight.errors import BundleError, first_line
from clearsight.progress import Advance

Engine = Literal["onnx", "int8", "torch"]

# So many pixels go through the network at once: 100 images of 64 px. Measured on two cores,
# neither engine gains from more at 32 px.
PIXELS_AT_ONCE = 100 * 64 * 64


def onnx_engine(
    graph: bytes, name: str, bundle: Bundle | None = None
) -> Callable[[np.ndarray], np.ndarray]:
    """ONNX Runtime over a serialised graph: uint8 [N, S, S, 3] → probabilities float32 [N, K].

    `name` is what errors call the graph. Raises `BundleError` where it can't be loaded, or has not
    the size and the number of classes of `bundle`, if that is given.
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
    advance: Advance = lambda count: None,
) -> np.ndarray:
    """What `run` says of `images`, uint8 [N, S, S, 3] with N ≥ 1, some at a time: [N, K].

    `advance` is called with the number of images just done.
    """
    batch, parts = batch_size(images.shape[1]), []
    for start in range(0, len(images), batch):
        # A copy, for a memory-mapped array is read-only and tensors are not.
        parts.append(run(np.array(images[start : start + batch])))
        advance(len(parts[-1]))
    return np.concatenate(parts)


def batch_size(size: int) -> int:
    """Images of `size` × `size` px to compute at once."""
    return max(1, min(100, PIXELS_AT_ONCE // size**2))


def cores() -> int:
    """CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def torch_engine(bundle: Bundle) -> Callable[[np.ndarray], np.ndarray]:
    import torch

    model = bundle.classifier()

    def run(pixels: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model.probabilities(torch.from_numpy(pixels)).numpy()

    return run
