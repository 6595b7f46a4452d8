import csv
import io
import json
from pathlib import Path

import pytest

from clearsight.bundle.predict import Failure, Prediction
from clearsight.cli import output
from clearsight.cli.predictions import show_predictions
from clearsight.evaluation.summary import evaluation_lines
from clearsight.files import write_json
from clearsight.runs import Run

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
    Failure("b\n.png", "is an empty file"),
    Prediction("c.png", "dog", 0.5, {"cat": 0.5, "dog": 0.5}),
]


def test_an_evaluation_says_accuracy_with_interval_n_and_views() -> None:
    first, plain, target, _, phase, pairs = evaluation_lines(EVALUATION)
    assert first == (
        "test accuracy 94.06 % (95 % interval 93.58–94.51 %, n = 10,000, "
        "test-time augmentation flip)"
    )
    assert plain == ("one view per image, as in `predict`: 93.00 % (95 % interval 92.00–94.00 %)")
    assert target == (
        "target 94.00 % reached by 0.06 percentage points, but the interval extends below it"
    )
    assert phase == "phase train: 8 epochs in 2:05 (all steps done)"
    assert pairs == "most frequent confusions: cat as dog 61×"


def test_predictions_as_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert show_predictions(PREDICTIONS, "json", ["cat", "dog"]) == 1
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == {
        "file": "a, b.png",
        "label": "cat",
        "probability": 0.75,
        "probabilities": {"cat": 0.75, "dog": 0.25},
    }
    assert rows[1] == {"file": "b\n.png", "error": "is an empty file"}
    assert len(rows) == 3


def test_predictions_as_csv(capsys: pytest.CaptureFixture[str]) -> None:
    assert show_predictions(PREDICTIONS, "csv", ["cat", "dog"]) == 1
    head, first, second, third = csv.reader(io.StringIO(capsys.readouterr().out))
    assert head == ["file", "label", "probability", "p_cat", "p_dog", "error"]
    assert first == ["a, b.png", "cat", "0.75", "0.75", "0.25", ""]
    assert second == ["b\n.png", "", "", "", "", "is an empty file"]
    assert third[1] == "dog"


def test_predictions_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert show_predictions(PREDICTIONS, "text", ["cat", "dog"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "a, b.png  cat  75.00 %",
        "b\\n.png  error: is an empty file",
        "c.png  dog  50.00 %",
    ]


def test_csv_has_its_header_also_where_every_file_is_bad(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert show_predictions([Failure("x.png", "is missing")], "csv", ["cat", "dog"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "file,label,probability,p_cat,p_dog,error",
        "x.png,,,,,is missing",
    ]


def test_json_refuses_what_is_no_number() -> None:
    with pytest.raises(ValueError, match="JSON"):
        output.show_json({"loss": float("nan")})


def test_one_path_is_text_not_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_path("bundle", Path("my-model"), as_json=True)
    output.show_path("bundle", Path("my-model"), as_json=False)
    assert capsys.readouterr().out == '{"bundle": "my-model"}\nmy-model\n'


@pytest.mark.parametrize(
    ("on_path", "called", "typed"),
    [
        ("/usr/bin/clearsight", ".venv/bin/clearsight", "clearsight"),
        (None, ".venv/bin/clearsight", ".venv/bin/clearsight"),
        (None, "/somewhere/clearsight/__main__.py", "python -m clearsight"),
    ],
)
def test_the_demo_ends_with_commands_as_they_can_be_typed_here(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    on_path: str | None,
    called: str,
    typed: str,
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: on_path)
    monkeypatch.setattr("sys.argv", [called])
    run = Run(tmp_path)
    write_json(run.evaluation, EVALUATION)
    output.show_demo(run)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" predict ")[0].strip() for line in lines if " predict " in line] == [typed]
