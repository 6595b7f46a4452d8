"""What `clearsight predict` prints: a line per image, and what its promises cost."""

import csv
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from clearsight.cli.encoding import one_line
from clearsight.cli.output import show_json, show_lines
from clearsight.wording import counted, percent

if TYPE_CHECKING:  # `clearsight --help` shall be quick
    from clearsight.bundle.format import Bundle
    from clearsight.bundle.predict import Failure, Prediction


def promise_lines(
    bundle: "Bundle", sure: float | None, coverage: float | None, familiar: bool = False
) -> list[str]:
    """What was asked for, from where on it holds, and on how many images that rests."""
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
    lines = [f"{line}n = {n:,}, for images like those" for line in lines]
    if familiar:
        most, passing = thresholds.unlike(bundle), (bundle.calibration or {})["unlike"]["passing"]
        lines.append(
            f"familiar: labels for images whose score `unlike` is at most {most:.4g}, as of "
            f"{percent(passing)} of the validation images; n = {n:,}; no guarantee, for images "
            "from elsewhere can score so as well"
        )
    return lines


def show_predictions(
    predictions: "Iterable[Prediction | Failure]",
    form: str,
    classes: Sequence[str],
    *,
    sure: bool = False,
    sets: bool = False,
    familiar: bool = False,
    unlike: bool = False,
) -> int:
    """A line per image, as soon as it is known; returns how many have an error instead.

    `form`: json (JSON Lines with every probability), csv, or text (file, label, probability).
    CSV has the column `reason` with `sure` and `familiar`, `prediction_set`, its classes joined by
    semicolons, with `sets`, and `unlike` where predictions have that score. With `sure` and
    `familiar` stderr says at the end how many labels were held back for it.
    """
    from clearsight.bundle.predict import Failure

    failures = answers = 0
    held_back = {"unsure": 0} if sure else {}
    held_back |= {"unlike": 0} if familiar else {}
    writer = csv.writer(sys.stdout, lineterminator="\n")
    optional = ["reason"] * (sure or familiar) + ["prediction_set"] * sets + ["unlike"] * unlike
    names = ["label", "probability", *optional, *(f"p_{c}" for c in classes)]
    if form == "csv":
        writer.writerow(["file", *names, "error"])
    for found in predictions:
        if isinstance(found, Failure):
            failures += 1
        else:
            answers += 1
            if found.reason:
                held_back[found.reason] += 1
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
    for reason, number in held_back.items():
        sys.stderr.write(f"{reason}: {number:,} of {counted(answers, 'image')}\n")
    return failures


def _cells(found: "Prediction", optional: Sequence[str]) -> Iterator[str | float]:
    yield from (found.label or "", found.probability)
    for name in optional:
        value = getattr(found, name)
        yield ";".join(value) if name == "prediction_set" else "" if value is None else value
    yield from found.probabilities.values()


def _said(found: "Prediction") -> str:
    said = f"{found.label}  {percent(found.probability)}"
    if found.label is None:
        likeliest = max(found.probabilities, key=lambda name: found.probabilities[name])
        said = f"{found.reason} ({likeliest} {percent(found.probability)})"
    if found.prediction_set is not None:
        said += f"  {{{', '.join(found.prediction_set)}}}"
    return said
