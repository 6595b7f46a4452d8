"""`report.html`: a run on one page that needs nothing else, from the run folder's files only."""

import io
import json
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, UndefinedError
from PIL import Image

from clearsight.config.tables import flatten
from clearsight.errors import FileError, first_line, shown
from clearsight.evaluation.copies import copies_sentence, near_sentence
from clearsight.evaluation.corrections import corrections_sentence
from clearsight.evaluation.explorer import page_content
from clearsight.evaluation.intervals import accuracy_interval
from clearsight.evaluation.kept import kept_sentence
from clearsight.evaluation.pages import data_url, template
from clearsight.evaluation.predictions import read_predictions
from clearsight.evaluation.report_heatmaps import dossier, faithfulness
from clearsight.evaluation.shift import shift_sentence
from clearsight.evaluation.slices import SIGNIFICANT, slices_sentence
from clearsight.evaluation.verdict import calibration_sentence, target_verdict
from clearsight.figures.save import PHOTOS
from clearsight.figures.style import DPI
from clearsight.files import read_csv, read_json, write_text
from clearsight.runs import Run
from clearsight.wording import duration, percent

PAIRS_SHOWN = 15
CLASSES_SHOWN = 40
KNOTS_SHOWN = 5
MISTAKES_SHOWN = 12
SLICES_SHOWN = 20
CSS_PX_PER_INCH = 96
# hue-rotate(180deg) of the CSS filter effects module: rows give R, G, B from R, G, B, 1.
HUE_ROTATED = (
    -0.574, 1.430, 0.144, 0,
    0.426, 0.430, 0.144, 0,
    0.426, 1.430, -0.856, 0,
)  # fmt: skip

# (section, figure, caption, what a reader who can't see it should know), in reading order.
_FIGURES = (
    ("training", r"(?:phase(\d+)_)?training_curves", "Training curves",
     "Loss and accuracy per epoch on training and validation images, with the lines of guessing "
     "and of the target."),
    ("classes", "per_class", "Precision, recall and F1 per class, best F1 first",
     "Bars of the numbers in the table of classes."),
    ("classes", "confusion_matrix", "Confusion matrix",
     "Counts of images by true class (rows) and predicted class (columns)."),
    ("classes", "worst_mistakes", "Worst mistakes: wrong predictions the model was most sure of",
     "Images, each with the predicted class, its probability, and the true class."),
    ("probabilities", "reliability", "Reliability, one view per image",
     "Accuracy over confidence in 15 bins, before and after calibration, beside the diagonal where "
     "both are equal; below it the share of images in each bin."),
    ("probabilities", "coverage_accuracy", "Accuracy by coverage, one view per image",
     "Accuracy of the surest images over their share of all, with the thresholds for promised "
     "accuracies."),
    ("explanation", "(?:heatmap|gradcam)_samples", "Where the model looks",
     "Images and the regions that spoke for the predicted class: three right, three wrong."),
    ("explanation", "heatmap_confusions|gradcam_confusion_analysis",
     "Where it looks in its confusions",
     "For the most frequent confusions, the regions that spoke for the predicted and for the true "
     "class."),
    ("robustness", "corruptions", "Accuracy on corrupted images",
     "Lines of the accuracy by severity, a panel for each group of corruptions, and by JPEG "
     "quality; the table has the numbers."),
    ("data", "sample_images", "Sample images, one per class", "One image of each class."),
    ("data", "class_distribution", "Images per class and part",
     "Bars of the number of images of each class in each part."),
    ("data", "near_duplicates", "Near duplicates across parts",
     "Pairs of images that are almost the same and stand in different parts."),
    ("data", "augmentation_examples", "Augmentation examples, as this recipe draws them",
     "Training images and several augmented versions of each."),
)  # fmt: skip

