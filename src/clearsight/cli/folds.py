"""`clearsight train --folds`: what a cross-validation prints."""

from pathlib import Path

from clearsight.cli.output import show_json, show_table, show_text
from clearsight.cli.terminal import TerminalProgress
from clearsight.config.schema import Config


def cross_validate(
    config: Config,
    folds: int,
    out: Path | None,
    data_dir: Path | None,
    *,
    force: bool,
    as_json: bool,
) -> None:
    """Trains the recipe on each of the folds, and prints what they reached together."""
    from clearsight.workflows.folds import cross_validate

    result = cross_validate(
        config, folds, out=out, data_dir=data_dir, force=force, progress=TerminalProgress()
    )
    if as_json:
        show_json(result)
        return
    show_table(result.head, result.rows)
    show_text(["", *result.lines])
