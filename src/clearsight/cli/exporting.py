"""The command that exports: a bundle, or its model for another runtime."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from clearsight.cli import output
from clearsight.cli.options import DataDir, Json, MovedData, RunFolder
from clearsight.cli.terminal import TerminalProgress
from clearsight.errors import UsageError


def export(
    run: RunFolder,
    /,
    *,
    to: Annotated[
        Literal["openvino", "litert", "torchscript", "web"] | None,
        Parameter(help="another runtime to write the model for; web: a page for any static host"),
    ] = None,
    out: Annotated[
        Path | None, Parameter(help="folder to write; default: bundle, or --to, in the run")
    ] = None,
    int8: Annotated[
        bool,
        Parameter(
            help="add an int8 graph; refused if validation accuracy drops by more than 0.5 points",
            show_default=False,
        ),
    ] = False,
    data: MovedData = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Export a bundle: weights, ONNX graph, class names and model card.

    With --to, the model of the run's bundle for another runtime, checked on test images.
    """
    from clearsight.workflows.export import convert, export

    progress = TerminalProgress()
    if to is None:
        folder = export(run, out=out, int8=int8, data=data, data_dir=data_dir, progress=progress)
    elif int8:
        raise UsageError("export: found both --to and --int8; int8 is a graph of the bundle")
    else:
        folder = convert(run, to, out=out, data=data, data_dir=data_dir, progress=progress)
    output.show_path("bundle" if to is None else to, Path(folder), as_json=as_json)
