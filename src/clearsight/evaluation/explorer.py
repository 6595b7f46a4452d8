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
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from clearsight.data.names import as_utf8
from clearsight.evaluation.confusion import confusion_counts
from clearsight.evaluation.doubt import in_doubt
from clearsight.evaluation.pages import data_url
from clearsight.evaluation.predictions import Predictions
from clearsight.evaluation.projection import METHODS, map_positions
from clearsight.evaluation.slices import Slice
from clearsight.figures.heatmaps import CAM_COLOURS

SIDE = 48  # px of a picture at most
PIXELS = 6_000_000  # of all pictures: about 9 MB in the page
NEIGHBOURS = 3  # of each image
TOP = 5  # classes of each image
COLUMNS = 40
CLASSES = 60  # above, the page has no matrix


def choose(
    labels: np.ndarray, probabilities: np.ndarray, side: int, first: np.ndarray | None = None
) -> np.ndarray:
    """int64 [M]: the mistakes, the surest first, then of each class the right ones.

    Of the right ones of a class those come first that are least sure, then the surest, by turns.
    As many as there is room for with their neighbours, a tenth of it for right ones at least, and
    another for those of `first`, int64 rows, whether right or wrong.
    `labels`: int64 [N]; `probabilities`: float32 [N, K]; `side` of the images in px.
    """
    most = PIXELS // ((1 + NEIGHBOURS) * min(side, SIDE) ** 2)
    predicted, confidence = probabilities.argmax(1), probabilities.max(1)
    rows = np.empty(0, np.int64) if first is None else first[: most // 10]
    others = np.ones(len(labels), bool)
    others[rows] = False
    wrong = np.flatnonzero((predicted != labels) & others)
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")][: most - most // 10 - len(rows)]
    right = np.flatnonzero((predicted == labels) & others)
    right = right[np.argsort(confidence[right], kind="stable")]
    rank = np.zeros(len(labels), np.int64)
    for k in np.unique(labels[right]):
        own = right[labels[right] == k]
        steps = np.arange(len(own))
        rank[own] = np.minimum(2 * steps, 2 * steps[::-1] + 1)
    right = right[np.lexsort((labels[right], rank[right]))]
    room = min(most - len(wrong) - len(rows), most // 3)
    return np.concatenate([wrong, rows, right[:room]])


def content(
    predictions: Predictions,
    shown: np.ndarray,
    images: np.ndarray,
    *,
    part: str,
    maps: np.ndarray | None,
    mapped: np.ndarray,
    features: np.ndarray,
    neighbours: Mapping[str, Any],
    slices: Sequence[Slice],
    scores: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    """The content of `explorer.json`.

    - `predictions`: of all N measured images; `part` is their name
    - `shown`: int64 [M], the rows that get a picture, see `choose`
    - `images`: uint8 [M, H, W, 3] of those; `maps`: float32 [M, H, W], 0–1, or None
    - `mapped`: int64 [P], the rows on the map, those of `shown` first in their order; `features`:
      float32 [P, D] of those
    - `neighbours`: training images `images` uint8 [T, H, W, 3], their `labels` int64 [T], `files`
      text [T] and `doubted` bool [T], whether their label is in doubt; of these, `indices` int64
      [M, n] are nearest to the shown images, and `duplicates` int64 [M] their duplicates, -1 where
      there is none
    - `slices`: of all N images, those of a property in a row, see `evaluation.slices.cut`
    - `scores`: by name, float [M]: what else is known of each image; the page knows the flags
      `unsure` and `unlike` and the number `unlikeness`
    """
    probabilities, labels = predictions.probabilities, predictions.labels
    own = probabilities[np.arange(len(labels)), labels]
    scores = {
        **scores,
        "label": own[shown],
        "doubted": in_doubt(labels, probabilities)[shown],
    }
    predicted, k = probabilities.argmax(1), len(predictions.classes)
    top = np.argsort(-probabilities[shown], axis=1, kind="stable")[:, :TOP]
    return {
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
            "scores": {name: _rounded(values) for name, values in scores.items()},
        },
        "pictures": _atlas(images),
        "heatmaps": None if maps is None else _atlas(_coloured(maps)),
        "slices": _slices(slices, shown, predicted == labels),
        "neighbours": {
            "indices": neighbours["indices"].tolist(),
            "duplicate": neighbours["duplicates"].tolist(),
            "doubted": neighbours["doubted"].astype(int).tolist(),
            "label": neighbours["labels"].tolist(),
            "file": [as_utf8(str(file)) for file in neighbours["files"]],
            "pictures": _atlas(neighbours["images"]),
        },
        "map": {
            **map_positions(features),
            "label": labels[mapped].tolist(),
            "right": (labels == predicted)[mapped].astype(int).tolist(),
        },
    }


def _slices(slices: Sequence[Slice], shown: np.ndarray, right: np.ndarray) -> list[dict[str, Any]]:
    """Per property: its slices, in words, each one's images and how many are right, and `of`: the
    slice that each shown image is in, -1 where it is in none."""
    found = []
    for name, group in groupby(slices, key=lambda each: each[0]):
        some = list(group)
        of = np.full(len(right), -1)
        for k, (_, _, chosen) in enumerate(some):
            of[chosen] = k
        found.append(
            {
                "property": name,
                "images": [words for _, words, _ in some],
                "n": [len(chosen) for _, _, chosen in some],
                "right": [int(right[chosen].sum()) for _, _, chosen in some],
                "of": of[shown].tolist(),
            }
        )
    return found


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
    return data_url(file.getvalue(), kind)


def _coloured(maps: np.ndarray) -> np.ndarray:
    """float [M, H, W], 0–1 → uint8 [M, H, W, 4]: colours to lay over the images, clear at 0."""
    from matplotlib import colormaps

    colours = colormaps[CAM_COLOURS](maps, bytes=True)
    colours[..., 3] = np.uint8(255 * (0.15 + 0.6 * maps))
    return colours


def _rounded(values: np.ndarray | Sequence[float]) -> list[Any]:
    return np.round(np.asarray(values, np.float64), 4).tolist()


def page_content(data: Mapping[str, Any]) -> dict[str, Any]:
    """What explorer.html.jinja needs of the content of `explorer.json`."""
    folder = Path(__file__).parent
    images, classes = data["images"], data["classes"]
    wrong = sum(t != top[0] for t, top in zip(images["label"], images["top"], strict=True))
    # As it stands in a page, where `</script>` would end it.
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    parts = ("explorer_map.js", "explorer.js")
    script = "\n".join((folder / name).read_text(encoding="utf-8") for name in parts)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return {
        "pictures": len(images["label"]),
        "wrong": wrong,
        "n": data["n"],
        "part": data["part"],
        "classes": classes,
        "matrix": data["confusion"] is not None,
        "heatmaps": data["heatmaps"] is not None,
        "points": len(data["map"]["x"]),
        "method": METHODS[data["map"]["method"]],
        "data": Markup(text),
        "script": Markup(script),
        "script_hash": f"sha256-{digest}",
        "style": Markup((folder / "explorer.css").read_text(encoding="utf-8")),
    }
