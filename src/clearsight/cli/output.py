"""What commands print on stdout: text for people, one line of JSON for programs."""

import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from clearsight.cli.encoding import encodable, one_line
from clearsight.cli.terminal import folded
from clearsight.wording import are_numbers, clock, counted, interval, percent

if TYPE_CHECKING:  # `clearsight --help` shall be quick
    from clearsight.config.schema import Config
    from clearsight.data.audit import AuditReport
    from clearsight.notebook import Result
    from clearsight.runs import Run


def show_lines(lines: Iterable[str]) -> None:
    """Each on a line of its own; nothing where there are none."""
    for line in lines:
        sys.stdout.write(line + "\n")


def show_text(lines: Iterable[str]) -> None:
    """Each on a line of its own, folded where it is wider than the terminal."""
    for line in lines:
        show_lines(folded(line, sys.stdout))


def show_json(value: Any) -> None:
    """`value` as JSON on one line."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    # Escapes are valid JSON in any encoding, and for file names that are not valid UTF-8.
    show_lines([text if encodable(text) else json.dumps(value, allow_nan=False)])


def show_table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    optional: Sequence[str] = (),
    wrapped: bool = False,
) -> None:
    """Columns two blanks apart, numbers right-aligned, that fit the terminal's width.

    Where they do not, `optional` columns are left out, from the last named on; `wrapped`
    breaks the last column's text over several lines.
    """
    lines = [list(head), *map(list, rows)]
    width = shutil.get_terminal_size().columns
    for name in reversed(optional):
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        if sum(widths) + 2 * (len(widths) - 1) <= width:
            break
        k = lines[0].index(name)
        lines = [[*line[:k], *line[k + 1 :]] for line in lines]
    columns = list(zip(*lines, strict=True))
    widths = [max(map(len, column)) for column in columns]
    right = [are_numbers(cells) for _, *cells in columns]
    start = sum(widths[:-1]) + 2 * (len(widths) - 1)
    for line in lines:
        *cells, end = (
            f"{cell:>{w}}" if r else f"{cell:<{w}}"
            for cell, w, r in zip(line, widths, right, strict=True)
        )
        first, *more = wrap(end, max(20, width - start)) if wrapped and end.strip() else [end]
        show_lines(["  ".join([*cells, first]).rstrip(), *(" " * start + each for each in more)])


def say_unusable(count_: int) -> int:
    """Says on stderr how many files could not be used; the exit code: 1 where there are any."""
    if count_:
        sys.stderr.write(f"{counted(count_, 'file')} could not be used\n")
    return 1 if count_ else 0


def show_names(key: str, names: Sequence[str], *, as_json: bool) -> None:
    """Names, one a line."""
    if as_json:
        show_json({key: list(names)})
    else:
        show_lines(names)


def show_path(key: str, path: Path, *, as_json: bool) -> None:
    """The name of the one file or folder written."""
    if as_json:
        show_json({key: str(path)})
    else:
        show_lines([str(path)])


def show_explained(figures: Sequence[Path], errors: Mapping[Path, str], *, as_json: bool) -> int:
    """The names of the figures on stdout, of the files without one on stderr; the exit code."""
    if as_json:
        failed = [{"file": str(file), "error": error} for file, error in errors.items()]
        show_json({"figures": [str(path) for path in figures], "errors": failed})
    else:
        show_lines(str(path) for path in figures)
        for file, error in errors.items():
            sys.stderr.write(f"error: {one_line(str(file))}: {error}\n")
    return say_unusable(len(errors))


def show_trained(runs: "Sequence[Run]", *, as_json: bool) -> None:
    """What each finished run reached; over several seeds also mean, deviation and range."""
    from clearsight.evaluation.summary import evaluation_lines
    from clearsight.files import read_json
    from clearsight.ledger import spread

    evaluations = [read_json(run.evaluation) for run in runs]
    over_seeds = spread([evaluation["accuracy"]["value"] for evaluation in evaluations])
    if as_json:
        rows = [
            {"run": str(run.path), "seed": run.config().training.seed, "evaluation": evaluation}
            for run, evaluation in zip(runs, evaluations, strict=True)
        ]
        show_json({"runs": rows, "accuracy": over_seeds})
        return
    for run, evaluation in zip(runs, evaluations, strict=True):
        lines = evaluation_lines(evaluation, run)
        show_text([*lines, f"run {run.path}", f"report {run.report}"])
    if len(runs) > 1:
        show_text(
            [
                f"{len(runs)} seeds: accuracy {percent(over_seeds['mean'])} "
                f"± {percent(over_seeds['sd'])} (sd), "
                f"from {percent(over_seeds['min'])} to {percent(over_seeds['max'])}"
            ]
        )


def show_demo(run: "Run") -> None:
    """The last screen of the demo: what was reached, where it lies, what to try next."""
    from clearsight.evaluation.summary import evaluation_lines
    from clearsight.files import read_json

    command = _own_command()
    show_text(
        [
            "",
            *evaluation_lines(read_json(run.evaluation), run),
            "",
            f"report   {run.report}  (open it in a browser)",
            f"figures  {run.figures}",
            f"bundle   {run.bundle}  (the exported model)",
            "",
            "Next steps:",
            f"  {command} predict {run.bundle} IMAGE.png",
            f"  {command} explain {run.bundle} IMAGE.png",
            f"  {command} evaluate {run.path} --all",
            f"  {command} train resnet20 --data YOUR_FOLDER --budget 5m",
        ]
    )


def show_audit(report: "AuditReport", *, as_json: bool) -> int:
    """What was found in a data set; the exit code: 1 where files could not be used."""
    if as_json:
        show_json(report.to_dict())
    else:
        show_text(report.lines())
    return say_unusable(len(report.corrupt))


def show_evaluation(evaluation: "Result", *, as_json: bool) -> None:
    """The content of `evaluation.json`."""
    if as_json:
        show_json(evaluation)
    else:
        show_text(evaluation.lines)


def show_profile(found: Mapping[str, Any], *, as_json: bool) -> None:
    """What a network costs at each input size."""
    if as_json:
        show_json(found)
        return
    show_lines(
        [
            f"{found['model']} on this machine ({found['device']}), for {found['images']:,} "
            "training images; random weights, nothing about accuracy"
        ]
    )
    show_table(
        ["px", "last map", "images/s", "head", "top:1", "top:2", "all", "memory", "features"],
        [
            [
                str(row["size"]),
                "–" if row["last_map"] is None else "{} × {}".format(*row["last_map"]),
                f"{row['images_per_second']:.0f}",
                *(
                    "–" if row[f"{what}_seconds"] is None else clock(row[f"{what}_seconds"])
                    for what in ("head", "top1", "top2", "all")
                ),
                f"{row['memory'] / 2**20:,.0f} MiB",
                f"{row['feature_bytes'] / 2**20:,.0f} MiB",
            ]
            for row in found["sizes"]
        ],
    )
    show_lines(
        [
            "head: to compute the features once, which is nearly all its training costs;",
            "top:1, top:2 (on cached maps) and all: one epoch; memory: training all, 32 images "
            "at once",
        ]
    )


def show_runs(rows: Sequence[Mapping[str, Any]], folder: Path, *, as_json: bool) -> None:
    """The runs in a folder."""
    if as_json:
        show_json({"runs": list(rows)})
        return
    if not rows:
        show_lines([f"no runs in {folder}; `clearsight train airnet94` makes one"])
        return
    head = ["run", "recipe", "data", "seed", "state", "accuracy", "95 % interval", "n", "views",
            "time", "started"]  # fmt: skip
    optional = ["state", "time", "n", "data", "recipe", "seed", "views", "started"]
    show_table(head, [_run_cells(row) for row in rows], optional=optional)
    show_text(row["problem"] for row in rows if "problem" in row)


def _run_cells(row: Mapping[str, Any]) -> list[str]:
    accuracy = row.get("accuracy")
    return [
        one_line(row["run"]),
        row.get("recipe", "–"),
        one_line(Path(row.get("data", "–")).name),
        str(row.get("seed", "–")),
        row["state"],
        percent(accuracy and accuracy["value"]),
        interval(accuracy),
        f"{row['n']:,}" if "n" in row else "–",
        row.get("tta", "–"),
        clock(row["seconds"]) if "seconds" in row else "–",
        row["started"],
    ]


def show_recipes(about: Mapping[str, str], *, as_json: bool) -> None:
    """The shipped recipes with their descriptions."""
    if as_json:
        show_json({"recipes": [{"name": name, "about": text} for name, text in about.items()]})
    else:
        show_table(
            ["recipe", "description"], [[name, text] for name, text in about.items()], wrapped=True
        )


def show_recipe(config: "Config", text: str, *, as_json: bool) -> None:
    """A recipe: the file as it stands; as JSON every field resolved."""
    from clearsight.config.recipes import to_table

    if as_json:
        show_json(to_table(config))
    else:
        show_lines(text.splitlines())


def show_settings() -> None:
    """Every field of the configuration with its meaning, unit, type and default."""
    from clearsight.config.describe import settings

    width, column = min(shutil.get_terminal_size().columns, 100), 34
    indent = " " * column
    show_lines(["Fields of the recipe, as flags (--phases.1.… is the second phase):"])
    for section, rows in settings():
        show_lines(["", f"[{section}]"])
        for row in rows:
            flag = f"  {row.flag} {row.type}"
            default = f" [default: {row.default}]" if row.default else ""
            about = wrap(row.help + default, width, initial_indent=indent, subsequent_indent=indent)
            if len(flag) < column:
                about[0] = f"{flag:<{column}}{about[0].lstrip()}"
            else:
                about.insert(0, flag)
            show_lines(about)


def shorten(text: str, length: int) -> str:
    """`text` on one line of `length` characters at most."""
    text = one_line(text)
    return text if len(text) <= length else text[: length - 1] + "…"


def _own_command() -> str:
    """What to type for this program: its path, where it is in no folder of PATH (`make demo`)."""
    if shutil.which("clearsight"):
        return "clearsight"
    called = Path(sys.argv[0])
    return "python -m clearsight" if called.name == "__main__.py" else str(called)