_FILES = (
    ("recipe.toml", "the recipe, every field resolved"),
    ("environment.json", "the machine, versions and code"),
    ("split.json", "the split, as content hashes of its images"),
    ("start.json", "how right the weights were that training started from"),
    ("relabelled.csv", "the corrected labels it was trained with"),
    ("history.csv", "loss, accuracy and learning rate per epoch"),
    ("timing.csv", "seconds and images per second per epoch"),
    ("checkpoints/best", "the best weights by validation"),
    ("checkpoints/last", "the last weights, and what --resume needs"),
    ("slices.json", "the accuracy on each kind of images"),
    ("evaluation.json", "every number of this page's result"),
    ("calibration.json", "the temperature and thresholds from the validation images"),
    ("corruptions.json", "accuracy on corrupted images and JPEG files"),
    ("other-data.json", "accuracy on other data sets"),
    ("predictions.parquet", "every probability for every measured image"),
    ("explorer.json", "what the explorer of this page shows"),
    ("doubt.html", "the labels most likely wrong, to correct them"),
    ("doubt.csv", "all labels, the most doubtful first"),
    ("faithfulness.json", "how the heatmaps fared at deletion and insertion"),
    ("dossier.json", "the most frequent confusions, image by image; pictures in dossier.png"),
    ("figures", "the figures of this page as PNG"),
    ("bundle", "the exported model"),
)


class _Missing(StrictUndefined):
    """What a file lacks fails in the page wherever it is used, also where it is formatted."""

    def __format__(self, specification: str) -> str:
        return str(self)  # which raises


def write_report(run: Run) -> Path:
    """Writes `run.report` from what lies in the run folder, and returns its path.

    The page holds its figures itself and names no outside address. Files the run does not have
    yet are left out. Raises `FileError` where the disk refuses.
    """
    filters = {
        "percent": _unbroken(percent),
        "count": _count,
        "duration": _unbroken(duration),
    }
    try:
        page = template("report.html.jinja", filters, _Missing).render(_content(run))
    except UndefinedError as error:
        raise FileError(
            f"run {run.path}: a file is incomplete ({first_line(error)}); `clearsight evaluate` "
            "writes evaluation.json anew"
        ) from error
    write_text(run.report, page)
    return run.report


def _content(run: Run) -> dict[str, Any]:
    evaluation, manifest = _json(run.evaluation), _json(run.split)
    history = read_csv(run.history) if run.history.is_file() else []
    config = run.config()
    return {
        "name": run.path.resolve().name,
        "config": config,
        "evaluation": evaluation,
        "verdict": target_verdict(evaluation) if evaluation else None,
        "calibration": calibration_sentence(evaluation) if evaluation else None,
        "copies": copies_sentence(evaluation) if evaluation else None,
        "corrections": corrections_sentence(evaluation) if evaluation else None,
        "near_duplicates": near_sentence(evaluation) if evaluation else None,
        "kept": kept_sentence(evaluation) if evaluation else None,
        "strip": _strip(evaluation) if evaluation else None,
        "validation": _best_validation(history, manifest),
        "epochs": len(history),
        "pairs": _pairs(evaluation, run.evaluation) if evaluation else None,
        "mistakes": _mistakes(run) if evaluation else [],
        "per_class": _per_class(evaluation) if evaluation else None,
        "corruptions": _json(run.corruptions),
        "others": [
            entry | {"sentence": shift_sentence(entry)} for entry in _json(run.other_data) or []
        ],
        "slices": _slices(_json(run.slices)) if evaluation else None,
        "figures": _figures(run.figures),
        "explorer": page_content(read_json(run.explorer)) if run.explorer.is_file() else None,
        "faithfulness": faithfulness(run),
        "dossier": dossier(run),
        "split": _split(manifest) if manifest else None,
        "recipe": _short_plans(run.recipe.read_text(encoding="utf-8")),
        "environment": _rows(_json(run.environment) or {}),
        "folder": shlex.quote(str(run.path)),
        "files": [(name, about) for name, about in _FILES if (run.path / name).exists()],
    }


