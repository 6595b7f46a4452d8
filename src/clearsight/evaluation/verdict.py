"""What an evaluation amounts to: sentences for terminal, report, figures and model card."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple


class Verdict(NamedTuple):
    """`state`: `open` where the interval spans the target; `sentence` without a full stop."""

    state: Literal["reached", "open", "missed"]
    sentence: str


def target_verdict(evaluation: Mapping[str, Any]) -> Verdict | None:
    """The verdict on the target of an `evaluation.json`; None where it has none.

    Decided by the 95 % interval: an accuracy above a target that lies within it may be luck.
    """
    target = evaluation.get("target")  # bundles of other programs may have none
    if target is None:
        return None
    accuracy = evaluation["accuracy"]
    gap = 100 * abs(accuracy["value"] - target)
    size = "exactly" if gap == 0 else f"by {gap:.2f} percentage points"
    if accuracy["low"] >= target:
        return Verdict("reached", f"reached {size}; the whole interval lies above it")
    if accuracy["value"] >= target:
        return Verdict("open", f"reached {size}, but the interval extends below it")
    if accuracy["high"] >= target:
        return Verdict("open", f"missed {size}, but the interval extends above it")
    return Verdict("missed", f"missed {size}; the whole interval lies below it")


def calibration_sentence(evaluation: Mapping[str, Any]) -> str | None:
    """What probabilities are worth, of one view per image; None where that was not measured."""
    judged = evaluation.get("probabilities")
    if judged is None:
        return None
    ece, nll = (judged["before"][name]["value"] for name in ("ece", "nll"))
    if "after" not in judged:
        return (
            "the probabilities are not calibrated, which takes validation images: expected "
            f"calibration error {ece:.3f}, NLL {nll:.3f} (n = {evaluation['n']:,})"
        )
    error = judged["after"]["ece"]
    sentence = (
        f"probabilities of one view: expected calibration error {error['value']:.3f} "
        f"(95 % interval {error['low']:.3f} to {error['high']:.3f}; {ece:.3f} before calibration), "
        f"NLL {judged['after']['nll']['value']:.3f} ({nll:.3f} before)"
    )
    same = "; measured on the images that they were calibrated with"
    return sentence + same * (evaluation["split"] == "validation")
