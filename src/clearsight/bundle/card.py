"""`MODEL_CARD.md`: what a bundle is, for the person who finds it."""

from collections.abc import Mapping
from typing import Any

from clearsight.evaluation.copies import copies_sentence
from clearsight.evaluation.verdict import target_verdict
from clearsight.wording import percent

PYTHON = """\
import clearsight

model = clearsight.load("path/of/this/folder")
for prediction in model.predict(["image.png"]):
    print(prediction.file, prediction.label, f"{prediction.probability:.1%}")
"""

RUNTIME = """\
import json, numpy, onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession("model.onnx")
metadata = session.get_modelmeta().custom_metadata_map
classes, size = json.loads(metadata["classes"]), int(metadata["size"])
image = Image.open("image.png").convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
probabilities = session.run(None, {"images": numpy.asarray(image)[None]})[0][0]
print(classes[probabilities.argmax()], probabilities.max())
"""

MISTAKE = (
    " **Here pixels are divided by 255 twice, a mistake reproduced on purpose for comparison: do "
    "not use this model for anything else.**"
)

CLASSES_NAMED = 200
SHARES_NAMED = (0.5, 0.8, 0.9)

FITTING = {
    "letterbox": "scaled to fit inside, centred on the mean colour of its border",
    "crop": "scaled to cover, the centre cut out",
    "stretch": "scaled to the square, whatever its proportions",
}


def model_card(manifest: Mapping[str, Any]) -> str:
    """Markdown from what `bundle.json` says (see `format.write_bundle`), ending in a newline."""
    classes, size, fit = manifest["classes"], manifest["input"]["size"], manifest["input"]["fit"]
    data = manifest["provenance"].get("data")
    sections = {
        "What it does": (
            f"Classifies an image as one of {len(classes):,} classes. An image of another size is "
            f"fitted to {size} × {size} px (`{fit}`: {FITTING[fit]}). The model takes raw uint8 "
            "RGB; scaling and normalising the pixels are its first layer."
            + (MISTAKE if manifest["preprocessing"].get("scaled_twice") else "")
        ),
        "Classes": ", ".join(f"`{name}`" for name in classes[:CLASSES_NAMED])
        + (
            f" … and others; `bundle.json` names all {len(classes):,}."
            if len(classes) > CLASSES_NAMED
            else ""
        ),
        "Measured": _measured(manifest["metrics"], manifest["parity"])
        + _int8(manifest.get("int8")),
        "How it was trained": _bullets(manifest["provenance"]) or "Not recorded.",
        "Limits": _limits(manifest["metrics"], classes, data, manifest.get("calibration")),
        "How to use it": f"```python\n{PYTHON}```\n\nWith ONNX Runtime alone (here stretching the "
        f"image, which is the same for square ones):\n\n```python\n{RUNTIME}```",
    }
    title = f"{manifest['architecture']}, {len(classes)} classes" + (f" of {data}" if data else "")
    front = (
        "---\nlibrary_name: clearsight\npipeline_tag: image-classification\n"
        f"tags:\n- image-classification\n- onnx\n- {manifest['architecture']}\n---\n"
    )
    body = "\n".join(f"## {heading}\n\n{text}\n" for heading, text in sections.items())
    return f"{front}\n# {title}\n\n{body}"


def int8_cost(int8: Mapping[str, Any]) -> str:
    """What int8 costs, from that key of `bundle.json`: a sentence without its full stop."""

    def share(accuracy: Mapping[str, float]) -> str:
        value, low, high = (f"{100 * accuracy[key]:.2f}" for key in ("value", "low", "high"))
        return f"{value} % (95 % interval {low} to {high} %)"

    points = 100 * int8["difference"]
    return (
        f"validation accuracy {share(int8['accuracy'])}, {share(int8['accuracy_fp32'])} in fp32, "
        f"n = {int8['n']:,}: a difference of {points:+.2f} points, {int8['changed']:,} images got "
        "another label"
    )


def _measured(metrics: Mapping[str, Any], parity: Mapping[str, Any]) -> str:
    lines = []
    if "accuracy" in metrics:
        n, part, tta = metrics["n"], metrics["split"], metrics["tta"]
        lines += ["| | value | 95 % interval | n |", "|---|---|---|---|"]
        views = "" if tta == "none" else f", test-time augmentation {tta}"
        lines.append(_accuracy(f"accuracy ({part}{views})", metrics["accuracy"], n))
        if "accuracy_without_tta" in metrics:
            shipped = metrics["accuracy_without_tta"]
            lines.append(_accuracy(f"accuracy as shipped ({part}, one view)", shipped, n))
        lines += _scores(metrics)
        if "macro" in metrics:
            lines.append(f"| macro F1 | {metrics['macro']['f1']:.4f} | | {n:,} |")
        lines += ["", ""]
        if surest := _surest(metrics):
            lines += [f"Right are {surest}.", ""]
        if copies := copies_sentence(metrics):
            lines += [f"**Warning:** {copies}.", ""]
        if verdict := target_verdict(metrics):
            target = percent(metrics["target"])
            lines += [f"The target of {target} is {verdict.sentence}.", ""]
    else:
        lines += ["Its accuracy was not measured.", "", ""]
    return "\n".join(lines) + (
        f"On {parity['n']:,} test images the ONNX graph and torch gave the same labels (two top "
        f"logits closer than 1e-4: {parity['ties']:,} images, not compared) and probabilities that "
        f"differ by at most {parity['max_difference']:.1e}."
    )


