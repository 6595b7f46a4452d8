"""Doubt about labels: how likely each image's label is wrong, and what it may be instead."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clearsight.data.images import ImageSet
from clearsight.data.names import as_utf8
from clearsight.data.stratify import grouped_folds
from clearsight.errors import UsageError
from clearsight.files import replacing
from clearsight.progress import SILENT, Progress

FOLDS = 5
# Of the logistic heads, on standardised features: weak enough for backbones of any kind, and heads
# that fit their images closely would agree with wrong labels.
PENALTY = 1000.0
COLUMNS = (
    "id", "file", "part", "given", "label", "suggested", "score", "margin", "observations",
)  # fmt: skip
LEAST = 1e-38  # float32's smallest normal number: its logarithm is finite


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known of the labels of some images.

    - `scores`: float64 [N], 0–1, how far the label is to be trusted; NaN where nothing is known
    - `margins`: float64 [N], by how much the label's logit leads the largest other one
    - `suggested`: int64 [N], the class that speaks most against the label
    - `observations`: int64 [N], from how many predictions; 0 where nothing is known
    """

    scores: np.ndarray
    margins: np.ndarray
    suggested: np.ndarray
    observations: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Doubts:
    """Images and what is known of their labels, the most doubtful first.

    - `rows`: int64 [N], indices into `images`; `parts`: text [N], the part of each
    - `evidence`: in the same order
    """

    images: ImageSet
    rows: np.ndarray
    parts: np.ndarray
    evidence: Evidence


def from_margins(sums: np.ndarray, counts: np.ndarray, rivals: np.ndarray) -> Evidence:
    """Evidence from training (`training.margins.Margins`): the mean margin over all steps.

    The score is the share that a softmax over the label and its strongest rival would give it.
    """
    seen = counts > 0
    mean = np.where(seen, sums.astype(np.float64) / np.maximum(counts, 1), np.nan)
    return Evidence(
        scores=_share(mean),
        margins=mean,
        suggested=rivals.astype(np.int64),
        observations=counts.astype(np.int64),
    )


def from_probabilities(
    labels: np.ndarray, probabilities: np.ndarray, scores: np.ndarray | None = None
) -> Evidence:
    """Evidence from probabilities, float [N, K], of a model that did not learn these labels.

    NaN in a row: nothing is known of it. `scores`, by default the labels' probabilities, are float
    [N] in 0–1.
    """
    rows, known = np.arange(len(labels)), np.isfinite(probabilities).all(1)
    others = np.array(probabilities, np.float64)
    own = others[rows, labels]
    others[rows, labels] = -1
    suggested = np.where(known, others.argmax(1), labels)
    lead = np.log(np.maximum(own, LEAST)) - np.log(np.maximum(others[rows, suggested], LEAST))
    margins = np.where(known, lead, np.nan)
    return Evidence(
        scores=np.where(known, own if scores is None else scores, np.nan),
        margins=margins,
        suggested=suggested,
        observations=np.where(known, 1, 0),
    )


