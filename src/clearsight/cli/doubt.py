"""The command that doubts labels, and what it prints."""

from typing import Annotated

from cyclopts import Parameter

from clearsight.cli import output
from clearsight.cli.options import DataDir, Json, MovedData, RunFolder
from clearsight.cli.terminal import TerminalProgress
from clearsight.errors import UsageError


def doubt(
    run: RunFolder,
    /,
    *,
    show: Annotated[int, Parameter(help="number of images on the page")] = 200,
    data: MovedData = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Rank the labels that are most likely wrong, on a page and in a CSV file to correct them.

    `train --relabelled FILE` then trains with the corrected labels.
    """
    if show < 1:
        raise UsageError(f"--show: found {show}, expected 1 or more")
    from clearsight.workflows.doubt import doubt

    found = doubt(run, show=show, data=data, data_dir=data_dir, progress=TerminalProgress())
    if as_json:
        output.show_json(found)
    else:
        output.show_text(found.lines)
