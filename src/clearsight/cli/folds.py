"""`clearsight train --folds`: what a cross-validation prints."""

from pathlib import Path
from typing import Any

from clearsight.cli.output import interval, show_json, show_table, show_text
from clearsight.cli.terminal import TerminalProgress
from clearsight.config.schema import Config
from clearsight.wording import percent


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
    rows = [(run["run"], str(run["fold"]), f"{run['n']:,}", percent(run["accuracy"]))
            for run in result["runs"]]  # fmt: skip
    show_table(("run", "fold", "n", "accuracy"), rows)
    show_text(_summary(result))


def _summary(result: dict[str, Any]) -> list[str]:
    accuracy, spread = result["accuracy"], result["over_folds"]
    return [
        "",
        f"accuracy over all images {percent(accuracy['value'])} (95 % interval "
        f"{interval(accuracy)}, n = {result['n']:,}), each by the model that did not see it",
        f"{result['folds']} folds: accuracy {percent(spread['mean'])} ± {percent(spread['sd'])} "
        f"(sd), from {percent(spread['min'])} to {percent(spread['max'])}",
    ]
