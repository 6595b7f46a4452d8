"""What the report says of heatmaps: their test, and the dossier of the confusions."""

import io
from collections.abc import Mapping
from typing import Any

from PIL import Image

from clearsight.evaluation.pages import data_url
from clearsight.explanation.judge import verdict
from clearsight.files import read_json
from clearsight.runs import Run

CURVES = ("insertion", "deletion")


def faithfulness(run: Run) -> dict[str, Any] | None:
    """The table of `faithfulness.json`; None where the run has none."""
    if not run.faithfulness.is_file():
        return None
    judged = read_json(run.faithfulness)
    references = list(judged["rows"][0]["insertion"])
    rows = [
        {
            "name": row["name"].replace("-", " "),
            "areas": [row[curve][reference] for curve in CURVES for reference in references],
            "beats": row.get("beats"),
            "random_weights": row["randomised"][-1]["similarity"] if "randomised" in row else None,
            "shown": row["name"] == judged["method"],
        }
        for row in judged["rows"]
    ]
    return {
        "n": judged["n"],
        "split": judged["split"],
        "steps": judged["steps"],
        "heads": [f"{curve}, {reference}" for curve in CURVES for reference in references],
        "rows": rows,
        "checked": any(row["random_weights"] is not None for row in rows),
        "method": judged["method"].replace("-", " "),
        "verdict": verdict(judged, judged["method"]),
    }


def dossier(run: Run) -> dict[str, Any] | None:
    """`dossier.json` with its pictures as data URLs; None where the run has none."""
    if not (run.dossier.is_file() and run.dossier_pictures.is_file()):
        return None
    content = read_json(run.dossier)
    examples = [example for pair in content["pairs"] for example in pair["examples"]]
    if not examples:
        return None
    with Image.open(run.dossier_pictures) as sheet:
        side = sheet.height // len(examples)
        pictures = [
            [_picture(sheet, side, row, column) for column in range(3 + len(example["neighbours"]))]
            for row, example in enumerate(examples)
        ]
    rows = iter(pictures)
    pairs = [
        {**pair, "examples": [_example(each, next(rows)) for each in pair["examples"]]}
        for pair in content["pairs"]
    ]
    return {**content, "pairs": pairs, "method": content["method"].replace("-", " ")}


def _example(example: Mapping[str, Any], pictures: list[str]) -> dict[str, Any]:
    image, predicted, true, *near = pictures
    neighbours = [
        {"in_doubt": None, **neighbour, "picture": picture}
        for neighbour, picture in zip(example["neighbours"], near, strict=True)
    ]
    return {
        "in_doubt": None, **example, "image": image, "for_predicted": predicted, "for_true": true,
        "neighbours": neighbours,
    }  # fmt: skip


def _picture(sheet: Image.Image, side: int, row: int, column: int) -> str:
    box = (column * side, row * side, (column + 1) * side, (row + 1) * side)
    file = io.BytesIO()
    sheet.crop(box).convert("RGB").save(file, "JPEG", quality=92, subsampling=0)
    return data_url(file.getvalue(), "jpeg")
