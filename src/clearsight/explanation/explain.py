"""The heatmaps of a run, and of images of one's own, as figures."""

import hashlib
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from clearsight.data.decoding import read_image
from clearsight.data.images import Fit, fit_image
from clearsight.errors import DataError, UsageError
from clearsight.evaluation.confusion import confusion_pairs
from clearsight.evaluation.metrics import predict_probabilities
from clearsight.explanation.heatmaps import heatmaps
from clearsight.explanation.methods import DEFAULT, METHODS, Explainer, check_method, explainer
from clearsight.figures.heatmaps import (
    ConfusedPair,
    heatmap_confusions,
    heatmap_image,
    heatmap_samples,
)
from clearsight.figures.save import save
from clearsight.figures.style import message_figure
from clearsight.models.classifier import Classifier
from clearsight.progress import SILENT, Progress

SAMPLES = 3
PAIRS = 4
EXAMPLES = 2
SHOWN_CLASSES = 3

Drawn = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Images uint8 [N, H, W, 3] and classes int64 [N] → heatmaps float32 [N, H, W], 0–1."""


def explain_run(
    model: Classifier,
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
    figures_dir: Path,
    *,
    method: str = DEFAULT,
    layer: str | None = None,
    verdict: str | None = None,
    progress: Progress = SILENT,
) -> list[Path]:
    """Writes `heatmap_samples.png` and `heatmap_confusions.png`; returns their paths.

    `images`: uint8 [N, H, W, 3]; `labels`: int64 [N]; `probabilities`: float32 [N, K], as
    evaluated. The samples are the right predictions nearest to their median confidence and the
    most confident wrong ones, of different true classes where there are; the pairs are the most
    frequent confusions, each with its most confident examples. `verdict` is a sentence on whether
    the heatmaps can be trusted, which the figures show. Where the method gives no map for this
    model, the figures say why. Raises `UsageError` for an unknown method or an unfit `layer`.
    """
    paths = [figures_dir / "heatmap_samples.png", figures_dir / "heatmap_confusions.png"]
    check_method(method, layer)
    try:
        maps = _drawn(explainer(model, images.shape[1:], method=method, layer=layer))
    except UsageError as error:
        for path in paths:
            save(message_figure("No heatmaps", str(error)), path)
        return paths
    predicted = probabilities.argmax(1)
    confidence = probabilities.max(1)
    chosen = choose_samples(labels, predicted, confidence)
    samples = heatmap_samples(
        images[chosen],
        maps(images[chosen], predicted[chosen]),
        labels=labels[chosen],
        predicted=predicted[chosen],
        probabilities=probabilities[chosen],
        classes=classes,
        method=METHODS[method].title,
        verdict=verdict,
    )
    confused = confusion_pairs(labels, predicted, classes)[:PAIRS]
    pairs: list[ConfusedPair] = []
    with progress.task("explaining confusions", len(confused)) as advance:
        for pair in confused:
            t, p = classes.index(pair["true"]), classes.index(pair["predicted"])
            mistakes = np.flatnonzero((labels == t) & (predicted == p))
            shown = mistakes[np.argsort(-confidence[mistakes], kind="stable")][:EXAMPLES]
            pairs.append(
                ConfusedPair(
                    true=pair["true"],
                    predicted=pair["predicted"],
                    count=pair["count"],
                    images=images[shown],
                    predicted_maps=maps(images[shown], np.full(len(shown), p)),
                    true_maps=maps(images[shown], np.full(len(shown), t)),
                )
            )
            advance(1)
    confusions = heatmap_confusions(pairs, method=METHODS[method].title, verdict=verdict)
    for path, figure in zip(paths, (samples, confusions), strict=True):
        save(figure, path)
    return paths


def explain_images(
    model: Classifier,
    files: Sequence[Path],
    *,
    size: int,
    fit: Fit,
    out: Path,
    method: str = DEFAULT,
    layer: str | None = None,
    truncated: bool = False,
    on_error: Callable[[Path, str], None] | None = None,
    progress: Progress = SILENT,
) -> list[Path]:
    """Writes `<file's stem>_heatmap.png` into `out` for each image file; returns the paths.

    Each shows the image as the model gets it (`size` px, fitted by `fit`) and the evidence for its
    three most probable classes. With `truncated`, damaged files are used as far as they can be
    decoded. Where `out` holds another file's figure by that name, of this call or an earlier one,
    it gets `-2`, `-3`. A file that can't be used is a `DataError`, and the figures before it stay;
    with `on_error`, called with it and the reason, it is left out. Raises `UsageError` for no file,
    an unknown method, or a model that gives it no maps.
    """
    if not files:
        raise UsageError("images: found none; give at least one image file")
    maps = _drawn(explainer(model, (size, size, 3), method=method, layer=layer))
    written = []
    with progress.task("explaining", len(files)) as advance:
        for file in files:
            advance(1)
            try:
                image = fit_image(read_image(file, str(file), truncated=truncated), size, fit)
            except DataError as error:
                if on_error is None:
                    raise
                on_error(file, str(error).removeprefix(f"{file}: "))
                continue
            name = str(file.resolve()).encode("utf-8", "surrogateescape")
            source = hashlib.sha256(name).hexdigest()
            written.append(_own_path(out, file.stem, source))
            save(_explained(model, image, maps, file.name), written[-1], source=source)
    return written


def _explained(model: Classifier, image: np.ndarray, maps: Drawn, title: str) -> Figure:
    (probabilities,) = predict_probabilities(model, image[None])
    top = np.argsort(-probabilities, kind="stable")[:SHOWN_CLASSES]
    found = maps(np.repeat(image[None], len(top), 0), top)
    names = [model.classes[k] for k in top]
    return heatmap_image(image, found, names, probabilities[top], title)


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
        path = out / f"{stem}{suffix}_heatmap.png"
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


def _drawn(explain: Explainer) -> Drawn:
    return lambda images, classes: heatmaps(explain(images, classes)).cpu().numpy()
