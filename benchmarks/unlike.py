"""Which score tells images unlike those of the training, and how well the shipped one does.

    python -m benchmarks.unlike runs/RUN … --held-out runs/WITHOUT-THREE-CLASSES

Compared by: the validation images of every run, against images made from them in six ways; and
those of the run `--held-out`, trained without three of the classes (here, unless it exists),
against images of these. `unlike-choice.json` has the mean AUROC of each score. Judged, in
`unlike.json`: the shipped score on the first run's test images against foreign sets, which have no
say in the choice.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.foreign_images import foreign_sets, made_outliers
from clearsight.config.recipes import load_recipe
from clearsight.data.images import ImageSet
from clearsight.data.sources import find_source, load_images
from clearsight.errors import DataError
from clearsight.evaluation.metrics import batch_size
from clearsight.evaluation.selection import unlike_threshold
from clearsight.ledger import record_benchmark
from clearsight.models.classifier import Classifier, unlike
from clearsight.runtime.environment import environment
from clearsight.training.checkpoint import load_classifier
from clearsight.workflows.loading import LoadedRun, load_run
from clearsight.workflows.train import train

UNKNOWN = ("bird", "dog", "ship")  # what the run `--held-out` is trained without
SHIPPED = "largest logit"
FITTED_ON = 10_000  # training images, at most
# Of 50,000 the paper takes the 50th neighbour: as large a part.
NEIGHBOUR = FITTED_ON // 1000


class Output(NamedTuple):
    """Features float32 [N, D] and logits float32 [N, K]."""

    features: Tensor
    logits: Tensor


Score = Callable[[Output], Tensor]


def outputs(model: Classifier, images: np.ndarray) -> Output:
    """What the network computes of images, uint8 [N, S, S, 3], in fp32 and from one view."""
    batch = batch_size(model.preprocess.size or images.shape[1])
    features, logits = [], []
    with torch.inference_mode():
        for start in range(0, len(images), batch):
            pixels = torch.from_numpy(np.array(images[start : start + batch]))
            features.append(model.backbone(model.preprocess(pixels)))
            logits.append(model.head(features[-1]))
    return Output(torch.cat(features), torch.cat(logits))


def fitted_scores(known: Output, labels: np.ndarray, neighbour: int) -> dict[str, Score]:
    """The scores in question; `known` are training images, `labels` int64 [N] theirs.

    Energy is that of W. Liu et al., "Energy-based out-of-distribution detection", 2020
    (arXiv:2010.03759).
    """
    return {
        "largest logit": lambda of: unlike(of.logits),
        "energy": lambda of: -of.logits.logsumexp(1),
        **mahalanobis(known.features, torch.from_numpy(labels)),
        "nearest neighbours": nearest_neighbours(known.features, neighbour),
    }


def mahalanobis(features: Tensor, labels: Tensor) -> dict[str, Score]:
    """Squared distances to the nearest class mean, by one covariance for all classes.

    K. Lee et al., "A simple unified framework for detecting out-of-distribution samples", 2018; the
    relative one, less the distance to the mean of all images, is from J. Ren et al., "A simple fix
    to Mahalanobis distance", 2021 (arXiv:2106.09022). Covariances are shrunk as Ledoit and Wolf do.
    """
    from sklearn.covariance import LedoitWolf

    def whitening(rows: Tensor) -> Tensor:  # W with W Wᵀ the inverse of the covariance
        precision = LedoitWolf(assume_centered=True).fit(rows.double().numpy()).precision_
        return torch.linalg.cholesky(torch.from_numpy(precision)).float()

    means = torch.stack([features[labels == k].mean(0) for k in labels.unique()])
    mean = features.mean(0)
    _, position = labels.unique(return_inverse=True)
    shared, whole = whitening(features - means[position]), whitening(features - mean)

    def nearest(of: Output) -> Tensor:
        return torch.cdist(of.features @ shared, means @ shared).square().amin(1)

    def relative(of: Output) -> Tensor:
        return nearest(of) - ((of.features - mean) @ whole).square().sum(1)

    return {"nearest class mean": nearest, "relative Mahalanobis": relative}


def nearest_neighbours(features: Tensor, neighbour: int) -> Score:
    """Distance to the k-th nearest training image, of features of length 1.

    Y. Sun et al., "Out-of-distribution detection with deep nearest neighbors", 2022
    (arXiv:2204.06507).
    """
    bank = torch.nn.functional.normalize(features)

    def score(of: Output) -> Tensor:
        near = (torch.nn.functional.normalize(of.features) @ bank.T).topk(neighbour).values[:, -1]
        return (2 - 2 * near).clamp_min(0).sqrt()

    return score


def judge(inside: np.ndarray, outside: np.ndarray, threshold: float) -> dict[str, float]:
    """How well scores float [N] of images like the training's and [M] of others stand apart.

    `auroc`; `fpr95`, the share of the others below the threshold that 95 % of `inside` pass; and
    `flagged`, the share of the others above `threshold`.
    """
    from sklearn.metrics import roc_auc_score

    both = np.concatenate([inside, outside])
    return {
        "n": len(outside),
        "auroc": float(roc_auc_score(np.arange(len(both)) >= len(inside), both)),
        "fpr95": float((outside <= unlike_threshold(inside, 0.95)).mean()),
        "flagged": float((outside > threshold).mean()),
    }


class Fitted(NamedTuple):
    """A run's model, the scores fitted on its training part, and its validation part."""

    model: Classifier
    scores: dict[str, Score]
    validation: Output


