"""A measurement in words: for the terminal, and with a table for a notebook."""

from collections.abc import Mapping
from typing import Any

from clearsight.evaluation.copies import copies_sentence, near_sentence
from clearsight.evaluation.corrections import corrections_sentence
from clearsight.evaluation.kept import kept_sentence
from clearsight.evaluation.slices import slices_sentence
from clearsight.evaluation.verdict import calibration_sentence, target_verdict
from clearsight.files import read_json
from clearsight.notebook import Result
from clearsight.runs import Run
from clearsight.wording import clock, counted, interval, percent


def evaluation_result(evaluation: Mapping[str, Any], run: Run) -> Result:
    """The content of `evaluation.json` in words, and its classes, the least certain first."""
    return Result(
        evaluation,
        evaluation_lines(evaluation, run),
        ["class", "n", "precision", "recall", "F1"],
        [
            [row["name"], f"{row['support']:,}"]
            + [percent(row[key], 1) for key in ("precision", "recall", "f1")]
            for row in sorted(evaluation["per_class"], key=lambda row: row["f1"])
        ],
    )


def corruptions_result(content: Mapping[str, Any]) -> Result:
    """The content of `corruptions.json` in words, and its corruptions at each severity."""
    mean, drop = content["mean"], content["drop"]
    return Result(
        content,
        [
            f"accuracy on corrupted images {percent(mean['value'])} (95 % interval "
            f"{interval(mean)}), mean over {len(content['corruptions'])} corruptions at 5 "
            f"severities; {100 * drop['value']:.1f} points below the same images as they are: "
            f"{percent(content['clean']['value'])} (n = {content['n']:,} of {content['of']:,} "
            f"{content['split']} images, one view each)"
        ],
        ["corruption", "mean", "1", "2", "3", "4", "5"],
        [
            [
                row["name"].replace("_", " "),
                *(percent(accuracy["value"], 1) for accuracy in (row["mean"], *row["severities"])),
            ]
            for row in content["corruptions"]
        ],
    )


def evaluation_lines(evaluation: Mapping[str, Any], run: Run | None = None) -> list[str]:
    """Accuracy with its interval and n, target, averages, phases, most frequent confusions, and
    the worst slice of the run where it is of the same predictions."""
    accuracy, tta = evaluation["accuracy"], evaluation["tta"]
    views = "" if tta == "none" else f", test-time augmentation {tta}"
    lines = [
        f"{evaluation['split']} accuracy {percent(accuracy['value'])} "
        f"(95 % interval {interval(accuracy)}, n = {evaluation['n']:,}{views})"
    ]
    if "accuracy_without_tta" in evaluation:
        plain = evaluation["accuracy_without_tta"]
        lines.append(
            f"one view per image, as in `predict`: {percent(plain['value'])} "
            f"(95 % interval {interval(plain)})"
        )
    if copies := copies_sentence(evaluation):
        lines.append(f"warning: {copies}")
    if corrections := corrections_sentence(evaluation):
        lines.append(f"note: {corrections}")
    if near := near_sentence(evaluation):
        lines.append(near)
    if kept := kept_sentence(evaluation):
        lines.append(kept)
    if verdict := target_verdict(evaluation):
        lines.append(f"target {percent(evaluation['target'])} {verdict.sentence}")
    macro = evaluation["macro"]
    lines.append(
        f"loss {evaluation['loss']:.4f}, macro precision {macro['precision']:.4f}, "
        f"recall {macro['recall']:.4f}, F1 {macro['f1']:.4f}"
    )
    if calibration := calibration_sentence(evaluation):
        lines.append(calibration)
    lines += [
        f"phase {phase['name']}: {counted(phase['epochs'], 'epoch')} in {clock(phase['seconds'])} "
        f"({phase['stop_reason']}{'; gained nothing' * (phase.get('gained') is False)})"
        for phase in evaluation["phases"]
    ]
    pairs = [f"{p['true']} as {p['predicted']} {p['count']}×" for p in evaluation["pairs"][:5]]
    if pairs:
        lines.append(f"most frequent confusions: {', '.join(pairs)}")
    if run and run.slices.is_file() and read_json(run.evaluation)["tta"] == tta:
        lines.append(slices_sentence(read_json(run.slices)))
    return lines
