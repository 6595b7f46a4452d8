"""How well `clearsight doubt` finds wrong labels that were put in on purpose, and what it costs.

    python -m benchmarks.doubt_labels --data-dir DATA

Of the training images drawn from CIFAR-10, a share gets a wrong label: any other class (`uniform`),
or the class it is most often confused with (`confused`). Per kind and share one run is trained, and
its training images are ranked as the command does. Average precision says how well the wrong labels
come first; a ranking by chance has the share itself.

The reference is cleanlab's ranking on cross-validated predictions: the same recipe trained
`--folds` times, each time on the other folds, for the settings of `--reference`. Both of cleanlab's
usual scores are computed and the better is compared. Two more rankings of the same run say what the
choice is worth: cleanlab's on heads fitted out of fold to the features of the trained network, and
on the probabilities of the trained network itself.

Where the recipe trains the head alone (`--recipe transfer --head`), heads out of fold are used.
Everything is measured on training images; no test image is looked at.
"""

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from clearsight.config.recipes import load_recipe
from clearsight.config.schema import Config
from clearsight.data.images import ImageSet
from clearsight.data.splits import Split, split
from clearsight.evaluation.doubt import cleanlab_evidence, out_of_fold
from clearsight.evaluation.metrics import predict_probabilities
from clearsight.ledger import record_benchmark
from clearsight.runs import Run, create_run
from clearsight.runtime.device import pick_device, pick_precision
from clearsight.runtime.environment import environment
from clearsight.training.checkpoint import load_classifier
from clearsight.training.train import train_model
from clearsight.workflows.doubt import training_evidence, training_features
from clearsight.workflows.loading import LoadedRun, load_data

# What the demo's model confuses each class with most often, of its 5,000 validation images
# (results/demo.json): airplane with bird, automobile with truck, and so on.
CONFUSED = (2, 9, 0, 5, 3, 3, 0, 3, 0, 0)
SCORES = ("self_confidence", "normalized_margin")


