"""LiteRT, which was TensorFlow Lite: one flat file for phones and small devices."""

import logging
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from importlib import import_module
from io import StringIO
from pathlib import Path

import numpy as np

from clearsight.bundle.conversion.runtime import Runtime, missing
from clearsight.bundle.engines import Answers, Run
from clearsight.bundle.format import Bundle

MODEL = "model.tflite"


def _write(bundle: Bundle, folder: Path) -> None:
    import torch
    from torch import Tensor, nn

    from clearsight.models.classifier import Classifier, Outputs

    class Named(nn.Module):
        """As `export.Graph`; the names of outputs come from a dictionary here."""

        def __init__(self, model: Classifier) -> None:
            super().__init__()
            self.model = model

        def forward(self, images: Tensor) -> dict[str, Tensor]:
            return dict(zip(Outputs._fields, self.model.outputs(images), strict=True))

    one = torch.zeros((1, bundle.size, bundle.size, 3), dtype=torch.uint8)
    with _quiet():
        try:
            litert_torch = import_module("litert_torch")  # not among the tested dependencies
        except ImportError:
            raise missing("litert", "litert-torch") from None
        model = Named(bundle.classifier()).eval()
        litert_torch.convert(model, sample_kwargs={"images": one}).export(str(folder / MODEL))


def _engine(folder: Path, bundle: Bundle) -> Run:
    with _quiet():
        interpreter = import_module("ai_edge_litert.interpreter")
        runner = interpreter.Interpreter(str(folder / MODEL)).get_signature_runner()

    def run(pixels: np.ndarray) -> Answers:
        found = [runner(images=pixels[i : i + 1]) for i in range(len(pixels))]
        return Answers(
            **{name: np.concatenate([each[name] for each in found]) for name in found[0]}
        )

    return run


@contextmanager
def _quiet() -> Generator[None]:
    """Without the converter's reports on its steps."""
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(StringIO()))
        stack.enter_context(redirect_stderr(StringIO()))
        disabled = logging.root.manager.disable
        stack.callback(logging.disable, disabled)
        logging.disable(logging.WARNING)
        yield


RUNTIME = Runtime(
    title="LiteRT",
    files=(MODEL,),
    write=_write,
    engine=_engine,
    images=500,
    batch=1,
    package="litert-torch",
)
