"""The commands that work on finished runs: compare, reproduce, ui."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from clearsight.cli.options import DataDir, Json
from clearsight.cli.registry import bundle_folder
from clearsight.cli.screen import Screen
from clearsight.cli.verdicts import show_comparison, show_reproduction


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


def reproduce(
    source: Annotated[Path, Parameter(help="a run folder, a bundle, or NAME@ALIAS")],
    /,
    *,
    data: Annotated[
        str | None, Parameter(help="where the data lie, if not where they were")
    ] = None,
    data_dir: DataDir = None,
    out: Annotated[Path | None, Parameter(help="new run folder; default: as by train")] = None,
    as_json: Json = False,
) -> int:
    """Train again as recorded, and tell how close the result comes; 1 if it is another."""
    from clearsight.reproduce import DIFFERENT, reproduce

    outcome = reproduce(
        bundle_folder(source), out=out, data=data, data_dir=data_dir, screen=Screen()
    )
    show_reproduction(outcome, as_json=as_json)
    return 1 if outcome["result"] == DIFFERENT else 0


def ui(
    folder: Annotated[Path, Parameter(help="where the run folders are")] = Path("runs"),
    /,
    *,
    port: Annotated[int, Parameter(help="port on this machine")] = 5000,
) -> None:
    """Show the tracked runs on MLflow's own web page, until Ctrl-C."""
    from clearsight.tracking.ui import serve_ui

    serve_ui(folder, port)
