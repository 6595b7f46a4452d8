"""The content of `faithfulness.json`: methods judged on a model's images, and what that says."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from clearsight.evaluation.metrics import predict_probabilities
from clearsight.explanation.faithfulness import FEWEST, Areas, areas, baseline_maps, compare, means
from clearsight.explanation.methods import METHODS, explainer
from clearsight.explanation.sanity import randomisation_check, rank_correlation
from clearsight.models.classifier import Classifier
from clearsight.progress import SILENT, Progress
from clearsight.runtime.device import Precision, pick_precision

CHECKED = 32
"""Images of the checks with random weights and with another seed, which cost a map each time."""


def judge(
    model: Classifier,
    images: np.ndarray,
    *,
    split: str,
    methods: Sequence[str],
    steps: int,
    layer: str | None = None,
    checks: bool = False,
    precision: Precision | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Deletion and insertion of each method's maps for the predicted classes, as JSON.

    `images`: uint8 [N, H, W, 3] of the part named `split`. `layer` is for methods that take one.
    `checks` adds the seconds per map, and on the first `CHECKED` images how similar maps are to
    those of the model with random weights, and to those of another seed. Raises `UsageError` where
    a method has no map for this model.
    """
    device = next(model.parameters()).device
    precision = precision or pick_precision("auto", device)
    pixels = torch.from_numpy(np.array(images)).to(device)
    predicted = predict_probabilities(model, images, precision=precision).argmax(1)
    targets = torch.from_numpy(predicted).to(device)
    rows: list[dict[str, Any]] = []
    baselines: dict[str, Areas] = {}
    with progress.task("testing heatmaps", 2 + len(methods)) as advance:
        for name, maps in baseline_maps(pixels).items():
            baselines[name] = areas(model, pixels, targets, maps, steps=steps, precision=precision)
            rows.append({"name": name, **means(baselines[name])})
            advance(1)
        for name in methods:
            started = time.perf_counter()
            maps = explainer(model, images.shape[1:], method=name, layer=layer)(images, predicted)
            seconds = time.perf_counter() - started
            found = areas(model, pixels, targets, maps, steps=steps, precision=precision)
            row = {"name": name, **means(found), **compare(found, baselines)}
            if checks:
                row["seconds"] = round(seconds / len(images), 6)
                row |= _checks(model, images[:CHECKED], predicted[:CHECKED], name, layer)
            rows.append(row)
            advance(1)
    return {"split": split, "n": len(images), "steps": steps, "rows": rows}


def verdict(judged: Mapping[str, Any], method: str) -> str:
    """A sentence on whether the maps of `method` can be trusted, by `judge`."""
    row = next(row for row in judged["rows"] if row["name"] == method)
    of = f"{judged['n']:,} {judged['split']} images"
    if row["beats"]:
        return (
            f"Tested on {of}: at insertion and at deletion, these maps are better than a blob in "
            "the centre and than random noise."
        )
    if judged["n"] < FEWEST:
        return f"Whether these maps can be trusted was not tested: {of} are too few."
    worse, unsure = (_not_above(row["against"], bound) for bound in ("value", "low"))
    if worse:
        return f"Do not trust these maps: on {of}, they are no better than a {worse}."
    return (
        f"Tested on {of}: in the mean, these maps are better than a blob in the centre and than "
        f"random noise, but so many images do not make it sure against a {unsure}."
    )


def _not_above(against: Mapping[str, Any], bound: str) -> str:
    """Where the mean difference, or its lower bound, is not above 0."""
    return " and a ".join(
        f"{baseline} at {curve}"
        for baseline, by_curve in against.items()
        for curve, by_reference in by_curve.items()
        if min(interval[bound] for interval in by_reference.values()) <= 0
    )


def _checks(
    model: Classifier, images: np.ndarray, classes: np.ndarray, method: str, layer: str | None
) -> dict[str, Any]:
    shape = images.shape[1:]
    found: dict[str, Any] = {
        "randomised": randomisation_check(
            model, lambda m: explainer(m, shape, method=method, layer=layer)(images, classes)
        )
    }
    if METHODS[method].seeded:
        first, second = (
            explainer(model, shape, method=method, seed=seed)(images, classes) for seed in (0, 1)
        )
        found["seeds"] = float(rank_correlation(first, second).mean())
    return found
