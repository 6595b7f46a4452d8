"""The int8 graph of a bundle: made from the fp32 one by ONNX Runtime, judged on validation images.

8-bit integers take the convolutions behind the first and what lies between them in `IN_INT8`.
Preprocessing, the first convolution, other activations and the head stay in fp32: they are a small
part of the work, and rounding costs most there.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from clearsight.bundle.engines import batch_size, in_batches, onnx_engine, silence_telemetry
from clearsight.bundle.format import INT8, ONNX
from clearsight.errors import BundleError
from clearsight.evaluation.intervals import accuracy_interval
from clearsight.progress import SILENT, Progress
from clearsight.wording import percent

# By so much, as a fraction of the validation images, accuracy may fall.
ALLOWED_FALL = 0.005
# Training images by which the ranges of activations are set.
CALIBRATION = 500
IN_INT8 = ("Add", "AveragePool", "Clip", "Concat", "Conv", "MaxPool", "Relu")


@dataclass(frozen=True, kw_only=True)
class Int8Images:
    """What an int8 graph is made and judged with, all fitted to the model's size S.

    `calibration`: training images, uint8 [M, S, S, 3]; `validation`: uint8 [N, S, S, 3], and their
    `labels`, int64 [N]. M and N are 1 or more.
    """

    calibration: np.ndarray
    validation: np.ndarray
    labels: np.ndarray


def int8_graph(
    graph: bytes,
    images: Int8Images,
    progress: Progress = SILENT,
) -> tuple[bytes, dict[str, Any]]:
    """The int8 form of the serialised fp32 `graph`, and what it costs, see `judge`.

    Raises `BundleError` where there is nothing to quantise or accuracy falls too far.
    """
    int8, n = quantise(graph, images.calibration), len(images.validation)
    # One after the other: the idle threads of each would spin on the cores of the other.
    with progress.task("judging int8", 2 * n) as advance:
        by_fp32 = in_batches(onnx_engine(graph, ONNX), images.validation, advance)
        by_int8 = in_batches(onnx_engine(int8, INT8), images.validation, advance)
    cost = judge(images.labels, by_fp32.probabilities.argmax(1), by_int8.probabilities.argmax(1))
    return int8, {**cost, "calibration": len(images.calibration)}


def quantise(graph: bytes, images: np.ndarray) -> bytes:
    """The serialised fp32 `graph` with 8-bit integers inside; input, output, metadata are the same.

    Ranges of activations are the least and greatest values over `images`, uint8 [M, S, S, 3].
    Raises `BundleError` where the graph has no convolution behind its first.
    """
    silence_telemetry()
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quant_pre_process,
        quantize_static,
    )

    batch = batch_size(images.shape[1])
    batches = (np.array(images[start : start + batch]) for start in range(0, len(images), batch))

    class Reader(CalibrationDataReader):
        def get_next(self) -> Any:  # the inputs of the next run, None after the last
            pixels = next(batches, None)
            return None if pixels is None else {"images": pixels}

    with tempfile.TemporaryDirectory() as folder:
        given, prepared, quantised = (Path(folder) / f"{k}.onnx" for k in range(3))
        given.write_bytes(graph)
        # Batch norms become part of their convolutions here. Shapes are known without sympy's help.
        quant_pre_process(str(given), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(quantised),
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(IN_INT8),
            nodes_to_exclude=_kept_in_fp32(onnx.load(prepared).graph),
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            # Weights of 7 bits: without VNNI instructions x86 adds products up in 16 bits, where
            # those of 8 bits overflow, and the graph would be worse than the one that was judged.
            reduce_range=True,
        )
        proto = onnx.load(quantised)
    metadata = {entry.key: entry.value for entry in onnx.load_from_string(graph).metadata_props}
    onnx.helper.set_model_props(proto, metadata)  # without the notes of the quantiser
    used = {node.domain for node in proto.graph.node}
    for foreign in [entry for entry in proto.opset_import if entry.domain not in used]:
        proto.opset_import.remove(foreign)  # every domain that ONNX Runtime knows
    return proto.SerializeToString(deterministic=True)


def judge(labels: np.ndarray, by_fp32: np.ndarray, by_int8: np.ndarray) -> dict[str, Any]:
    """What int8 costs, from the labels of N validation images and what each graph says: int64 [N].

    Returns `n`; `accuracy` of the int8 graph and `accuracy_fp32`, each with `value`, `low`, `high`
    (95 % Wilson interval); `difference`, the first less the second; and `changed`, the number of
    images with another label. Raises `BundleError` where accuracy falls by more than 0.5 points.
    """
    n = len(labels)
    right, right_fp32 = (int((found == labels).sum()) for found in (by_int8, by_fp32))
    difference = (right - right_fp32) / n
    if difference < -ALLOWED_FALL:
        before, after = (percent(count / n) for count in (right_fp32, right))
        raise BundleError(
            f"{INT8}: validation accuracy falls from {before} in fp32 to {after} in int8 "
            f"(n = {n:,}), by more than {100 * ALLOWED_FALL:g} points; nothing was written; "
            "export without --int8"
        )
    return {
        "n": n,
        "accuracy": accuracy_interval(right, n),
        "accuracy_fp32": accuracy_interval(right_fp32, n),
        "difference": difference,
        "changed": int((by_int8 != by_fp32).sum()),
    }


def _kept_in_fp32(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes up to the first convolution, and of those from the head on."""
    behind: set[str] = set()  # values that a convolution had a part in
    head: set[str] = set()  # values that a matrix product had a part in
    kept, layers = [], 0
    for node in graph.node:  # ONNX demands an order in which values are made before they are used
        first = behind.isdisjoint(node.input)
        late = node.op_type in ("Gemm", "MatMul") or not head.isdisjoint(node.input)
        if node.op_type == "Conv" or not first:
            behind.update(node.output)
        if late:
            head.update(node.output)
        if first or late:
            kept.append(node.name)
        elif node.op_type == "Conv":
            layers += 1
    if not layers:
        raise BundleError(
            f"{INT8}: the network has no convolution behind its first, so nothing to compute in "
            "8-bit integers; export without --int8"
        )
    return kept
