"""TorchScript: the model traced, for libtorch and for Python without clearsight."""

import warnings
from pathlib import Path

import numpy as np

from clearsight.bundle.conversion.runtime import Runtime
from clearsight.bundle.engines import Answers, Run
from clearsight.bundle.format import Bundle

MODEL = "model.pt"


def _write(bundle: Bundle, folder: Path) -> None:
    import torch

    from clearsight.bundle.export import Graph

    example = torch.zeros((2, bundle.size, bundle.size, 3), dtype=torch.uint8)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # that newer exporters exist
        traced = torch.jit.trace(Graph(bundle.classifier()), example, check_trace=False)
        torch.jit.save(traced, folder / MODEL)


def _engine(folder: Path, bundle: Bundle) -> Run:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = torch.jit.load(folder / MODEL, map_location="cpu")

    def run(pixels: np.ndarray) -> Answers:
        with torch.inference_mode():
            return Answers(*(found.numpy() for found in model(torch.from_numpy(pixels))))

    return run


RUNTIME = Runtime(
    title="TorchScript", files=(MODEL,), write=_write, engine=_engine, package="torch"
)
