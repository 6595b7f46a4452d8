"""Bundles of timm's networks, to be pushed."""

from pathlib import Path
from typing import Any

import torch

from clearsight.bundle.format import Bundle, read_bundle, write_bundle
from clearsight.models.factory import build
from clearsight.models.preprocess import Preprocess

CLASSES = ("cat", "dog", "eel")


def timm_bundle(
    out: Path, name: str = "resnet18", *, size: int = 48, inner: int | None = None,
    head: str = "linear", calibration: dict[str, Any] | None = None, fit: Any = "crop",
    **preprocessing: Any,
) -> Bundle:  # fmt: skip
    """A bundle of timm's `name` with random weights, also in its batch norms.

    Images have `size` px and are resampled to `inner` px.
    """
    torch.manual_seed(0)
    given: dict[str, Any] = {
        "mean": (0.5, 0.25, 0.75),
        "std": (0.25, 0.5, 0.125),
        "size": inner,
    } | preprocessing
    model = build(name, CLASSES, Preprocess(**given), head)
    for part, buffer in model.named_buffers():
        if part.endswith("running_mean"):
            torch.nn.init.uniform_(buffer, -0.1, 0.1)
        if part.endswith("running_var"):
            torch.nn.init.uniform_(buffer, 0.5, 2)
    folder = write_bundle(
        out, model=model.eval(), onnx=b"graph", size=size, fit=fit, calibration=calibration,
        metrics={"split": "test", "n": 200, "tta": "none", "loss": 0.5,
                 "accuracy": {"value": 0.75, "low": 0.6854, "high": 0.8049}},
        parity={"n": 3, "ties": 0, "max_difference": 1e-6}, provenance={"data": "My Pets"},
        validation=b"rows" if calibration else None,
    )  # fmt: skip
    return read_bundle(folder)


CALIBRATION = {"temperature": 2.5, "n": 50, "sure": [], "sets": []}
