"""What commands print on stdout: text for people, one line of JSON for programs."""

import csv
import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from clearsight.cli.terminal import clock, folded

if TYPE_CHECKING:  # `clearsight --help` shall be quick
    from clearsight.bundle.predict import Prediction
    from clearsight.config.schema import Config
    from clearsight.data.audit import AuditReport
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
    show_lines([json.dumps(value, ensure_ascii=False, allow_nan=False)])


def show_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Left-aligned columns, two blanks apart."""
    lines = [head, *rows]
    widths = [max(len(line[k]) for line in lines) for k in range(len(head))]
    show_lines(
        "  ".join(f"{cell:<{w}}" for cell, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def show_names(key: str, names: Sequence[str], *, as_json: bool) -> None:
    """Names, one a line."""
    if as_json:
        show_json({key: list(names)})
    else:
        show_lines(names)


def show_paths(key: str, paths: Sequence[Path], *, as_json: bool = False) -> None:
    """The names of files written."""
    show_names(key, [str(path) for path in paths], as_json=as_json)


def show_path(key: str, path: Path, *, as_json: bool) -> None:
    """The name of the one file or folder written."""
    if as_json:
        show_json({key: str(path)})
    else:
        show_lines([str(path)])


def show_trained(runs: "Sequence[Run]", *, as_json: bool) -> None:
    """What each finished run reached; over several seeds also mean, deviation and range."""
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
        show_text([*evaluation_lines(evaluation), f"run {run.path}", f"report {run.report}"])
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
    from clearsight.files import read_json

    command = _own_command()
    show_text(
        [
            "",
            *evaluation_lines(read_json(run.evaluation)),
            "",
            f"report   {run.report}  (open it in a browser)",
            f"figures  {run.figures}",
            f"bundle   {run.bundle}  (the model to take away)",
            "",
            "Next, try",
            f"  {command} predict {run.bundle} IMAGE.png",
            f"  {command} explain {run.bundle} IMAGE.png",
            f"  {command} train resnet20 --data YOUR_FOLDER --budget 5m",
        ]
    )


def show_audit(report: "AuditReport", *, as_json: bool) -> None:
    """What was found in a data set."""
    if as_json:
        show_json(report.to_dict())
    else:
        show_text(report.lines())


def show_evaluation(evaluation: Mapping[str, Any], *, as_json: bool) -> None:
    """The content of `evaluation.json`."""
    if as_json:
        show_json(evaluation)
    else:
        show_text(evaluation_lines(evaluation))


def evaluation_lines(evaluation: Mapping[str, Any]) -> list[str]:
    """Accuracy with its interval and n, target, averages, phases, most frequent confusions."""
    from clearsight.evaluation.copies import copies_sentence
    from clearsight.evaluation.verdict import target_verdict

    accuracy, tta = evaluation["accuracy"], evaluation["tta"]
    views = "" if tta == "none" else f", test-time augmentation {tta}"
    lines = [
        f"{evaluation['split']} accuracy {percent(accuracy['value'])} "
        f"(95 % interval {percent(accuracy['low'])} to {percent(accuracy['high'])}, "
        f"n = {evaluation['n']:,}{views})"
    ]
    if "accuracy_without_tta" in evaluation:
        plain = evaluation["accuracy_without_tta"]
        lines.append(f"without test-time augmentation {percent(plain['value'])}")
    if copies := copies_sentence(evaluation):
        lines.append(f"warning: {copies}")
    if verdict := target_verdict(evaluation):
        lines.append(f"target {percent(evaluation['target'])} {verdict.sentence}")
    macro = evaluation["macro"]
    lines.append(
        f"loss {evaluation['loss']:.4f}, macro precision {macro['precision']:.4f}, "
        f"recall {macro['recall']:.4f}, F1 {macro['f1']:.4f}"
    )
    lines += [
        f"phase {phase['name']}: {count(phase['epochs'], 'epoch')} in {clock(phase['seconds'])} "
        f"({phase['stop_reason']}{'; gained nothing' * (phase.get('gained') is False)})"
        for phase in evaluation["phases"]
    ]
    pairs = [f"{p['true']} as {p['predicted']} {p['count']}×" for p in evaluation["pairs"][:5]]
    if pairs:
        lines.append(f"most frequent confusions: {', '.join(pairs)}")
    return lines


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


def show_predictions(predictions: "Iterable[Prediction]", form: str) -> None:
    """One line per image: JSON with every probability, CSV, or file, label and probability."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    for number, prediction in enumerate(predictions):
        file, each = prediction.file or "", prediction.probabilities
        if form == "json":
            show_json(asdict(prediction))
        elif form == "csv":
            if number == 0:
                writer.writerow(["file", "label", "probability", *(f"p_{name}" for name in each)])
            writer.writerow([file, prediction.label, prediction.probability, *each.values()])
        else:
            show_lines([f"{file}  {prediction.label}  {percent(prediction.probability)}"])


def show_runs(rows: Sequence[Mapping[str, Any]], folder: Path, *, as_json: bool) -> None:
    """The runs in a folder."""
    if as_json:
        show_json({"runs": list(rows)})
        return
    if not rows:
        show_lines([f"no runs in {folder}; `clearsight train airnet94` makes one"])
        return
    show_table(
        ["run", "recipe", "data", "seed", "state", "accuracy", "n", "views", "started"],
        [
            [
                row["run"], row.get("recipe", "–"), row.get("data", "–"), str(row.get("seed", "–")),
                row["state"], percent(row.get("accuracy", {}).get("value")),
                str(row.get("n", "–")), row.get("tta", "–"), row["started"],
            ]
            for row in rows
        ],
    )  # fmt: skip
    show_text(row["problem"] for row in rows if "problem" in row)


def show_recipes(about: Mapping[str, str], *, as_json: bool) -> None:
    """The shipped recipes, each with what it is."""
    if as_json:
        show_json({"recipes": [{"name": name, "about": text} for name, text in about.items()]})
    else:
        show_table(["recipe", "what it is"], [[name, text] for name, text in about.items()])


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


def count(number: int, thing: str) -> str:
    """`1 epoch`, `2 epochs`."""
    return f"{number:,} {thing}{'s' * (number != 1)}"


def percent(fraction: float | None) -> str:
    """`94.06 %`, or a dash where there is none."""
    return "–" if fraction is None else f"{100 * fraction:.2f} %"


def _own_command() -> str:
    """What to type for this program: its path, where it is in no folder of PATH (`make demo`)."""
    if shutil.which("clearsight"):
        return "clearsight"
    called = Path(sys.argv[0])
    return "python -m clearsight" if called.name == "__main__.py" else str(called)
