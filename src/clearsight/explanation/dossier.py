"""The confusion dossier: who was taken for whom, what spoke for either, and what training knew.

For the most frequent confusions, their most confident examples with the heatmaps of both classes
and the nearest training images in feature space, with the labels these have, and whether labels are
in doubt.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from clearsight.data.names import as_utf8
from clearsight.evaluation.confusion import confusion_pairs
from clearsight.evaluation.metrics import batch_size
from clearsight.evaluation.neighbours import nearest
from clearsight.explanation.heatmaps import heatmaps
from clearsight.explanation.methods import DEFAULT, explainer
from clearsight.explanation.scores import image_features
from clearsight.figures.heatmaps import overlaid
from clearsight.models.classifier import Classifier
from clearsight.models.stages import entering_sides
from clearsight.progress import SILENT, Advance, Progress
from clearsight.runtime.device import pick_precision

PAIRS, EXAMPLES, NEIGHBOURS = 8, 3, 5
SEARCHED = 50_000
"""Most training images to search, drawn at random where there are more."""
LARGEST_SIDE = 64
COLUMNS = 3 + NEIGHBOURS
"""Of the pictures: the image, the evidence for either class, the neighbours."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Images uint8 [N, H, W, 3] with labels int64 [N], ids and file names, text [N].

    `doubted`: bool [N], whose label is in doubt; None where nothing is known of that.
    """

    images: np.ndarray
    labels: np.ndarray
    ids: np.ndarray
    files: np.ndarray
    doubted: np.ndarray | None = None


def confusion_dossier(
    model: Classifier,
    measured: Part,
    probabilities: np.ndarray,
    training: Part,
    *,
    split: str,
    method: str = DEFAULT,
    layer: str | None = None,
    progress: Progress = SILENT,
) -> tuple[dict[str, Any], np.ndarray]:
    """(the content of `dossier.json`, the pictures as one image uint8 [rows · S, 8 · S, 3]).

    `probabilities`: float32 [N, K] of the `measured` images, of the part named `split`. A row of
    pictures is an example, in the order of the JSON: the image, the evidence for the class it was
    taken for and for the true one, and its nearest training images by their features' cosine.
    S is the images' side, at most 64. Raises `UsageError` where the method has no map.
    """
    classes = model.classes
    predicted, confidence = probabilities.argmax(1), probabilities.max(1)
    explain = explainer(model, measured.images.shape[1:], method=method, layer=layer)
    pairs = confusion_pairs(measured.labels, predicted, classes)[:PAIRS]
    shown: list[np.ndarray] = []
    for pair in pairs:
        t, p = classes.index(pair["true"]), classes.index(pair["predicted"])
        mistakes = np.flatnonzero((measured.labels == t) & (predicted == p))
        shown.append(mistakes[np.argsort(-confidence[mistakes], kind="stable")][:EXAMPLES])
    rows = np.concatenate([np.zeros(0, np.int64), *shown])
    searched = np.arange(len(training.labels))
    if len(searched) > SEARCHED:
        searched = np.sort(np.random.default_rng(0).permutation(searched)[:SEARCHED])
    near, similarity = _nearest(model, measured.images[rows], training.images, searched, progress)
    content = {
        "split": split,
        "method": method,
        "searched": len(searched),
        "training": len(training.labels),
        "pairs": [
            {
                **pair,
                "examples": [
                    {
                        "id": _text(measured.ids[i]),
                        "file": _text(measured.files[i]),
                        "p_predicted": float(probabilities[i, predicted[i]]),
                        "p_true": float(probabilities[i, measured.labels[i]]),
                        "in_doubt": _in_doubt(measured, i),
                        "neighbours": [
                            {
                                "id": _text(training.ids[j]),
                                "file": _text(training.files[j]),
                                "label": classes[training.labels[j]],
                                "in_doubt": _in_doubt(training, j),
                                "similarity": float(cosine),
                            }
                            for j, cosine in zip(near[row], similarity[row], strict=True)
                        ],
                    }
                    for row, i in enumerate(chosen, start)
                ],
            }
            for pair, chosen, start in zip(pairs, shown, _starts(shown), strict=True)
        ],
    }
    side = min(LARGEST_SIDE, measured.images.shape[1])
    pictures = np.full((max(1, len(rows)) * side, COLUMNS * side, 3), 255, np.uint8)
    if len(rows):
        maps = [
            heatmaps(explain(measured.images[rows], of)).cpu().numpy()
            for of in (predicted[rows], measured.labels[rows])
        ]
        for row, i in enumerate(rows):
            image = measured.images[i]
            cells = [image, *(_bytes(overlaid(image, each[row])) for each in maps)]
            for column, cell in enumerate((*cells, *training.images[near[row]])):
                top, left = row * side, column * side
                pictures[top : top + side, left : left + side] = _thumbnail(cell, side)
    return content, pictures


def _nearest(
    model: Classifier,
    images: np.ndarray,
    training: np.ndarray,
    searched: np.ndarray,
    progress: Progress,
) -> tuple[np.ndarray, np.ndarray]:
    """int64 and float32 [M, ≤ 5]: rows of `training` most like each image, and their cosines."""
    if not len(images):
        return np.zeros((0, 0), np.int64), np.zeros((0, 0), np.float32)
    asked = np.concatenate([*_features(model, images, np.arange(len(images)))])
    with progress.task("searching training images", len(searched)) as advance:
        near, similarity = nearest(asked, _features(model, training, searched, advance), NEIGHBOURS)
    return searched[near], similarity


def _features(
    model: Classifier,
    images: np.ndarray,
    rows: np.ndarray,
    advance: Advance = lambda count: None,
) -> Iterator[np.ndarray]:
    """float32 [n, D] of the images at `rows`, a batch at a time."""
    device = next(model.parameters()).device
    precision = pick_precision("auto", device)
    batch = batch_size(entering_sides(model, torch.from_numpy(images[:1]))[0])
    for start in range(0, len(rows), batch):
        pixels = torch.from_numpy(np.array(images[rows[start : start + batch]])).to(device)
        yield image_features(model, pixels, precision=precision).cpu().numpy()
        advance(len(pixels))


def _in_doubt(part: Part, i: int) -> bool | None:
    return None if part.doubted is None else bool(part.doubted[i])


def _starts(groups: Sequence[np.ndarray]) -> Iterator[int]:
    start = 0
    for group in groups:
        yield start
        start += len(group)


def _thumbnail(image: np.ndarray, side: int) -> np.ndarray:
    if len(image) == side:
        return image
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS))


def _bytes(colours: np.ndarray) -> np.ndarray:
    return np.rint(255 * colours).astype(np.uint8)


def _text(name: object) -> str:
    """An id or file name; of one that is no UTF-8 the bytes as escapes, as in predictions."""
    return as_utf8(name.decode() if isinstance(name, bytes) else str(name))
