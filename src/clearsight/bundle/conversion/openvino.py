"""OpenVINO: its intermediate representation, read from the bundle's ONNX graph."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np

from clearsight.bundle.conversion.runtime import Runtime, missing
from clearsight.bundle.engines import Answers, Run
from clearsight.bundle.format import Bundle

MODEL, WEIGHTS = "model.xml", "model.bin"


def _write(bundle: Bundle, folder: Path) -> None:
    openvino = _openvino()
    model = openvino.Core().read_model(str(bundle.onnx))
    # Weights stay as exact as they were checked: by default they would be halved to fp16.
    openvino.save_model(model, str(folder / MODEL), compress_to_fp16=False)


def _engine(folder: Path, bundle: Bundle) -> Run:
    exact = {"INFERENCE_PRECISION_HINT": "f32"}  # where the processor has bf16, it is the default
    compiled = _openvino().Core().compile_model(str(folder / MODEL), "CPU", exact)
    names = [each.get_any_name() for each in compiled.outputs]

    def run(pixels: np.ndarray) -> Answers:
        found = compiled(pixels)
        return Answers(**{name: found[name].copy() for name in names})

    return run


def _openvino() -> Any:
    with _silent():
        try:
            import openvino
        except ImportError:
            raise missing("openvino", "OpenVINO") from None
    return openvino


@contextmanager
def _silent() -> Generator[None]:
    """OpenVINO reports usage to its makers, already when imported, unless that part is missing."""
    part = "openvino_telemetry"
    modules = cast(dict[str, Any], sys.modules)
    if part in modules:
        yield
        return
    modules[part] = None  # as documented: importing it fails
    try:
        yield
    finally:
        del modules[part]


RUNTIME = Runtime(
    title="OpenVINO",
    files=(MODEL, WEIGHTS),
    write=_write,
    engine=_engine,
    package="openvino",
)
