"""What the explorer of a report shows: which images, and everything the run says of each.

It is one JSON object, `explorer.json` in the run folder. Pictures are in atlases: one large image
each, in which the small ones stand in rows of `columns`, so that a page of a thousand images needs
no thousand files.
"""

import base64
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from clearsight.evaluation.confusion import confusion_counts
from clearsight.evaluation.predictions import Predictions

SIDE = 48  # px of a picture at most
PIXELS = 6_000_000  # of all pictures: about 9 MB in the page
NEIGHBOURS = 3  # of each image
TOP = 5  # classes of each image
HEAT = "inferno"  # as in the heatmap figures
COLUMNS = 40
CLASSES = 60  # above, the page has a list of confusions and no matrix
POINTS = 20_000  # of the map


def choose(labels: np.ndarray, probabilities: np.ndarray, side: int) -> np.ndarray:
    """int64 [M]: the mistakes, the surest first, then of each class the right ones.

    Of the right ones of a class those come first that are least sure, then the surest, by turns.
    As many as there is room for with their neighbours, a tenth of it for right ones at least.
    `labels`: int64 [N]; `probabilities`: float32 [N, K]; `side` of the images in px.
    """
    most = PIXELS // ((1 + NEIGHBOURS) * min(side, SIDE) ** 2)
    predicted, confidence = probabilities.argmax(1), probabilities.max(1)
    wrong = np.flatnonzero(predicted != labels)
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")][: most - most // 10]
    right = np.flatnonzero(predicted == labels)
    right = right[np.argsort(confidence[right], kind="stable")]
    rank = np.zeros(len(labels), np.int64)
    for k in np.unique(labels[right]):
        own = right[labels[right] == k]
        steps = np.arange(len(own))
        rank[own] = np.minimum(2 * steps, 2 * steps[::-1] + 1)
    right = right[np.lexsort((labels[right], rank[right]))]
    return np.concatenate([wrong, right[: min(most - len(wrong), most // 3)]])


def content(
    predictions: Predictions,
    shown: np.ndarray,
    images: np.ndarray,
    *,
    part: str,
    maps: np.ndarray | None,
    features: np.ndarray | None,
    neighbours: Mapping[str, Any] | None,
    scores: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    """The content of `explorer.json`.

    - `predictions`: of all N measured images; `part` is their name
    - `shown`: int64 [M], the rows that get a picture, see `choose`
    - `images`: uint8 [M, H, W, 3] of those; `maps`: float32 [M, H, W], 0–1, or None
    - `features`: float32 [N, D] for the map of all images, or None
    - `neighbours`: `indices` int64 [M, n] into `images` uint8 [T, H, W, 3], `labels` int64 [T] and
      `files` text [T]; or None
    - `scores`: by name, float [N]: what else is known of each image, such as `unlike`
    """
    probabilities, labels = predictions.probabilities, predictions.labels
    predicted, k = probabilities.argmax(1), len(predictions.classes)
    top = np.argsort(-probabilities[shown], axis=1, kind="stable")[:, :TOP]
    found: dict[str, Any] = {
        "version": 1,
        "part": part,
        "n": len(labels),
        "classes": list(predictions.classes),
        "confusion": confusion_counts(labels, predicted, k).tolist() if k <= CLASSES else None,
        "columns": COLUMNS,
        "side": min(SIDE, images.shape[1]),
        "images": {
            "id": predictions.ids[shown].tolist(),
            "file": predictions.files[shown].tolist(),
            "label": labels[shown].tolist(),
            "top": top.tolist(),
            "probability": _rounded(np.take_along_axis(probabilities[shown], top, 1)),
            "scores": {name: _rounded(values[shown]) for name, values in scores.items()},
        },
        "pictures": _atlas(images),
        "heatmaps": None if maps is None else _atlas(_coloured(maps)),
        "neighbours": None,
        "map": None if features is None else _map(features, labels, predicted, shown),
    }
    if neighbours is not None:
        found["neighbours"] = {
            "indices": neighbours["indices"].tolist(),
            "label": neighbours["labels"].tolist(),
            "file": list(neighbours["files"]),
            "pictures": _atlas(neighbours["images"]),
        }
    return found


def nearest(features: np.ndarray, others: np.ndarray, count: int) -> np.ndarray:
    """int64 [M, count]: by cosine, the rows of `others` [T, D] nearest to each of `features`."""
    similar = _normalised(features) @ _normalised(others).T
    found = np.argpartition(-similar, min(count, len(others)) - 1, axis=1)[:, :count]
    order = np.argsort(-np.take_along_axis(similar, found, 1), axis=1, kind="stable")
    return np.take_along_axis(found, order, 1)


def projected(features: np.ndarray) -> np.ndarray:
    """float32 [N, 2]: the two first principal components of normalised `features` [N, D]."""
    unit = _normalised(features).astype(np.float64)
    centred = unit - unit.mean(0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    axes = vectors[:, ::-1][:, :2]
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
    return np.pad(centred @ axes, ((0, 0), (0, 2 - axes.shape[1]))).astype(np.float32)


def _map(
    features: np.ndarray, labels: np.ndarray, predicted: np.ndarray, shown: np.ndarray
) -> dict[str, Any]:
    """Where each image lies, 0–1000 in both directions; `shown` come first, in their order."""
    positions = projected(features)
    low, span = positions.min(0), np.maximum(np.ptp(positions, 0), 1e-12)
    scaled = np.rint(1000 * (positions - low) / span).astype(np.int64)
    rest = np.setdiff1d(np.arange(len(labels)), shown)[: max(0, POINTS - len(shown))]
    rows = np.concatenate([shown, rest])
    return {
        "x": scaled[rows, 0].tolist(),
        "y": scaled[rows, 1].tolist(),
        "label": labels[rows].tolist(),
        "right": (labels == predicted)[rows].astype(int).tolist(),
    }


def _atlas(pictures: np.ndarray) -> str:
    """uint8 [M, H, W, 3 or 4] as one image, a data URL.

    Photographs as JPEG with their colours at full resolution, what is transparent as WebP.
    """
    side = min(SIDE, pictures.shape[1])
    rows = max(1, -(-len(pictures) // COLUMNS))
    opaque = pictures.shape[3] == 3
    sheet = Image.new("RGB" if opaque else "RGBA", (COLUMNS * side, rows * side))
    for index, pixels in enumerate(pictures):
        picture = Image.fromarray(pixels)
        if picture.size != (side, side):
            picture = picture.resize((side, side), Image.Resampling.LANCZOS)
        sheet.paste(picture, (index % COLUMNS * side, index // COLUMNS * side))
    file = io.BytesIO()
    if opaque:
        sheet.save(file, "JPEG", quality=92, subsampling=0)
    else:
        sheet.save(file, "WEBP", quality=70, alpha_quality=70)
    kind = "jpeg" if opaque else "webp"
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def _coloured(maps: np.ndarray) -> np.ndarray:
    """float [M, H, W], 0–1 → uint8 [M, H, W, 4]: colours to lay over the images, clear at 0."""
    from matplotlib import colormaps

    colours = colormaps[HEAT](maps, bytes=True)
    colours[..., 3] = np.uint8(255 * (0.15 + 0.6 * maps))
    return colours


def _normalised(features: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.maximum(norms, 1e-12)


def _rounded(values: np.ndarray | Sequence[float]) -> list[Any]:
    return np.round(np.asarray(values, np.float64), 4).tolist()


def page_content(data: Mapping[str, Any]) -> dict[str, Any]:
    """What explorer.html.jinja needs of the content of `explorer.json`."""
    folder = Path(__file__).parent
    images, classes = data["images"], data["classes"]
    wrong = sum(t != top[0] for t, top in zip(images["label"], images["top"], strict=True))
    # As it stands in a page, where `</script>` would end it.
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    script = (folder / "explorer.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return {
        "pictures": len(images["label"]),
        "wrong": wrong,
        "n": data["n"],
        "part": data["part"],
        "classes": classes,
        "matrix": data["confusion"] is not None,
        "heatmaps": data["heatmaps"] is not None,
        "neighbours": data["neighbours"] is not None,
        "points": len(data["map"]["x"]) if data["map"] else 0,
        "data": Markup(text),
        "script": Markup(script),
        "script_hash": f"sha256-{digest}",
        "style": Markup((folder / "explorer.css").read_text(encoding="utf-8")),
    }
