"""The Grad-CAM figures of a run, and of images of one's own."""

import hashlib
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from clearsight.data.decoding import read_image
from clearsight.data.images import Fit, fit_image
from clearsight.errors import UsageError
from clearsight.evaluation.metrics import confusion_counts, confusion_pairs, predict_probabilities
from clearsight.explanation.cam import choose_layer, grad_cam
from clearsight.figures.cam import (
    ConfusedPair,
    gradcam_confusion_analysis,
    gradcam_image,
    gradcam_samples,
)
from clearsight.figures.save import save
from clearsight.figures.style import message_figure
from clearsight.models.classifier import Classifier

SAMPLES = 3
PAIRS = 4
EXAMPLES = 2
SHOWN_CLASSES = 3


def explain_run(
    model: Classifier,
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
    figures_dir: Path,
    *,
    layer: str | None = None,
) -> list[Path]:
    """Writes `gradcam_samples.png` and `gradcam_confusion_analysis.png`; returns their paths.

    `images`: uint8 [N, H, W, 3]; `labels`: int64 [N]; `probabilities`: float32 [N, K], as
    evaluated. The samples are the right predictions nearest to their median confidence and the
    most confident wrong ones, of different true classes where there are; the pairs are the most
    frequent confusions, each with its most confident examples. Where the model gives no map to
    draw, the figures say why. Raises `UsageError` for an unfit `layer`.
    """
    paths = [figures_dir / "gradcam_samples.png", figures_dir / "gradcam_confusion_analysis.png"]
    try:
        layer = layer or choose_layer(model, images.shape[1:])
    except UsageError as error:
        for path in paths:
            save(message_figure("No heatmaps", str(error)), path)
        return paths
    predicted = probabilities.argmax(1)
    confidence = probabilities.max(1)
    chosen = choose_samples(labels, predicted, confidence)
    samples = gradcam_samples(
        images[chosen],
        _maps(model, images[chosen], predicted[chosen], layer),
        labels=labels[chosen],
        predicted=predicted[chosen],
        probabilities=probabilities[chosen],
        classes=classes,
    )
    pairs: list[ConfusedPair] = []
    for pair in confusion_pairs(confusion_counts(labels, predicted, len(classes)), classes)[:PAIRS]:
        t, p = classes.index(pair["true"]), classes.index(pair["predicted"])
        confused = np.flatnonzero((labels == t) & (predicted == p))
        shown = confused[np.argsort(-confidence[confused], kind="stable")][:EXAMPLES]
        pairs.append(
            ConfusedPair(
                true=pair["true"],
                predicted=pair["predicted"],
                count=pair["count"],
                images=images[shown],
                predicted_maps=_maps(model, images[shown], np.full(len(shown), p), layer),
                true_maps=_maps(model, images[shown], np.full(len(shown), t), layer),
            )
        )
    for path, figure in zip(paths, (samples, gradcam_confusion_analysis(pairs)), strict=True):
        save(figure, path)
    return paths


def explain_images(
    model: Classifier,
    files: Sequence[Path],
    *,
    size: int,
    fit: Fit,
    out: Path,
    layer: str | None = None,
    truncated: bool = False,
) -> list[Path]:
    """Writes `<file's stem>_gradcam.png` into `out` for each image file; returns the paths.

    Each shows the image as the model gets it (`size` px, fitted by `fit`) and the evidence for its
    three most probable classes. With `truncated`, damaged files are used as far as they can be
    decoded. Where `out` holds another file's figure by that name, of this call or an earlier one,
    it gets `-2`, `-3`. Raises `DataError` for a file that is no image, before anything is written,
    and `UsageError` for no file, or a model that gives no maps.
    """
    if not files:
        raise UsageError("images: found none; give at least one image file")
    opened = (read_image(file, str(file), truncated=truncated) for file in files)
    images = np.stack([fit_image(image, size, fit) for image in opened])
    layer = layer or choose_layer(model, images.shape[1:])
    every = predict_probabilities(model, images)
    written = []
    for file, image, probabilities in zip(files, images, every, strict=True):
        top = np.argsort(-probabilities, kind="stable")[:SHOWN_CLASSES]
        maps = _maps(model, np.repeat(image[None], len(top), 0), top, layer)
        names = [model.classes[k] for k in top]
        figure = gradcam_image(image, maps, names, probabilities[top], file.name)
        source = hashlib.sha256(str(file.resolve()).encode("utf-8", "surrogateescape")).hexdigest()
        path = _own_path(out, file.stem, source)
        save(figure, path, source=source)
        written.append(path)
    return written


def choose_samples(labels: np.ndarray, predicted: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """int64 [≤ 6]: three typical right predictions, then the three most confident wrong ones.

    `labels`, `predicted`: int64 [N]; `confidence`: float32 [N], the predicted class's probability.
    """
    right = np.flatnonzero(labels == predicted)
    wrong = np.flatnonzero(labels != predicted)
    if len(right):
        distance = np.abs(confidence[right] - np.median(confidence[right]))
        right = right[np.argsort(distance, kind="stable")]
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")]
    return np.concatenate([_varied(right, labels), _varied(wrong, labels)])


def _own_path(out: Path, stem: str, source: str) -> Path:
    """Where the figure of the file with the digest `source` goes: a new place, or its old one."""
    for count in itertools.count(1):
        suffix = "" if count == 1 else f"-{count}"
        path = out / f"{stem}{suffix}_gradcam.png"
        if not path.exists() or _source(path) == source:
            return path
    raise AssertionError


def _source(path: Path) -> str | None:
    """The digest that `save` wrote into a figure."""
    try:
        with Image.open(path) as image:
            return image.info.get("Source")
    except OSError:
        return None


def _varied(ranked: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The first `SAMPLES` of `ranked`, those first that are the best of their class."""
    _, first = np.unique(labels[ranked], return_index=True)
    best = np.zeros(len(ranked), bool)
    best[first] = True
    return np.concatenate([ranked[best], ranked[~best]])[:SAMPLES]


def _maps(model: Classifier, images: np.ndarray, targets: np.ndarray, layer: str) -> np.ndarray:
    device = next(model.parameters()).device
    pixels = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    return grad_cam(model, pixels, torch.from_numpy(targets), layer=layer).cpu().numpy()
