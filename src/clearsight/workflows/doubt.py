"""`clearsight doubt`: the labels of a run that are most likely wrong, to look at and correct."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from clearsight.data.images import ImageSet
from clearsight.data.splits import PARTS
from clearsight.errors import RunError
from clearsight.evaluation.doubt import (
    Doubts,
    Evidence,
    cleanlab_evidence,
    from_margins,
    from_probabilities,
    out_of_fold,
    ranked,
    trailing,
    write_doubts,
)
from clearsight.evaluation.doubt_page import write_page
from clearsight.evaluation.metrics import predict_probabilities
from clearsight.evaluation.predictions import read_predictions
from clearsight.models.classifier import Classifier
from clearsight.models.stages import stages
from clearsight.notebook import Result, shown
from clearsight.progress import SILENT, Progress
from clearsight.runs import Run, at_work
from clearsight.runtime.device import pick_device, pick_precision
from clearsight.training.checkpoint import load_classifier, load_margins
from clearsight.training.features import Chunk, Frozen, View, compute_features
from clearsight.training.freezing import selected
from clearsight.training.inputs import CHUNK
from clearsight.training.margins import Margins
from clearsight.training.train import part_digest
from clearsight.workflows.loading import Data, LoadedRun, load_run

SHOWN = 200


def doubt(
    run: Run | Path | str,
    *,
    show: int = SHOWN,
    data: Data | None = None,
    data_dir: Path | str | None = None,
    progress: Progress | None = None,
) -> Result:
    """Ranks all images of a run by how likely their label is wrong; writes `doubt.csv` and page.

    Training labels are judged by how training went, where the backbone learnt from them: it has
    memorised wrong ones by the end. Where it was frozen, by heads fitted to the other images.
    Labels of the other parts, which nothing learnt from, by what the model says of them.

    `doubt.html` shows the first `show`, to correct them by hand. Returns JSON-able values: `csv`
    and `page`, `evidence` by part (`margins`, `out-of-fold heads` or `predictions`), `images` and
    `trailing` by part, how many there are and how many labels trail another class.

    `data` says where the images lie, if not where they were, or is the run's `ImageSet`. Raises
    `RunError` for a run without a checkpoint.
    """
    progress = shown(progress)
    loaded = load_run(run, data=data, data_dir=data_dir, progress=progress)
    if not loaded.run.last.is_dir():
        raise RunError(
            f"run {loaded.run.path}: it has not trained for an epoch yet; "
            f"`clearsight train --resume {loaded.run.path}` does"
        )
    kinds, doubts = find_doubts(loaded, progress)
    with at_work(loaded.run):
        write_doubts(loaded.run.doubts, doubts)
        write_page(loaded.run, doubts, kinds, show)
    images = {part: int((doubts.parts == part).sum()) for part in kinds}
    behind = {part: trailing(doubts, part) for part in kinds}
    lines = [
        f"{part}: {behind[part]:,} of {images[part]:,} labels trail another class, judged by {kind}"
        for part, kind in kinds.items()
    ]
    csv, page = str(loaded.run.doubts), str(loaded.run.doubt_page)
    return Result(
        {"csv": csv, "page": page, "evidence": kinds, "images": images, "trailing": behind},
        [*lines, f"page  {page}  (open it in a browser)", f"list  {csv}"],
    )


def find_doubts(loaded: LoadedRun, progress: Progress = SILENT) -> tuple[dict[str, str], Doubts]:
    """(what each part that has images was judged by, all images ranked)."""
    found = []
    kinds: dict[str, str] = {}
    for part in PARTS:
        rows = getattr(loaded.split, part)
        if len(rows):
            kinds[part], evidence = (
                training_evidence(loaded, progress)
                if part == "train"
                else ("predictions", _of_unlearnt(loaded, rows, part, progress))
            )
            found.append((part, rows, evidence))
    return kinds, ranked(loaded.images, found)


def training_evidence(loaded: LoadedRun, progress: Progress = SILENT) -> tuple[str, Evidence]:
    """(what the labels of the training part are judged by, what is known of them)."""
    config, rows = loaded.config, loaded.split.train
    model = load_classifier(loaded.run.weights)
    if (margins := margin_evidence(loaded, model)) is not None:
        return "margins", margins
    if _learnt(loaded, model):
        progress.say(
            "doubt: the run kept no margins (Mixup and CutMix give none, and versions before "
            "kept none), so heads on its features judge; the network has memorised part of what "
            "is wrong"
        )
    features = training_features(loaded, model, progress)
    labels = loaded.images.labels[rows]
    probabilities = out_of_fold(
        features, labels, len(loaded.images.classes), config.data.seed, progress,
        groups=None if loaded.images.groups is None else loaded.images.groups[rows],
    )  # fmt: skip
    return "out-of-fold heads", cleanlab_evidence(labels, probabilities)


def margin_evidence(loaded: LoadedRun, model: Classifier) -> Evidence | None:
    """What training itself knows of its labels; None where the backbone learnt nothing from them,
    or no margins were kept."""
    kept = Margins(len(loaded.split.train), torch.device("cpu"))
    if loaded.run.last.is_dir():
        load_margins(loaded.run.last, kept.state())
    if not (_learnt(loaded, model) and kept.counts.any()):
        return None
    return from_margins(kept.sums.numpy(), kept.counts.numpy(), kept.rivals.numpy())


def _learnt(loaded: LoadedRun, model: Classifier) -> bool:
    """Whether the backbone learnt from the labels, and not the head alone."""
    return any(
        not name.startswith("head.")
        for phase in loaded.config.phases
        for name in selected(model, phase.trainable)
    )


def training_features(
    loaded: LoadedRun, model: Classifier, progress: Progress = SILENT
) -> np.ndarray:
    """float32 [N, D] of the training part as it is, from the cache where training left them."""
    config, images, rows = loaded.config, loaded.images, loaded.split.train
    device = pick_device(config.training.device)
    precision = pick_precision(config.training.precision, device)
    model = model.to(device).to(memory_format=torch.channels_last)
    view = View(
        name=f"{len(rows):,} training images",
        count=len(rows),
        metadata={"ids": part_digest(images, rows)},
        chunks=partial(_chunks, images, rows, device),
    )
    cache = config.cache
    if cache.store == "off":
        cache = replace(cache, disk=0.0)
    depth = len(stages(model.backbone))
    found = compute_features(Frozen(model, depth, device, precision), [view], cache, progress)
    if found is None:
        raise RunError(
            f"run {loaded.run.path}: the features of its training images need more room than its "
            "recipe's cache.disk and cache.memory allow; train with larger ones"
        )
    return found[0].rows.float().cpu().numpy()


def _chunks(images: ImageSet, rows: np.ndarray, device: torch.device) -> Iterator[Chunk]:
    for start in range(0, len(rows), CHUNK):
        pixels = torch.from_numpy(images.images[rows[start : start + CHUNK]]).to(device)
        yield pixels, torch.zeros(len(pixels), dtype=torch.int64)


def _of_unlearnt(loaded: LoadedRun, rows: np.ndarray, part: str, progress: Progress) -> Evidence:
    """Of images that were not trained on: from the run's predictions, or made now."""
    run, images = loaded.run, loaded.images
    for path in (run.predictions, run.validation_predictions):
        if path.is_file():
            kept = read_predictions(path)
            if kept.ids.tolist() == [name.decode() for name in images.ids[rows].tolist()]:
                return from_probabilities(images.labels[rows], kept.probabilities)
    probabilities = predict_probabilities(
        load_classifier(run.weights),
        images.images[rows],
        progress=progress,
        name=f"predicting {part}",
    )
    return from_probabilities(images.labels[rows], probabilities)
