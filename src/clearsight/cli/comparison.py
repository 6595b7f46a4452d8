"""The commands that compare finished runs: compare, reproduce; and what they print."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from clearsight.cli.options import DataDir, Json
from clearsight.cli.output import percent, show_json, show_lines, show_table
from clearsight.cli.registry import bundle_folder
from clearsight.cli.terminal import TerminalProgress


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
    from clearsight.workflows.reproduce import DIFFERENT, reproduce

    outcome = reproduce(
        bundle_folder(source), out=out, data=data, data_dir=data_dir, progress=TerminalProgress()
    )
    show_reproduction(outcome, as_json=as_json)
    return 1 if outcome["result"] == DIFFERENT else 0


def show_comparison(comparison: Mapping[str, Any], *, as_json: bool) -> None:
    """Runs against the first one, on the same images."""
    if as_json:
        show_json(comparison)
        return
    show_lines([f"measured on the same {comparison['n']:,} images ({comparison['part']} part)"])
    show_table(
        ["run", "recipe", "seed", "views", "accuracy", "95 % interval"],
        [
            [
                row["run"], row["recipe"], str(row["seed"]), row["tta"],
                percent(row["accuracy"]["value"]), interval(row["accuracy"], percent),
            ]
            for row in comparison["runs"]
        ],
    )  # fmt: skip
    for pair in comparison["pairs"]:
        rows: list[Mapping[str, Any]] = [*pair["per_class"], {"name": "all", **pair}]
        show_lines(["", f"A = {pair['a']}, B = {pair['b']}"])
        show_table(
            ["class", "n", "both right", "only A", "only B", "neither", "A − B", "95 % interval"],
            [
                [
                    row["name"], str(row["n"]), str(row["both"]), str(row["only_a"]),
                    str(row["only_b"]), str(row["neither"]), points(row["difference"]["value"]),
                    interval(row["difference"], points),
                ]
                for row in rows
            ],
        )  # fmt: skip
        show_lines(
            f"only {name} right: {_first(pair[key])}"
            for name, key in (("A", "only_a_ids"), ("B", "only_b_ids"))
        )
        show_lines([pair["sentence"]])


def show_reproduction(outcome: Mapping[str, Any], *, as_json: bool) -> None:
    """How close a run made anew came, and what differs in its surroundings."""
    if as_json:
        show_json(outcome)
        return
    equal = {True: "equal", False: "not equal", None: "not recorded"}
    show_lines(
        [
            f"recorded {outcome['recorded']}",
            f"run {outcome['run']}",
            f"weights {equal[outcome['weights']]}, history {equal[outcome['history']]}",
        ]
    )
    if outcome["environment"]:
        show_table(
            ["differs", "recorded", "now"],
            [
                [row["name"], str(row["recorded"]), str(row["found"])]
                for row in outcome["environment"]
            ],
        )
    else:
        show_lines(["no difference in versions, hardware and code"])
    show_lines([outcome["sentence"]])


def points(difference: float) -> str:
    """`+1.20`, in percentage points."""
    return f"{100 * difference:+.2f}"


def interval(ends: Mapping[str, float], form: Callable[[float], str]) -> str:
    """`93.55 % to 94.52 %`."""
    return f"{form(ends['low'])} to {form(ends['high'])}"


def _first(ids: Sequence[str], count: int = 3) -> str:
    """The first ids in short, and how many more `--json` names."""
    shown = [f"{each[:12]}…" if len(each) > 12 else each for each in ids[:count]]
    more = [f"{len(ids) - count:,} more (--json names all)"] if len(ids) > count else []
    return ", ".join(shown + more) or "none"