def _scores(metrics: Mapping[str, Any]) -> list[str]:
    """Rows of what the shipped probabilities are worth, where that was measured."""
    judged, rows = metrics.get("probabilities"), []
    if judged is None:
        return []
    when, other = ("after", "before") if "after" in judged else ("before", None)
    for name, key in (
        ("expected calibration error", "ece"),
        ("the same in bins of equal count", "adaptive_ece"),
        ("Brier score", "brier"),
        ("NLL", "nll"),
    ):
        value, low, high = (judged[when][key][end] for end in ("value", "low", "high"))
        before = f", {judged[other][key]['value']:.3f} before calibration" if other else ""
        rows.append(
            f"| {name} ({metrics['split']}, one view{before}) | {value:.3f} | {low:.3f} to "
            f"{high:.3f} | {metrics['n']:,} |"
        )
    return rows


def _surest(metrics: Mapping[str, Any]) -> str:
    """The curve of accuracy over coverage at a few shares; empty where it was not measured."""
    curve = metrics.get("probabilities", {}).get("curve", [])
    named = [row for row in curve if round(row["coverage"], 2) in SHARES_NAMED]
    return ", ".join(
        f"{percent(row['accuracy']['value'])} of the surest {100 * row['coverage']:.0f} % of images"
        for row in reversed(named)
    )


def _int8(int8: Mapping[str, Any] | None) -> str:
    if int8 is None:
        return ""
    return (
        "\n\n`model.int8.onnx` is the same model with most convolutions in 8-bit integers, "
        f"calibrated on {int8['calibration']:,} training images and used where "
        f'`engine="int8"` is asked for; its {int8_cost(int8)}.'
    )


def _accuracy(name: str, accuracy: Mapping[str, float], n: int) -> str:
    low, high = (f"{100 * accuracy[end]:.2f}" for end in ("low", "high"))
    return f"| {name} | {percent(accuracy['value'])} | {low} to {high} % | {n:,} |"


def _limits(
    metrics: Mapping[str, Any],
    classes: list[str],
    data: str | None,
    calibration: Mapping[str, Any] | None,
) -> str:
    lines = [
        f"- Every image gets one of the {len(classes):,} classes, even if it shows none of them"
        f"{_familiar(calibration)}.",
        f"- The numbers apply to images like those of {data or 'its test set'}; "
        "expect lower accuracy on images from other sources.",
        _calibrated(calibration),
    ]
    if metrics.get("per_class"):
        weakest = min(metrics["per_class"], key=lambda row: row["recall"])
        lines.append(
            f"- Its weakest class is `{weakest['name']}`: {weakest['recall']:.1%} of "
            f"{weakest['support']:,} images recognised."
        )
    if metrics.get("pairs"):
        worst = (f"`{p['true']}` as `{p['predicted']}` ({p['count']})" for p in metrics["pairs"])
        lines.append(f"- Most frequent mistakes: {', '.join(list(worst)[:3])}.")
    return "\n".join(lines)


def _familiar(calibration: Mapping[str, Any] | None) -> str:
    if calibration is None or "unlike" not in calibration:
        return ""
    about = calibration["unlike"]
    return (
        f", unless `clearsight predict --familiar` is asked for: an image whose score `unlike` is "
        f"above {about['threshold']:.4g}, which {about['passing']:.0%} of the validation images "
        "are not, then gets no label. That is no guarantee: many images from elsewhere are not "
        "above it either"
    )


def _calibrated(calibration: Mapping[str, Any] | None) -> str:
    if calibration is None:
        return (
            "- The probabilities are the network's own and were not calibrated: that takes a "
            "validation part (and `clearsight evaluate`, for a run of an earlier version)."
        )
    sure = calibration["sure"]
    promised = [
        f"{100 * row['accuracy']:g} % above a probability of {row['probability']:.4f} "
        f"({100 * row['coverage']:.1f} % of the images)"
        for row in sure
    ]
    return (
        "- The probabilities are calibrated for images like those of the validation part (logits "
        f"divided by {calibration['temperature']:.3g}, fitted on {calibration['n']:,} images)."
        + f" Accuracy promised there with 95 % confidence: {', '.join(promised)}."
        * bool(sure)
    )


def _bullets(provenance: Mapping[str, Any]) -> str:
    def text(value: Any) -> str:
        if isinstance(value, Mapping):
            return ", ".join(f"{k} {v}" for k, v in value.items())
        return str(value)

    return "\n".join(
        f"- {key.replace('_', ' ')}: {text(value)}"
        for key, value in provenance.items()
        if value is not None and key != "config"  # the whole recipe is for programs
    )