def flipped(
    labels: np.ndarray, kind: str, share: float, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """(labels with round(share × N) of them wrong, bool [N] which); `labels`: int64 [N], of 10."""
    draw = np.random.default_rng(seed)
    chosen = draw.choice(len(labels), round(share * len(labels)), replace=False)
    wrong, found = np.zeros(len(labels), bool), labels.copy()
    wrong[chosen] = True
    if kind == "uniform":
        found[chosen] = (labels[chosen] + draw.integers(1, 10, len(chosen))) % 10
    else:
        found[chosen] = np.array(CONFUSED)[labels[chosen]]
    return found, wrong


def precision(wrong: np.ndarray, scores: np.ndarray) -> float:
    """Average precision of the wrong labels, the lowest score first."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(wrong, -scores))


def best_of_cleanlab(labels: np.ndarray, probabilities: np.ndarray, wrong: np.ndarray) -> float:
    """Average precision of the better of cleanlab's usual scores."""
    from cleanlab.rank import get_label_quality_scores

    return max(
        precision(wrong, get_label_quality_scores(labels, probabilities, method=method))
        for method in SCORES
    )


def trained(config: Config, images: ImageSet, parts: Split, folder: Path) -> tuple[Run, float]:
    """(a run of `parts` without what a run leaves besides its checkpoints, its seconds).

    One that lies in `folder` already is finished.
    """
    run = Run(folder) if folder.is_dir() else create_run(folder, config, {})
    phases = train_model(run, config, images, parts, resume=True)
    return run, sum(phase["seconds"] for phase in phases)


def cross_validated(
    config: Config, images: ImageSet, train: np.ndarray, folds: int, folder: Path
) -> tuple[np.ndarray, float]:
    """(float32 [N, K] of the images at `train`, each by a run trained on other folds, seconds)."""
    place = np.random.default_rng(1).permutation(len(train)) % folds
    found = np.zeros((len(train), len(images.classes)), np.float32)
    seconds = 0.0
    nothing = np.empty(0, np.int64)
    for fold in range(folds):
        own, others = np.flatnonzero(place == fold), np.flatnonzero(place != fold)
        parts = Split(train=train[others], validation=nothing, test=nothing, sources={
            "train": "other folds", "validation": "none", "test": "none"})  # fmt: skip
        run, took = trained(config, images, parts, folder / f"fold{fold}")
        started = time.perf_counter()
        found[own] = predict_probabilities(load_classifier(run.weights), images.images[train[own]])
        seconds += took + time.perf_counter() - started
    return found, seconds


def measure(
    config: Config, images: ImageSet, kind: str, share: float, folds: int, folder: Path
) -> dict[str, Any]:
    """One row: the average precisions, and the seconds of each; with 0 folds no reference."""
    parts = split(images, config.data)
    true, labels = images.labels[parts.train], images.labels.copy()
    given, wrong = flipped(true, kind, share)
    labels[parts.train] = given
    noisy = replace(images, labels=labels, source_labels=images.labels)
    run, training_seconds = trained(config, noisy, parts, folder / "run")
    loaded = LoadedRun(run=run, config=config, images=noisy, split=parts)
    started = time.perf_counter()
    method, evidence = training_evidence(loaded)
    seconds = time.perf_counter() - started
    model = load_classifier(run.weights)
    own = predict_probabilities(model, images.images[parts.train])
    features = training_features(loaded, model)
    heads = out_of_fold(features, given, len(images.classes), config.data.seed)
    row = {
        "kind": kind,
        "share": share,
        "images": len(given),
        "wrong": int(wrong.sum()),
        "method": method,
        "precision": precision(wrong, evidence.scores),
        "seconds": seconds,
        "training_seconds": training_seconds,
        "right_suggestions": float((evidence.suggested == true)[wrong].mean()),
        "heads": precision(wrong, cleanlab_evidence(given, heads).scores),
        "memorised": best_of_cleanlab(given, own, wrong),
    }
    if folds:
        probabilities, seconds = cross_validated(config, noisy, parts.train, folds, folder)
        reference = best_of_cleanlab(given, probabilities, wrong)
        row |= {"reference": reference, "reference_seconds": seconds}
    return row


def tabulated(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The rows of the documents."""
    head = ["wrong labels", "share", "`doubt`", "cross-validated, cleanlab", "heads out of fold"]
    head += ["probabilities of the network", "right suggestions", "time", "cross-validation"]
    return {
        "head": head,
        "rows": [
            [
                row["kind"], f"{row['share']:.0%}", f"{row['precision']:.3f}",
                f"{row['reference']:.3f}" if "reference" in row else "–",
                f"{row['heads']:.3f}", f"{row['memorised']:.3f}",
                f"{row['right_suggestions']:.0%}", f"{row['seconds']:.2g} s",
                f"{row['reference_seconds']:.0f} s" if "reference" in row else "–",
            ]
            for row in rows
        ],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", default="airnet94")
    parser.add_argument("--head", action="store_true", help="the first phase of the recipe alone")
    parser.add_argument("--size", type=int, help="side to which the network resamples, px")
    parser.add_argument("--epochs", type=float, help="of the first phase")
    parser.add_argument("--batch", type=int, help="images per step")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--kinds", nargs="+", default=["uniform", "confused"])
    parser.add_argument("--shares", type=float, nargs="+", default=[0.02, 0.05, 0.1])
    parser.add_argument("--reference", type=float, nargs="*", default=[0.05], help="shares")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--data-dir")
    parser.add_argument("--runs", type=Path, help="keep runs here; those there are not repeated")
    parser.add_argument("--out", type=Path, default=Path("results/doubt-labels.json"))
    given = parser.parse_args()
    config = load_recipe(given.recipe, {"data.subset": str(given.images)})
    first = config.phases[0]
    if given.epochs:
        first = replace(first, epochs=given.epochs)
    phases = (first,) if given.head else (first, *config.phases[1:])
    network = replace(config.model, size=given.size or config.model.size)
    training = replace(config.training, batch=given.batch or config.training.batch)
    config = replace(config, phases=phases, model=network, training=training)
    images = load_data(config, given.data_dir)
    rows = []
    for kind in given.kinds:
        for share in given.shares:
            folds = given.folds if share in given.reference else 0
            with tempfile.TemporaryDirectory() as temporary:
                folder = (given.runs or Path(temporary)) / f"{kind}-{share:g}"
                rows.append(measure(config, images, kind, share, folds, folder))
            print({k: round(v, 4) if isinstance(v, float) else v for k, v in rows[-1].items()})
            device = pick_device(config.training.device)
            record_benchmark(
                given.out,
                environment(device, pick_precision(config.training.precision, device)),
                recipe=given.recipe,
                phases=[phase.name for phase in phases],
                epochs=[phase.epochs for phase in phases],
                size=network.size,
                batch=training.batch,
                data=config.data.source,
                folds=given.folds,
                rows=rows,
                table=tabulated(rows),
            )


if __name__ == "__main__":
    main()
