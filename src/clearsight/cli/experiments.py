"""The commands that work on finished runs: compare, ui."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from clearsight.cli.options import Json
from clearsight.cli.verdicts import show_comparison


def compare(
    runs: Annotated[tuple[Path, ...], Parameter(help="two or more run folders")],
    /,
    *,
    as_json: Json = False,
) -> None:
    """Tell whether one run is really better than another, image by image."""
    from clearsight.evaluation.compare import compare_runs
    from clearsight.runs import open_run

    show_comparison(compare_runs([open_run(run) for run in runs]), as_json=as_json)


def ui(
    folder: Annotated[Path, Parameter(help="where the run folders are")] = Path("runs"),
    /,
    *,
    port: Annotated[int, Parameter(help="port on this machine")] = 5000,
) -> None:
    """Show the tracked runs on MLflow's own web page, until Ctrl-C."""
    from clearsight.tracking.ui import serve_ui

    serve_ui(folder, port)
