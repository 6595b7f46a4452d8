"""The commands that compare finished runs: compare, reproduce; and what they print."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from clearsight.cli.encoding import one_line
from clearsight.cli.options import DataDir, Json
from clearsight.cli.output import (
    shorten,
    show_json,
    show_lines,
    show_table,
    show_text,
)
from clearsight.cli.registry import bundle_folder
from clearsight.cli.terminal import TerminalProgress
from clearsight.notebook import Result

CLASSES_SHOWN = 20


def compare(
    runs: Annotated[tuple[Path, ...], Parameter(help="two or more run folders")],
    /,
    *,
    as_json: Json = False,
) -> None:
    """Test whether one run is significantly better than another on the same images."""
    from clearsight.evaluation.compare import compare_runs

    show_comparison(compare_runs(runs), as_json=as_json)


def reproduce(
    source: Annotated[Path, Parameter(help="a run folder, a bundle, or NAME@ALIAS")],
    /,
    *,
    data: Annotated[str | None, Parameter(help="path of the data, if it has moved")] = None,
    data_dir: DataDir = None,
    out: Annotated[Path | None, Parameter(help="new run folder; default: as for train")] = None,
    as_json: Json = False,
) -> int:
    """Train again as recorded and compare the results; exit code 1 if they differ."""
    from clearsight.workflows.reproduce import DIFFERENT, reproduce

    outcome = reproduce(
        bundle_folder(source), out=out, data=data, data_dir=data_dir, progress=TerminalProgress()
    )
    show_reproduction(outcome, as_json=as_json)
    return 1 if outcome["result"] == DIFFERENT else 0


def show_comparison(comparison: Result, *, as_json: bool) -> None:
    """Runs against the first one, on the same images."""
    if as_json:
        show_json(comparison)
        return
    show_lines(comparison.lines[:1])
    show_table(comparison.head, comparison.rows, optional=["time", "recipe", "seed", "views"])
    for pair in comparison["pairs"]:
        rows, others = _most_different(pair["per_class"])
        rows.append({"name": "all", **pair})
        show_lines(["", f"A = {pair['a']}, B = {pair['b']}"])
        show_table(
            ["class", "n", "both right", "only A", "only B", "neither", "A − B", "95 % interval"],
            [
                [
                    shorten(row["name"], 24), *(
                        f"{row[key]:,}" for key in ("n", "both", "only_a", "only_b", "neither")
                    ),
                    points(row["difference"]["value"]),
                    f"{points(row['difference']['low'])} to {points(row['difference']['high'])}",
                ]
                for row in rows
            ],
            optional=["neither", "both right"],
        )  # fmt: skip
        if others:
            show_lines(
                [f"the {CLASSES_SHOWN} classes that differ most; --json has {others:,} more"]
            )
        for name, key in (("A", "only_a"), ("B", "only_b")):
            named = _first(pair[f"{key}_ids"], pair.get(f"{key}_files"))
            show_text([f"only {name} right: {named}"])
        show_text([pair["sentence"]])


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


def _most_different(
    rows: Sequence[Mapping[str, Any]],
) -> tuple[list[Mapping[str, Any]], int]:
    """(the classes to show, in their order; how many are left out)."""
    if len(rows) <= CLASSES_SHOWN:
        return [*rows], 0
    gaps = [abs(row["difference"]["value"]) for row in rows]
    chosen = sorted(sorted(range(len(rows)), key=lambda k: -gaps[k])[:CLASSES_SHOWN])
    return [rows[k] for k in chosen], len(rows) - CLASSES_SHOWN


def _first(ids: Sequence[str], files: Sequence[str] | None, count: int = 3) -> str:
    """The first images, by their file where it is known, and how many more `--json` names."""
    names = [
        file or f"{id_[:12]}…" for id_, file in zip(ids, files or [""] * len(ids), strict=True)
    ]
    more = [f"{len(ids) - count:,} more (--json names all)"] if len(ids) > count else []
    return ", ".join([*map(one_line, names[:count]), *more]) or "none"
