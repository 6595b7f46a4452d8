"""`clearsight evaluate`, and what it prints of corrupted images and of other data sets; `audit`."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

from cyclopts import Parameter

from clearsight.cli import output
from clearsight.cli.options import DataDir, Json, RunFolder, Strict, Truncated
from clearsight.cli.output import show_evaluation, show_json, show_table, show_text
from clearsight.cli.overrides import data_fields
from clearsight.cli.terminal import TerminalProgress
from clearsight.errors import UsageError
from clearsight.files import read_json
from clearsight.notebook import Result
from clearsight.runs import Run
from clearsight.wording import interval, percent


def evaluate(
    run: RunFolder,
    /,
    *,
    tta: Annotated[
        Literal["none", "flip", "flip+shift"] | None,
        Parameter(help="test-time augmentation; default: the recipe's"),
    ] = None,
    corruptions: Annotated[
        bool,
        Parameter(
            help="instead, measure accuracy on corrupted test images and on JPEG files",
            show_default=False,
        ),
    ] = False,
    faithfulness: Annotated[
        bool,
        Parameter(
            help="also test the heatmaps of every method on 500 images; takes minutes",
            show_default=False,
        ),
    ] = False,
    everything: Annotated[
        bool,
        Parameter(
            name="--all",
            help="measure everything: also the heatmaps, and accuracy on corrupted images",
            show_default=False,
        ),
    ] = False,
    sample: Annotated[
        int | None, Parameter(help="with --corruptions: so many test images; default: 1000")
    ] = None,
    data: Annotated[
        str | None,
        Parameter(
            help="another data set with the same classes, to measure beside the run's own; or "
            "where the run's data are now, if they were moved (told apart by ids)"
        ),
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Evaluate a run on its test set, on another data set, or on corrupted images."""
    if tta is not None and (faithfulness or everything):
        raise UsageError("--tta: --faithfulness and --all measure by the recipe; leave --tta out")
    if sample is not None and (sample < 1 or not corruptions):
        raise UsageError("--sample: give 1 or more images, together with --corruptions")
    if corruptions:
        from clearsight.workflows.robustness import evaluate_corruptions

        if tta is not None:
            raise UsageError(
                "--tta: corrupted images are measured with one view each; leave it out"
            )
        size = {} if sample is None else {"n": sample}
        result = evaluate_corruptions(
            run, data=data, data_dir=data_dir, progress=TerminalProgress(), **size
        )
        show_corruptions(result, as_json=as_json)
        return
    from clearsight.workflows.evaluate import evaluate as measure

    evaluation = measure(
        run, data=data, data_dir=data_dir, tta=tta, faithfulness=faithfulness or everything,
        corruptions=everything, progress=TerminalProgress(),
    )  # fmt: skip
    if "own" in evaluation:
        show_other_data(evaluation, as_json=as_json)
        return
    if everything and not as_json:
        from clearsight.evaluation.summary import corruptions_result

        show_corruptions(corruptions_result(read_json(Run(run).corruptions)), as_json=False)
    show_evaluation(evaluation, as_json=as_json)


def show_corruptions(result: Result, *, as_json: bool) -> None:
    """The content of `corruptions.json`."""
    if as_json:
        show_json(result)
        return
    show_text([*result.lines, ""])
    show_table(result.head, result.rows)
    show_text([""])
    show_table(
        ["as JPEG files", "accuracy", "95 % interval", "points below"],
        [
            [
                f"quality {row['quality']}",
                percent(row["accuracy"]["value"]),
                interval(row["accuracy"]),
                f"{100 * row['drop']['value']:.1f}",
            ]
            for row in result["jpeg"]
        ],
    )


def show_other_data(result: Result, *, as_json: bool) -> None:
    """An entry of `other-data.json`."""
    if as_json:
        show_json(result)
        return
    show_text([*result.lines, ""])
    show_table(result.head, result.rows)


def audit(
    data: Annotated[str, Parameter(help="data set: a name or a path")],
    /,
    *,
    data_dir: DataDir = None,
    truncated: Truncated = False,
    out: Annotated[Path | None, Parameter(help="folder for the figures")] = None,
    strict: Strict = False,
    as_json: Json = False,
    overrides: Annotated[Mapping[str, str], Parameter(parse=False)] = MappingProxyType({}),
) -> int:
    """Check a data set: damaged files, duplicates, class balance, image sizes.

    Damaged files are listed, and the exit code is 1 at the end. The fields of a recipe's `[data]`
    are flags here as well (--data.label_column NAME); `train --help` lists them.
    """
    from clearsight.workflows.audit import audit

    report = audit(
        data, data_dir=data_dir, truncated=truncated, out=out, strict=strict,
        settings=data_fields(overrides), progress=TerminalProgress(),
    )  # fmt: skip
    return output.show_audit(report, as_json=as_json)