def in_doubt(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """bool [N]: where the model finds another class as probable as in images that have that label.

    That is, the mean probability that the images of a class have for it is reached by another class
    than the label, which is also the likeliest. Confident learning's off-diagonal, Northcutt et al.
    2021 (arXiv:1911.00068). `labels`: int64 [N]; `probabilities`: float [N, K], of a model that did
    not learn these labels.
    """
    classes = probabilities.shape[1]
    own = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    support = np.bincount(labels, minlength=classes)
    sums = np.bincount(labels, own, minlength=classes)
    means = np.divide(sums, support, out=np.full(classes, np.inf), where=support > 0)
    reached = np.where(probabilities >= means - 1e-6, probabilities, -1.0)
    instead = reached.max(1, initial=-1) >= 0
    return instead & (reached.argmax(1) != labels) & (probabilities.argmax(1) != labels)


def out_of_fold(
    features: np.ndarray,
    labels: np.ndarray,
    classes: int,
    seed: int,
    progress: Progress = SILENT,
    *,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """float64 [N, K]: what logistic heads say of images that they were not fitted to.

    `features` float [N, D], `labels` int64 [N]. Each image is in one of 5 folds, dealt out by class
    and `seed`, those of a group (`groups`, as in `ImageSet`) in the same one; its head is fitted to
    the others. NaN for an image whose class is in no other fold:
    no head could have known it.
    """
    from sklearn.linear_model import LogisticRegression

    folds = _folds(labels, seed) if groups is None else _grouped(labels, groups, seed)
    scale = np.maximum(features.std(0, dtype=np.float64), 1e-6)
    x = ((features - features.mean(0, dtype=np.float64)) / scale).astype(np.float32)
    found = np.full((len(labels), classes), np.nan)
    with progress.task("out-of-fold heads", FOLDS) as advance:
        for fold in range(FOLDS):
            others = np.flatnonzero(folds != fold)
            own = np.flatnonzero((folds == fold) & np.isin(labels, labels[others]))
            if len(own) and len(np.unique(labels[others])) > 1:
                head = LogisticRegression(C=1 / PENALTY, max_iter=200)
                head.fit(x[others], labels[others])
                found[own] = 0
                found[np.ix_(own, head.classes_)] = head.predict_proba(x[own])
            advance(1)
    return found


def cleanlab_evidence(labels: np.ndarray, probabilities: np.ndarray) -> Evidence:
    """Evidence from out-of-fold probabilities, float [N, K], scored by cleanlab's self-confidence.

    After Northcutt et al. 2021 (arXiv:1911.00068). Raises `UsageError` without cleanlab.
    """
    try:
        from cleanlab.rank import get_label_quality_scores
    except ImportError as error:
        raise UsageError(
            "doubt: cleanlab is not installed; pip install 'clearsight[doubt]'"
        ) from error
    known = np.isfinite(probabilities).all(1)
    scores = np.full(len(labels), np.nan)
    if known.any():
        scores[known] = get_label_quality_scores(labels[known], probabilities[known])
    return from_probabilities(labels, probabilities, scores)


def ranked(images: ImageSet, found: Sequence[tuple[str, np.ndarray, Evidence]]) -> Doubts:
    """All images of several parts: (name, indices into `images`, evidence) each.

    Those of which nothing is known come last.
    """
    joined = [
        np.concatenate([getattr(evidence, name) for _, _, evidence in found])
        for name in ("scores", "margins", "suggested", "observations")
    ]
    parts = np.concatenate([np.full(len(rows), part) for part, rows, _ in found])
    order = np.lexsort((joined[1], joined[0]))  # NaN is sorted last
    scores, margins, suggested, observations = (values[order] for values in joined)
    return Doubts(
        images=images,
        rows=np.concatenate([rows for _, rows, _ in found])[order],
        parts=parts[order],
        evidence=Evidence(
            scores=scores, margins=margins, suggested=suggested, observations=observations
        ),
    )


def trailing(doubts: Doubts, part: str) -> int:
    """How many labels of a part trail another class."""
    return int((doubts.evidence.margins[doubts.parts == part] < 0).sum())


def write_doubts(path: Path, doubts: Doubts) -> None:
    """`doubt.csv`: a row per image, the most doubtful first; what is not known is an empty cell.

    The column `label` is there to be edited: the file is what `train --relabelled` takes.
    """
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        # One by one, for there may be a million.
        writer.writerows(_cells(doubts, i) for i in range(len(doubts.rows)))


def _cells(doubts: Doubts, i: int) -> list[Any]:
    images, evidence, position = doubts.images, doubts.evidence, doubts.rows[i]
    given, known = images.classes[images.labels[position]], evidence.observations[i] > 0
    return [
        images.ids[position].decode(),
        file_name(images, position),
        doubts.parts[i],
        given,
        given,
        images.classes[evidence.suggested[i]] if known else "",
        f"{evidence.scores[i]:.6f}" if known else "",
        f"{evidence.margins[i]:.4f}" if known else "",
        evidence.observations[i],
    ]


def file_name(images: ImageSet, position: int) -> str:
    """The source's own name of an image; what is not valid UTF-8 in it as escapes."""
    return as_utf8(str(images.files[position]))


def _share(margins: np.ndarray) -> np.ndarray:
    from scipy.special import expit

    return expit(margins)


def _grouped(labels: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    folds = np.empty(len(labels), np.int64)
    folds[shuffled] = grouped_folds(labels[shuffled], groups[shuffled], FOLDS)
    return folds


def _folds(labels: np.ndarray, seed: int) -> np.ndarray:
    """int64 [N]: the fold of each image, every class spread evenly over them."""
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]
    folds = np.empty(len(labels), np.int64)
    folds[order] = np.arange(len(labels)) % FOLDS
    return folds