def _json(path: Path) -> Any:
    return read_json(path) if path.is_file() else None


def _strip(evaluation: Mapping[str, Any]) -> dict[str, float | None]:
    """Positions, in per cent of the width, of accuracy, interval and target on one zoomed axis."""
    accuracy, target = evaluation["accuracy"], evaluation["target"]
    values = [accuracy["low"], accuracy["high"], *([] if target is None else [target])]
    margin = max(0.3 * (max(values) - min(values)), 0.005)
    start, end = max(0.0, min(values) - margin), min(1.0, max(values) + margin)

    def place(value: float) -> float:
        return round(100 * (value - start) / (end - start), 2)

    return {
        "start": start,
        "end": end,
        "low": place(accuracy["low"]),
        "high": place(accuracy["high"]),
        "value": place(accuracy["value"]),
        "target": None if target is None else place(target),
    }


def _best_validation(
    history: list[dict[str, Any]], manifest: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """The best epoch by validation accuracy, with its n and interval; None where none was kept."""
    rows = [row for row in history if row.get("val_accuracy") is not None]
    if not rows or manifest is None:
        return None
    best = max(rows, key=lambda row: (row["val_accuracy"], -row["val_loss"]))
    n = len(manifest["parts"]["validation"]["ids"])
    accuracy = accuracy_interval(round(best["val_accuracy"] * n), n)
    return {"epoch": best["epoch"], "n": n, "accuracy": accuracy}


def _pairs(evaluation: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The most frequent confusions, each with its share of the true class."""
    support = {row["name"]: row["support"] for row in evaluation["per_class"]}
    pairs = evaluation["pairs"]
    if wrong := next((pair for pair in pairs if not support.get(pair["true"])), None):
        raise FileError(
            f"{path}: pairs: found the true class {shown(wrong['true'])}, of which per_class has "
            "no images; restore or remove the file"
        )
    return {
        "rows": [pair | {"share": pair["count"] / support[pair["true"]]} for pair in pairs][
            :PAIRS_SHOWN
        ],
        "kinds": len(pairs),
        "mistakes": sum(pair["count"] for pair in pairs),
    }


def _mistakes(run: Run) -> list[dict[str, Any]]:
    """The files of the worst mistakes, as the figure shows them; none where files are not known."""
    if not run.predictions.is_file():
        return []
    predictions = read_predictions(run.predictions)
    rows = []
    for i in predictions.mistakes()[:MISTAKES_SHOWN]:
        k = int(predictions.probabilities[i].argmax())
        rows.append(
            {
                "file": str(predictions.files[i]),
                "predicted": predictions.classes[k],
                "probability": float(predictions.probabilities[i, k]),
                "true": predictions.classes[predictions.labels[i]],
            }
        )
    return rows if any(row["file"] for row in rows) else []


def _per_class(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """The rows to show of the table of classes: all, or the worst and the best by F1."""
    rows = evaluation["per_class"]
    if len(rows) <= CLASSES_SHOWN:
        return {"rows": rows, "left_out": 0}
    ranked = sorted(rows, key=lambda row: row["f1"])
    half = CLASSES_SHOWN // 2
    return {"rows": [*ranked[:half], *ranked[-half:]], "left_out": len(rows) - CLASSES_SHOWN}


def _slices(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The slices to show, by property: of more than 20 of one property the least accurate."""
    if found is None:
        return None
    rows = [row | {"significant": row["p_corrected"] <= SIGNIFICANT} for row in found["slices"]]
    kinds: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        kinds.setdefault(row["property"], []).append(row)
    shown = []
    for some in kinds.values():
        ranked = sorted(some, key=lambda row: row["accuracy"]["value"])
        shown += some if len(some) <= SLICES_SHOWN else ranked[:SLICES_SHOWN]
    sentence = slices_sentence(found)
    return {
        "rows": shown,
        "left_out": len(rows) - len(shown),
        "sentence": sentence[0].upper() + sentence[1:],
    }


def _figures(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """By section, what the page needs of each PNG there is; unknown ones come under `further`."""
    sections: dict[str, list[dict[str, Any]]] = {
        section: [] for section in [*(section for section, *_ in _FIGURES), "further"]
    }
    # Phase 10 comes after phase 9.
    left = sorted(folder.glob("*.png"), key=lambda path: (len(path.stem), path.stem))
    for section, pattern, caption, about in _FIGURES:
        for path in list(left):
            match = re.fullmatch(pattern, path.stem)
            if match:
                phase = f", phase {match[1]}" if match.groups() and match[1] else ""
                sections[section].append(_figure(path, caption + phase, about))
                left.remove(path)
    sections["further"] = [_figure(p, p.stem.replace("_", " ").capitalize(), "") for p in left]
    return sections


def _figure(path: Path, caption: str, about: str) -> dict[str, Any]:
    with Image.open(path) as image:
        width, height = (round(side * CSS_PX_PER_INCH / DPI) for side in image.size)
        boxes = json.loads(image.info.get(PHOTOS, "null"))
        dark = _dark(image, boxes) if boxes else None
    return {
        "caption": caption,
        "about": about,
        "width": width,
        "height": height,
        "source": data_url(path.read_bytes(), "png"),
        # A chart without pictures is turned dark by the page itself.
        "dark": None if dark is None else data_url(dark, "png"),
        "chart": boxes == [],
    }


def _dark(image: Image.Image, boxes: list[tuple[int, int, int, int]]) -> bytes:
    """The figure for a dark page, as PNG: inverted in lightness, its pictures as they are."""
    light = image.convert("RGB")
    # CSS's invert(0.92) hue-rotate(180deg), which the page uses for charts.
    inverted = light.point(lambda value: round(255 * 0.92 - 0.84 * value))
    dark = inverted.convert("RGB", HUE_ROTATED)
    for box in boxes:
        dark.paste(light.crop(box), box)
    file = io.BytesIO()
    dark.save(file, "PNG")
    return file.getvalue()


def _split(manifest: Mapping[str, Any]) -> dict[str, Any]:
    parts = []
    for name, part in manifest["parts"].items():
        counts = manifest["counts"][name].values()
        parts.append(
            {
                "name": name,
                "n": len(part["ids"]),
                "fewest": min(counts, default=0),
                "most": max(counts, default=0),
                "how": part["how"],
            }
        )
    return {
        "source": manifest["source"],
        "classes": manifest["classes"],
        "size": manifest["size"],
        "fit": manifest["fit"],
        "seed": manifest["seed"],
        "hash": manifest["hash"],
        "parts": parts,
    }


def _short_plans(recipe: str) -> str:
    """The recipe with the knots of a budgeted run's plans on one line, of many the ends."""

    def one_line(match: re.Match[str]) -> str:
        knots = re.findall(r"\[\s*(\d+),\s*(\d+),?\s*\]", match[2])
        shown = [f"[{step}, {total}]" for step, total in knots]
        if len(shown) > KNOTS_SHOWN:
            left_out = len(shown) - KNOTS_SHOWN + 1
            shown[2:-2] = [f"… {left_out} more …"]
        return f"{match[1]}[{', '.join(shown)}]"

    return re.sub(r"^(plan = )(\[\n.*?^\])", one_line, recipe, flags=re.MULTILINE | re.DOTALL)


def _rows(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(key, value) as text; nested keys are joined, what is unknown is left out."""
    words = {True: "yes", False: "no"}
    return [
        (name.replace(".", " ").replace("_", " "), words[v] if isinstance(v, bool) else str(v))
        for name, v in flatten(values).items()
    ]


def _unbroken(wording: Callable[..., str]) -> Callable[..., str]:
    """What `wording` says, with no-break spaces."""
    return lambda *args: wording(*args).replace(" ", "\u00a0")


def _count(number: int) -> str:
    return f"{number:,}"
