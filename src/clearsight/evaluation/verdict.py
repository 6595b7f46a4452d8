"""Whether a target was reached: one sentence for terminal, report, figures and model card."""

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
