"""What `clearsight predict` prints: a line per image, and what its promises cost."""

import csv
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from clearsight.cli.encoding import one_line
from clearsight.cli.output import count, percent, show_json, show_lines

if TYPE_CHECKING:  # `clearsight --help` shall be quick
    from clearsight.bundle.format import Bundle
    from clearsight.bundle.predict import Failure, Prediction


def promise_lines(bundle: "Bundle", sure: float | None, coverage: float | None) -> list[str]:
    """What was asked for, from which probability on it holds, and on how many images that rests."""
    from clearsight.bundle import thresholds

    lines = []
    if sure is not None:
        found = thresholds.sure(bundle, sure)
        lines.append(
            f"sure {sure:g}: labels with a probability above {percent(found.probability)}, which "
            f"{percent(found.coverage)} of the validation images reach; "
        )
    if coverage is not None:
        lines.append(
            f"coverage {coverage:g}: sets of the likeliest class and all others with a probability "
            f"of {percent(thresholds.set_from(bundle, coverage))} or more; "
        )
    n = bundle.calibration["n"] if bundle.calibration else 0
    return [f"{line}n = {n:,}, for images like those" for line in lines]


def show_predictions(
    predictions: "Iterable[Prediction | Failure]",
    form: str,
    classes: Sequence[str],
    *,
    sure: bool = False,
    sets: bool = False,
) -> int:
    """A line per image, as soon as it is known; returns how many have an error instead.

    `form`: json (JSON Lines with every probability), csv, or text (file, label, probability).
    With `sure` and `sets` CSV has the columns `reason` and `prediction_set`, its classes joined by
    semicolons; with `sure` stderr says at the end how many were unsure.
    """
    from clearsight.bundle.predict import Failure

    failures = unsure = answers = 0
    writer = csv.writer(sys.stdout, lineterminator="\n")
    optional = ["reason"] * sure + ["prediction_set"] * sets
    names = ["label", "probability", *optional, *(f"p_{c}" for c in classes)]
    if form == "csv":
        writer.writerow(["file", *names, "error"])
    for found in predictions:
        if isinstance(found, Failure):
            failures += 1
        else:
            answers += 1
            unsure += found.reason == "unsure"
        if form == "json":
            show_json(asdict(found) if isinstance(found, Failure) else found.to_dict())
        elif form == "csv":
            cells = (
                [*[""] * len(names), found.error]
                if isinstance(found, Failure)
                else [*_cells(found, optional), ""]
            )
            writer.writerow([found.file, *cells])
        else:
            said = f"error: {found.error}" if isinstance(found, Failure) else _said(found)
            show_lines([f"{one_line(found.file or '')}  {said}"])
        sys.stdout.flush()
    if sure:
        sys.stderr.write(f"unsure: {unsure:,} of {count(answers, 'image')}\n")
    return failures


def _cells(found: "Prediction", optional: Sequence[str]) -> Iterator[str | float]:
    yield from (found.label or "", found.probability)
    for name in optional:
        yield (found.reason or "") if name == "reason" else ";".join(found.prediction_set or ())
    yield from found.probabilities.values()


def _said(found: "Prediction") -> str:
    said = f"{found.label}  {percent(found.probability)}"
    if found.label is None:
        likeliest = max(found.probabilities, key=lambda name: found.probabilities[name])
        said = f"{found.reason} ({likeliest} {percent(found.probability)})"
    if found.prediction_set is not None:
        said += f"  {{{', '.join(found.prediction_set)}}}"
    return said
