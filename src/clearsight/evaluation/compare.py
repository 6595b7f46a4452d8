"""Which of two runs is better, judged image by image on the same images."""

from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np

from clearsight.errors import RunError, UsageError
from clearsight.evaluation.intervals import wilson
from clearsight.evaluation.predictions import Predictions, read_predictions
from clearsight.files import read_json
from clearsight.notebook import Result
from clearsight.runs import Run, check_measured, open_run
from clearsight.wording import clock, interval, percent

SIGNIFICANCE = 0.05
CONFIDENCE = 0.95


def mcnemar(only_a: int, only_b: int) -> float:
    """The exact two-sided p-value that both are equally good, from the images one alone gets right.

    Q. McNemar, "Note on the sampling error of the difference between correlated proportions or
    percentages", 1947; exact, by the binomial distribution of the `only_a` + `only_b` images.
    """
    if min(only_a, only_b) < 0:
        raise UsageError(f"mcnemar: found {only_a} and {only_b} images; give counts of 0 or more")
    from scipy.stats import binomtest  # takes a second to import

    total = only_a + only_b
    return float(binomtest(only_a, total).pvalue) if total else 1.0


def paired_interval(
    both: int, only_a: int, only_b: int, neither: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """(low, high) of the accuracy of A minus that of B, from images right by both, one, neither.

    R. G. Newcombe, "Improved confidence intervals for the difference between binomial proportions
    based on paired data", 1998, method 10: the Wilson intervals of both, joined by their
    correlation. Unlike the simple one it keeps its width where the two hardly ever differ.
    """
    n = both + only_a + only_b + neither
    right_a, right_b = both + only_a, both + only_b
    a, b = right_a / n, right_b / n
    (low_a, high_a), (low_b, high_b) = (
        wilson(right_a, n, confidence),
        wilson(right_b, n, confidence),
    )
    covariance: float = both * neither - only_a * only_b
    if covariance > 0:
        covariance = max(0.0, covariance - n / 2)  # the paper's continuity correction
    margins = right_a * (n - right_a) * right_b * (n - right_b)
    phi = covariance / sqrt(margins) if margins else 0.0

    def distance(x: float, y: float) -> float:
        return sqrt(max(0.0, x * x - 2 * phi * x * y + y * y))

    low = a - b - distance(a - low_a, high_b - b)
    high = a - b + distance(high_a - a, b - low_b)
    return max(-1.0, low), min(1.0, high)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted for their number, in the order given.

    S. Holm, "A simple sequentially rejective multiple test procedure", 1979.
    """
    adjusted, so_far = [0.0] * len(p_values), 0.0
    for rank, k in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        so_far = max(so_far, min(1.0, (len(p_values) - rank) * p_values[k]))
        adjusted[k] = so_far
    return adjusted


def compare_runs(runs: Sequence[Run | Path | str]) -> Result:
    """Every later run against the first, on the part all were measured on, as JSON-able values.

    `part`, `n`; `runs`: of each `run`, `recipe`, `seed`, `tta`, `accuracy`, and the `seconds` that
    training took; `pairs`: see
    `compare_predictions`, with `a` and `b`, p-values adjusted by Holm where there are several, and
    `sentence`. Raises `UsageError` for fewer than two runs, `RunError` where the runs were not
    measured on the same images with the same labels and classes.
    """
    if len(runs) < 2:
        raise UsageError(f"compare: found {len(runs)} run; name two or more run folders")
    opened = [run if isinstance(run, Run) else open_run(run) for run in runs]
    measured = [_measured(run) for run in opened]
    (_, first), *others = measured
    pairs: list[dict[str, Any]] = []
    for (_, other), run in zip(others, opened[1:], strict=True):
        _check_same_images(opened[0], first, run, other)
        pairs.append(
            {"a": str(opened[0].path), "b": str(run.path), **compare_predictions(first, other)}
        )
    for pair, adjusted in zip(pairs, holm([pair["p_value"] for pair in pairs]), strict=True):
        pair["p_adjusted"] = adjusted
        pair["real"] = adjusted < SIGNIFICANCE
        pair["sentence"] = verdict(pair, compared=len(pairs))
    content = {
        "part": measured[0][0]["part"],
        "n": len(first.labels),
        "confidence": CONFIDENCE,
        "runs": [{k: v for k, v in about.items() if k != "part"} for about, _ in measured],
        "pairs": pairs,
    }
    same = f"measured on the same {content['n']:,} images ({content['part']} part)"
    return Result(
        content,
        [same, *(pair["sentence"] for pair in pairs)],
        ["run", "recipe", "seed", "views", "accuracy", "95 % interval", "time"],
        [
            [
                row["run"], row["recipe"], str(row["seed"]), row["tta"],
                percent(row["accuracy"]["value"]), interval(row["accuracy"]), clock(row["seconds"]),
            ]
            for row in content["runs"]
        ],
    )  # fmt: skip


def compare_predictions(a: Predictions, b: Predictions) -> dict[str, Any]:
    """Two models on the same images, as JSON-able values; accuracies are fractions, 0–1.

    - `n`; `both`, `only_a`, `only_b`, `neither`: images that they get right
    - `only_a_ids`, `only_b_ids`: their ids, sorted; `only_a_files`, `only_b_files`: the files of
      these, `""` where not known
    - `difference`: `value` (A minus B), `low`, `high` (95 %); `p_value`: McNemar's exact
    - `real`: whether the p-value is below 0.05
    - `per_class`: `name`, `n`, `only_a`, `only_b`, `difference`, unadjusted for their number

    The rows may be in another order. Raises `RunError` where images, labels or classes differ.
    """
    if reason := difference_between(a, b):
        raise RunError(f"compare: {reason}")
    order_a, order_b = np.argsort(a.ids), np.argsort(b.ids)
    labels, ids = a.labels[order_a], a.ids[order_a]
    files = np.where(a.files[order_a] == "", b.files[order_b], a.files[order_a])
    right_a = a.probabilities[order_a].argmax(1) == labels
    right_b = b.probabilities[order_b].argmax(1) == labels
    result = _counts(right_a, right_b)
    p_value = mcnemar(result["only_a"], result["only_b"])
    per_class = [
        {"name": name, **_counts(right_a[labels == k], right_b[labels == k])}
        for k, name in enumerate(a.classes)
        if (labels == k).any()
    ]
    return {
        **result,
        "p_value": p_value,
        "real": p_value < SIGNIFICANCE,
        "only_a_ids": ids[right_a & ~right_b].tolist(),
        "only_b_ids": ids[right_b & ~right_a].tolist(),
        "only_a_files": files[right_a & ~right_b].tolist(),
        "only_b_files": files[right_b & ~right_a].tolist(),
        "per_class": per_class,
    }


def difference_between(a: Predictions, b: Predictions) -> str | None:
    """Why two sets of predictions can't be paired, in words; None where they can."""
    if len(a.classes) != len(b.classes):
        return f"the class lists differ: {len(a.classes)} and {len(b.classes)} classes"
    for k, (x, y) in enumerate(zip(a.classes, b.classes, strict=True)):
        if x != y:
            return f"the class lists differ: class {k} is {x!r} and {y!r}"
    left, right = (dict(zip(p.ids.tolist(), p.labels.tolist(), strict=True)) for p in (a, b))
    if left.keys() != right.keys():
        return (
            f"the images differ: {len(left.keys() - right.keys()):,} only in the first, "
            f"{len(right.keys() - left.keys()):,} only in the second, "
            f"{len(left.keys() & right.keys()):,} in both"
        )
    unlike = [image for image, label in left.items() if right[image] != label]
    if unlike:
        image = unlike[0]
        return (
            f"the labels of {len(unlike):,} images differ: {image} is "
            f"{a.classes[left[image]]!r} and {a.classes[right[image]]!r}"
        )
    return None


def verdict(pair: Mapping[str, Any], compared: int = 1) -> str:
    """One sentence: whether the difference between A and B is real at the n at hand."""
    a, b, n = pair["a"], pair["b"], pair["n"]
    gap, low, high = (100 * pair["difference"][key] for key in ("value", "low", "high"))
    if pair["real"] and gap < 0:  # speak of the better one
        a, b, gap, low, high = b, a, -gap, -high, -low
    p = pair["p_value"] if compared == 1 else pair["p_adjusted"]
    adjusted = "" if compared == 1 else f", adjusted for {compared} comparisons"
    facts = (
        f"95 % interval {low:+.2f} to {high:+.2f}, n = {n:,}; "
        f"McNemar's exact p {_p_text(p)}{adjusted}"
    )
    if pair["real"]:
        return f"The difference is real: {a} beats {b} by {gap:.2f} points ({facts})."
    finding = f"No real difference between {a} and {b} can be told at this n"
    return f"{finding}: {gap:+.2f} points ({facts})."


def _p_text(p: float) -> str:
    return f"= {p:.3f}" if p >= 0.001 else "< 0.001"


def _counts(right_a: np.ndarray, right_b: np.ndarray) -> dict[str, Any]:
    both, only_a = int((right_a & right_b).sum()), int((right_a & ~right_b).sum())
    only_b, neither = int((right_b & ~right_a).sum()), int((~right_a & ~right_b).sum())
    low, high = paired_interval(both, only_a, only_b, neither)
    n = len(right_a)
    return {
        "n": n,
        "both": both,
        "only_a": only_a,
        "only_b": only_b,
        "neither": neither,
        "difference": {"value": (only_a - only_b) / n, "low": low, "high": high},
    }


def _measured(run: Run) -> tuple[dict[str, Any], Predictions]:
    """(what the run is, its predictions), which must be of the part the evaluation names."""
    check_measured(run)
    evaluation, config = read_json(run.evaluation), run.config()
    predictions = read_predictions(run.predictions)
    manifest = read_json(run.split)["parts"][evaluation["split"]]
    if sorted(manifest["ids"]) != sorted(predictions.ids.tolist()):
        raise RunError(
            f"{run.predictions}: its images are not the {evaluation['split']} part of "
            f"{run.split.name}; `clearsight evaluate {run.path}` writes it anew"
        )
    about = {
        "run": str(run.path),
        "recipe": config.name,
        "seed": config.training.seed,
        "part": evaluation["split"],
        "tta": evaluation["tta"],
        "accuracy": evaluation["accuracy"],
        "seconds": sum(phase["seconds"] for phase in evaluation["phases"]),
    }
    return about, predictions


def _check_same_images(first: Run, a: Predictions, second: Run, b: Predictions) -> None:
    parts = [read_json(run.evaluation)["split"] for run in (first, second)]
    reason = difference_between(a, b)
    if parts[0] != parts[1]:
        reason = f"one was measured on its {parts[0]} part, the other on its {parts[1]} part"
    if not reason:
        return
    manifests = [read_json(run.split) for run in (first, second)]
    for key in ("source", "size", "fit", "seed", "fractions"):
        x, y = (manifest.get(key) for manifest in manifests)
        if x != y:
            reason += f"; {key} of the split is {x!r} and {y!r}"
    raise RunError(
        f"runs {first.path} and {second.path} can't be compared: {reason}; "
        "compare runs that were measured on the same images"
    )