def fitted(loaded: LoadedRun) -> Fitted:
    images, parts, model = loaded.images, loaded.split, load_classifier(loaded.run.weights)
    known = parts.train[:FITTED_ON]
    scores = fitted_scores(
        outputs(model, images.images[known]),
        images.labels[known],
        max(1, NEIGHBOUR * len(known) // FITTED_ON),
    )
    return Fitted(model, scores, outputs(model, images.images[parts.validation]))


def judged(
    run: Fitted, inside: Output, others: Mapping[str, np.ndarray]
) -> dict[str, dict[str, Any]]:
    """By score: how many of `inside` are above the threshold, and how each of `others` does.

    `others`: images, uint8 [N, S, S, 3]; `auroc` is the mean over them.
    """
    found = {name: outputs(run.model, pixels) for name, pixels in others.items()}
    result = {}
    for name, score in run.scores.items():
        threshold, own = unlike_threshold(score(run.validation).numpy()), score(inside).numpy()
        sets = {key: judge(own, score(of).numpy(), threshold) for key, of in found.items()}
        result[name] = {
            "inside": {"n": len(own), "flagged": float((own > threshold).mean())},
            "sets": sets,
            "auroc": float(np.mean([row["auroc"] for row in sets.values()])),
        }
    return result


def of_known_classes(images: ImageSet) -> ImageSet:
    """Without the images of `UNKNOWN`."""
    known = [name for name in images.classes if name not in UNKNOWN]
    numbers = np.array([known.index(c) if c in known else -1 for c in images.classes])
    kept = numbers[images.labels] >= 0
    arrays = {key: getattr(images, key)[kept] for key in ("images", "ids", "parts", "files")}
    return replace(images, labels=numbers[images.labels][kept], classes=tuple(known), **arrays)


def of_unknown_classes(images: ImageSet, n: int) -> dict[str, np.ndarray]:
    """The first `n` training-side images of each class of `UNKNOWN`."""
    return {
        name: images.images[
            (images.labels == images.classes.index(name)) & (images.parts != "test")
        ][:n]
        for name in UNKNOWN
    }


def cifar100(n: int, data_dir: str | None) -> dict[str, np.ndarray]:
    """Test images of CIFAR-100, where it is at hand."""
    try:
        find_source("cifar100", data_dir=data_dir, download=False)
    except DataError:
        return {}
    images = load_images("cifar100", data_dir=data_dir)
    return {"CIFAR-100": images.images[images.parts == "test"][:n]}


def choice_table(
    found: Mapping[str, Mapping[str, Any]], mean: Mapping[str, float]
) -> dict[str, Any]:
    """AUROC by score, of the runs that scores are compared by."""
    rows = [
        [name, *(f"{run[name]['auroc']:.3f}" for run in found.values()), f"{value:.3f}"]
        for name, value in sorted(mean.items(), key=lambda item: -item[1])
    ]
    return {"head": ["score", *found, "mean"], "rows": rows}


def foreign_table(found: Mapping[str, Any]) -> dict[str, Any]:
    """The shipped score on the foreign sets."""
    head = ["images", "n", "called unlike", "AUROC", "pass where 95 % of the test images do"]
    rows = [
        [
            name,
            f"{row['n']:,}",
            f"{row['flagged']:.1%}",
            f"{row['auroc']:.3f}",
            f"{row['fpr95']:.1%}",
        ]
        for name, row in found["sets"].items()
    ]
    inside = found["inside"]
    own = ["CIFAR-10, test", f"{inside['n']:,}", f"{inside['flagged']:.1%}", "", ""]
    return {"head": head, "rows": [own, *rows]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+", help="of CIFAR-10; the first is judged")
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--budget", type=float, default=100, help="of its training, seconds")
    parser.add_argument("--images", type=int, default=1000, help="of each set, at most")
    parser.add_argument("--data-dir")
    parser.add_argument("--out", type=Path, default=Path("results/unlike.json"))
    given = parser.parse_args()
    n, rng = given.images, np.random.default_rng(0)

    choice, runs = {}, []
    for path in given.runs:
        loaded = load_run(path, data_dir=given.data_dir)
        runs.append((loaded, fitted(loaded)))
        made = made_outliers(loaded.images.images[loaded.split.validation[:n]], rng)
        choice[f"{path.name}, made"] = judged(runs[-1][1], runs[-1][1].validation, made)
        print(path, flush=True)
    whole = load_images("cifar10", data_dir=given.data_dir)
    known = of_known_classes(whole)
    if not given.held_out.exists():
        recipe = load_recipe("demo")
        recipe = replace(
            recipe,
            training=replace(recipe.training, budget=given.budget),
            evaluation=replace(recipe.evaluation, target=None),
        )
        train(recipe, out=given.held_out, data=known)
    run = fitted(load_run(given.held_out, data=known))
    unknown = of_unknown_classes(whole, n)
    choice[f"{given.held_out.name}, held-out classes"] = judged(run, run.validation, unknown)
    mean = {
        name: float(np.mean([found[name]["auroc"] for found in choice.values()]))
        for name in next(iter(choice.values()))
    }
    loaded, run = runs[0]
    others = foreign_sets(loaded.images.size, n, rng) | cifar100(n, given.data_dir)
    inside = outputs(run.model, loaded.images.images[loaded.split.test])
    foreign = judged(run, inside, others)
    tables = (foreign_table(foreign[SHIPPED]), choice_table(choice, mean))
    for table in tables:
        for row in (table["head"], *table["rows"]):
            print("".join(f"{cell:<28}" for cell in row))
        print()
    machine = environment(torch.device("cpu"), "fp32")
    about = {"recipe": loaded.config.name, "shipped": SHIPPED}
    record_benchmark(given.out, machine, **about, foreign=foreign, table=tables[0])
    record_benchmark(
        given.out.with_stem(f"{given.out.stem}-choice"), machine,
        **about, mean_auroc=mean, runs=choice, table=tables[1],
    )  # fmt: skip


if __name__ == "__main__":
    main()
