"""Whether a target was reached, in the same words everywhere."""

import pytest

from clearsight.evaluation.summary import evaluation_lines
from clearsight.evaluation.verdict import target_verdict


@pytest.mark.parametrize(
    ("value", "low", "high", "state", "sentence"),
    [
        (0.97, 0.96, 0.98, "reached",
         "reached by 2.00 percentage points; the whole interval lies above it"),
        (1.0, 0.61, 1.0, "open",
         "reached by 5.00 percentage points, but the interval extends below it"),  # n = 6
        (0.95, 0.94, 0.96, "open", "reached exactly, but the interval extends below it"),
        (0.94, 0.93, 0.95, "open",
         "missed by 1.00 percentage points, but the interval extends above it"),
        (0.9, 0.88, 0.92, "missed",
         "missed by 5.00 percentage points; the whole interval lies below it"),
    ],
)  # fmt: skip
def test_the_interval_decides(
    value: float, low: float, high: float, state: str, sentence: str
) -> None:
    accuracy = {"value": value, "low": low, "high": high}
    evaluation = {
        "split": "test", "n": 6, "tta": "none", "loss": 0.1, "target": 0.95, "accuracy": accuracy,
        "macro": {"precision": 1.0, "recall": 1.0, "f1": 1.0}, "phases": [], "pairs": [],
    }  # fmt: skip
    assert target_verdict(evaluation) == (state, sentence)
    assert f"target 95.00 % {sentence}" in evaluation_lines(evaluation)
    assert target_verdict(evaluation | {"target": None}) is None
