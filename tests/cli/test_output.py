import csv
import io
import json

import pytest

from clearsight.cli import output
from clearsight.predict import Prediction

EVALUATION = {
    "split": "test", "n": 10000, "tta": "flip", "loss": 0.2, "target": 0.94,
    "accuracy": {"value": 0.9406, "low": 0.9358, "high": 0.9451},
    "accuracy_without_tta": {"value": 0.93, "low": 0.92, "high": 0.94},
    "macro": {"precision": 0.9, "recall": 0.91, "f1": 0.905},
    "phases": [{"name": "train", "epochs": 8, "seconds": 125.0, "stop_reason": "all steps done"}],
    "pairs": [{"true": "cat", "predicted": "dog", "count": 61}],
}  # fmt: skip

PREDICTIONS = [
    Prediction("a, b.png", "cat", 0.75, {"cat": 0.75, "dog": 0.25}),
    Prediction("c.png", "dog", 0.5, {"cat": 0.5, "dog": 0.5}),
]


def test_an_evaluation_says_accuracy_with_interval_n_and_views() -> None:
    first, plain, target, _, phase, pairs = output.evaluation_lines(EVALUATION)
    assert first == (
        "test accuracy 94.06 % (95 % interval 93.58 % to 94.51 %, n = 10,000, "
        "test-time augmentation flip)"
    )
    assert plain == "without test-time augmentation 93.00 %"
    assert target == "target 94.00 % reached by 0.06 points"
    assert phase == "phase train: 8 epochs in 2:05 (all steps done)"
    assert pairs == "most frequent confusions: cat as dog 61×"


def test_predictions_as_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_predictions(PREDICTIONS, "json")
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == {
        "file": "a, b.png",
        "label": "cat",
        "probability": 0.75,
        "probabilities": {"cat": 0.75, "dog": 0.25},
    }
    assert len(rows) == 2


def test_predictions_as_csv(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_predictions(PREDICTIONS, "csv")
    head, first, second = csv.reader(io.StringIO(capsys.readouterr().out))
    assert head == ["file", "label", "probability", "p_cat", "p_dog"]
    assert first == ["a, b.png", "cat", "0.75", "0.75", "0.25"]
    assert second[1] == "dog"


def test_predictions_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_predictions(PREDICTIONS, "text")
    assert capsys.readouterr().out == "a, b.png  cat  75.00 %\nc.png  dog  50.00 %\n"


def test_json_refuses_what_is_no_number() -> None:
    with pytest.raises(ValueError, match="JSON"):
        output.show_json({"loss": float("nan")})
