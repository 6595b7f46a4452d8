"""`clearsight audit`: damage, duplicates and balance of a data set, before training on it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from clearsight.config.parsing import parse
from clearsight.config.schema import Config, DataConfig
from clearsight.data import audit as auditing
from clearsight.data.splits import split
from clearsight.errors import DataError
from clearsight.figures.run import draw_audit, draw_data
from clearsight.notebook import Figures, shown
from clearsight.progress import Progress
from clearsight.workflows.loading import load_data


def audit(
    source: str,
    *,
    data_dir: Path | str | None = None,
    truncated: bool = False,
    out: Path | str | None = None,
    strict: bool = False,
    settings: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> auditing.AuditReport:
    """Checks a data set as it would be split by default; figures go into `out`, if given.

    `settings` are fields of a recipe's `[data]` other than `source` and `truncated`, such as
    `{"label_column": "breed"}`; without, they have their defaults.
    One that can't be split is checked as a whole, and the report says why. Damaged images are left
    out and listed; with `strict` the first is a `DataError`.
    """
    progress = shown(progress)
    corrupt: list[str] = []
    table = {**(settings or {}), "source": source, "truncated": truncated}
    config = Config(data=parse(DataConfig, table, "data"))
    images = load_data(
        config, data_dir, progress,
        on_corrupt=None if strict else lambda file, why: corrupt.append(f"{file}: {why}"),
    )  # fmt: skip
    parts, unsplit = None, None
    try:
        parts = split(images, config.data, progress)
    except DataError as error:
        unsplit = str(error)
    report = auditing.audit(
        images, parts, corrupt=tuple(corrupt), unsplit=unsplit, progress=progress
    )
    if out is not None:
        drawn = draw_data(Path(out), images, parts) + draw_audit(Path(out), images, report)
        report = replace(report, figures=Figures(drawn))
    return report
