"""A classifier as a bundle, checked: the ONNX graph must say what torch says."""

import copy
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from clearsight.bundle.engines import in_batches, model_engine, onnx_engine
from clearsight.bundle.format import ONNX, check_out, write_bundle
from clearsight.bundle.parity import compare
from clearsight.bundle.quantize import Int8Images, int8_graph
from clearsight.data.images import Fit
from clearsight.errors import BundleError, UsageError, first_line
from clearsight.models.classifier import Classifier, Outputs
from clearsight.progress import SILENT, Progress


class Graph(nn.Module):
    """What the graph computes: `images` uint8 [N, S, S, 3] → the fields of `Outputs`.

    Probabilities are calibrated: the temperature is a constant of the graph.
    """

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return tuple(self.model.outputs(images))


def export(
    model: Classifier,
    *,
    out: Path,
    fit: Fit,
    size: int,
    metrics: Mapping[str, Any],
    provenance: Mapping[str, Any],
    test_images: np.ndarray,
    calibration: Mapping[str, Any] | None = None,
    validation: bytes | None = None,
    int8: Int8Images | None = None,
    progress: Progress = SILENT,
) -> Path:
    """Writes the bundle of `model` to the folder `out` and returns it.

    `size` (px) and `fit` say how images are fitted before the model; `metrics`, `provenance`,
    `calibration` (see `Bundle`; its temperature is the model's from here on, 1 without) and
    `validation` (a run's `predictions-validation.parquet`) go into the bundle as they are;
    `test_images`: uint8 [N, size, size, 3], on which ONNX Runtime and torch (both fp32) are
    compared; with `int8` a graph in 8-bit integers is added.
    `model` is left as it is. Raises `BundleError`, and writes nothing, where the engines disagree,
    the model can't be exported, int8 costs too much accuracy, or `out` holds something else.
    """
    check_out(out)
    pixels_fit = test_images.dtype == np.uint8 and test_images.shape[1:] == (size, size, 3)
    if not pixels_fit or not len(test_images):
        raise UsageError(
            f"test_images: found {test_images.dtype} {list(test_images.shape)}, "
            f"expected uint8 [N, {size}, {size}, 3] with at least one image"
        )
    # Contiguous, for channels-last weights are slow here outside of training.
    model = copy.deepcopy(model).cpu().float().to(memory_format=torch.contiguous_format).eval()
    model.temperature = 1.0 if calibration is None else calibration["temperature"]
    graph = onnx_graph(model, size=size, fit=fit, calibration=calibration)
    parity = check_parity(model, graph, test_images, progress)
    with torch.inference_mode():
        blank = torch.zeros((1, size, size, 3), dtype=torch.uint8)
        features = model.outputs(blank).features.shape[1]
    added = None if int8 is None else int8_graph(graph, int8, progress)
    return write_bundle(
        out,
        model=model,
        onnx=graph,
        size=size,
        fit=fit,
        metrics=metrics,
        parity=parity,
        provenance=provenance,
        features=features,
        int8=added,
        calibration=calibration,
        validation=validation,
    )


def onnx_graph(
    model: Classifier, *, size: int, fit: Fit, calibration: Mapping[str, Any] | None = None
) -> bytes:
    """The serialised ONNX graph of `model` (fp32, on the CPU, in eval mode).

    Its metadata: `classes` (JSON list), `size` (px), `fit`, `preprocessing` and, where it is given,
    `calibration` (JSON).
    Raises `BundleError` where torch can't export the model.
    """
    example = torch.zeros((2, size, size, 3), dtype=torch.uint8)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the exporter's own parts
            program = torch.onnx.export(
                Graph(model),
                (example,),
                dynamo=True,
                input_names=["images"],
                output_names=list(Outputs._fields),
                dynamic_shapes={"images": {0: torch.export.Dim("N")}},
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise BundleError(
            f"model {model.name!r}: torch {torch.__version__} can't export it as ONNX "
            f"({first_line(error)}); its forward must not depend on pixel values"
        ) from error
    assert program is not None
    proto = program.model_proto
    _forget_origin(proto)
    metadata = {
        "classes": json.dumps(model.classes, ensure_ascii=False),
        "size": str(size),
        "fit": fit,
        "preprocessing": json.dumps(model.preprocess.describe()),
        **({} if calibration is None else {"calibration": json.dumps(calibration)}),
    }
    onnx.helper.set_model_props(proto, metadata)
    return proto.SerializeToString(deterministic=True)


def check_parity(
    model: Classifier,
    graph: bytes,
    images: np.ndarray,
    progress: Progress = SILENT,
) -> dict[str, float]:
    """Compares torch and ONNX Runtime on `images`, uint8 [N, S, S, 3]; see `parity.compare`."""
    n = len(images)
    # One engine after the other: the idle threads of each would spin on the cores of the other.
    with progress.task("comparing engines", 2 * n) as advance:
        expected = in_batches(model_engine(model), images, advance)
        found = in_batches(onnx_engine(graph, ONNX), images, advance)
    with torch.inference_mode():
        logits = model.head(torch.from_numpy(expected.features))
    first, second = logits.topk(2, dim=1).values.numpy().T
    return compare(
        expected, found, first - second, file=ONNX, engines="ONNX Runtime and torch",
        advice="try other versions of torch and onnxruntime",
    )  # fmt: skip


def _forget_origin(proto: onnx.ModelProto) -> None:
    """Drops the exporter's notes: they hold paths of this machine, and are of no use elsewhere."""
    graph = proto.graph
    for part in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    del graph.metadata_props[:]
