"""What probabilities are worth before and after calibration, and whether promises are kept.

    python benchmarks/probabilities.py NAME=runs/RUN…

Of runs that `clearsight evaluate` measured, one view per image, as bundles predict. Writes two
entries of the ledger: `probabilities`, the scores, and `promises`, accuracy and coverage that the
validation images promised, as they were measured on the test images.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clearsight.files import read_json
from clearsight.ledger import RESULTS, record_benchmark
from clearsight.runs import check_measured, open_run
from clearsight.runtime.device import pick_device, pick_precision
from clearsight.runtime.environment import environment

SCORES = {"ece": "ECE", "adaptive_ece": "adaptive ECE", "brier": "Brier score", "nll": "NLL"}


def scores_table(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """One row per run and views: each score before and after, the latter with its interval."""
    rows = []
    for name, about in found.items():
        judged = about["probabilities"]
        several = [judged["tta"]] if "tta" in judged else []
        for views, scores in (("one", judged), *((each["views"], each) for each in several)):
            cells = [name, views, f"{about['n']:,}", f"{scores['temperature']:.3f}"]
            rows.append([*cells, *(_change(scores, key) for key in SCORES)])
    return {"head": ["run", "views", "n", "temperature", *SCORES.values()], "rows": rows}


def promises_table(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """One row per run and promise."""
    rows = []
    for name, about in found.items():
        n = f"{about['validation_images']:,}"
        for row in about["probabilities"]["sure"]:
            kept, share = row["selective_accuracy"], row["coverage"]
            measured = "–" if kept is None else _share(kept)
            cost = f"answers for {100 * share['value']:.1f} % of {about['n']:,}"
            rows.append([name, n, f"`--sure {row['accuracy']:g}`", measured, cost])
        for row in about["probabilities"]["sets"]:
            cost = f"{row['size']['value']:.2f} classes a set, of {about['n']:,}"
            asked = f"`--coverage {row['coverage']:g}`"
            rows.append([name, n, asked, _share(row["measured"]), cost])
    head = ["run", "validation images", "promised", "measured (95 % interval)", "at the cost of"]
    return {"head": head, "rows": rows}


def _change(scores: Mapping[str, Any], key: str) -> str:
    before, after = scores["before"][key]["value"], scores["after"][key]
    return f"{before:.3f} → {after['value']:.3f} ({after['low']:.3f}–{after['high']:.3f})"


def _share(accuracy: Mapping[str, float]) -> str:
    value, low, high = (f"{100 * accuracy[end]:.2f}" for end in ("value", "low", "high"))
    return f"{value} % ({low}–{high})"


def _only(judged: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: judged[key] for key in keys if key in judged}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the ledger")
    given = parser.parse_args()
    found = {}
    for text in given.runs:
        name, _, path = text.partition("=")
        run = open_run(path)
        check_measured(run)
        evaluation = read_json(run.evaluation)
        if "after" not in evaluation.get("probabilities", {}):
            parser.error(f"{path}: is not calibrated; `clearsight evaluate {path}` does it")
        found[name] = {
            "split": evaluation["split"],
            "n": evaluation["n"],
            "validation_images": read_json(run.calibration)["n"],
            "accuracy": evaluation.get("accuracy_without_tta", evaluation["accuracy"]),
            "probabilities": evaluation["probabilities"],
        }
    device = pick_device("auto")
    about = environment(device, pick_precision("fp32", device))
    for name, table, keys in (
        ("probabilities", scores_table, ("temperature", "before", "after", "tta")),
        ("promises", promises_table, ("sure", "sets")),
    ):
        made = table(found)
        for line in (made["head"], *made["rows"]):
            print("  ".join(line))
        runs = {
            run: {**each, "probabilities": _only(each["probabilities"], keys)}
            for run, each in found.items()
        }
        record_benchmark(given.out / f"{name}.json", about, runs=runs, table=made)


if __name__ == "__main__":
    main()
