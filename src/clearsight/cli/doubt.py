"""The command that doubts labels, and what it prints."""

from collections.abc import Mapping
from typing import Annotated, Any

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
    _show(found, as_json=as_json)


def _show(found: Mapping[str, Any], *, as_json: bool) -> None:
    """How many labels are in doubt, and where to look at them."""
    if as_json:
        output.show_json(found)
        return
    output.show_text(
        f"{part}: {found['trailing'][part]:,} of {found['images'][part]:,} labels trail another "
        f"class, judged by {kind}"
        for part, kind in found["evidence"].items()
    )
    output.show_text([f"page  {found['page']}  (open it in a browser)", f"list  {found['csv']}"])
