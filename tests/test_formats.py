"""The files of a run folder, read back after any edit: their content, or one sentence."""

import copy
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clearsight.config.schema import Config
from clearsight.errors import ClearsightError, FileError, first_line, shown
from clearsight.evaluation.metrics import evaluate_probabilities
from clearsight.evaluation.probabilities import before_and_after, judge_probabilities
from clearsight.evaluation.report import write_report
from clearsight.evaluation.summary import evaluation_lines
from clearsight.files import Record, read_csv, read_json, read_text, write_csv, write_json
from clearsight.formats import SCHEMAS
from clearsight.ledger import list_runs
from clearsight.runs import Run, create_run
from clearsight.tracking.numbers import facts, final_metrics
from tests.edits import edited, paths_of

QUICK = settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
LABELS = np.arange(30) % 3
PHASE = {
    "name": "head", "epochs": 3, "best_epoch": 2, "stop_reason": "early stopping",
    "seconds": 3725.0, "trainable": 1234567, "frozen": 0, "val_accuracy": 0.8,
}  # fmt: skip
EVALUATION = evaluate_probabilities(
    np.eye(3)[np.where(np.arange(30) < 4, 1, LABELS)] * 0.7 + 0.1, LABELS, ("cat", "dog", "bird"),
    split="test", tta="flip", target=0.65, phases=[PHASE],
    without_tta=np.eye(3)[LABELS] * 0.7 + 0.1,
)  # fmt: skip
LOGITS = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32) * 3
EVALUATION["probabilities"] = {
    **judge_probabilities(
        LOGITS, LABELS,
        {
            "temperature": 0.5, "n": 40, "sets": [{"coverage": 0.9, "probability": 0.2}],
            "sure": [{"accuracy": a, "probability": a, "coverage": 0.5} for a in (0.6, 1.0)],
        },
    ),
    "tta": {"views": "flip", **before_and_after(LOGITS, LABELS, 0.6)},
}  # fmt: skip
ENVIRONMENT = {
    "clearsight": "0.1.0", "python": "3.11.7", "torch": "2.15.0", "numpy": "2.4.6",
    "onnxruntime": "1.31.1", "platform": "Linux", "cpu": "Chip", "cores": 2, "memory_gib": 24.0,
    "device": "cpu", "precision": "fp32", "threads": 2, "git": {"commit": "abc", "dirty": False},
    "command": "clearsight train airnet94", "started": "2025-01-02T03:04:05+00:00", "budget": None,
    "preflight": [], "forced": False,
}  # fmt: skip
HISTORY = [
    {"phase": 1, "epoch": epoch, "step": 9 * epoch, "lr": 0.1, "train_loss": 1.0,
     "train_accuracy": 0.5, "val_loss": 1.0, "val_accuracy": accuracy}
    for epoch, accuracy in ((1, 0.5), (2, 0.8))
]  # fmt: skip
odd = st.sampled_from(
    [..., None, True, 0, 1, -1, 0.5, 2.5, 10**30, 1e300, "", "x", "0.5", "a\0b", [], [0.5], [[]],
     {}, {"a": 1}, [{}]]
) | st.integers() | st.text(max_size=5)  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = create_run(tmp_path / "runs" / "run", Config(), ENVIRONMENT)
    write_json(made.evaluation, EVALUATION)
    write_csv(made.history, HISTORY)
    part = {"how": "given", "ids": ["x"] * 30, "labels": [0] * 30}
    counts = {"cat": 10, "dog": 10, "bird": 10}
    write_json(
        made.split,
        {
            "source": "pets", "size": 32, "fit": "crop", "seed": 42, "classes": list(counts),
            "counts": dict.fromkeys(("train", "validation", "test"), counts),
            "parts": dict.fromkeys(("train", "validation", "test"), part), "hash": "0123abcd",
        },
    )  # fmt: skip
    return made


def use(run: Run) -> str | None:
    """Does with a run's files what commands do; returns what the error says, if there is one."""
    list_runs(run.path.parent)
    try:
        evaluation = read_json(run.evaluation)
        final_metrics(evaluation)
        evaluation_lines(evaluation)
        facts(run, run.config(), read_json(run.environment), "5117")
        write_report(run)
    except ClearsightError as error:
        text = str(error)
    else:
        return None
    assert str(run.path) in text
    assert "\n" not in text
    return text


def test_the_files_as_they_were_written_are_read(run: Run) -> None:
    assert use(run) is None
    assert read_json(run.evaluation) == EVALUATION
    assert read_csv(run.history) == HISTORY


@QUICK
@given(st.sampled_from(paths_of(EVALUATION)), odd)
def test_any_edit_of_the_evaluation(run: Run, path: tuple, value: Any) -> None:
    write_json(run.evaluation, edited(EVALUATION, path, value))
    use(run)


@QUICK
@given(st.sampled_from(paths_of(ENVIRONMENT)), odd)
def test_any_edit_of_the_environment(run: Run, path: tuple, value: Any) -> None:
    write_json(run.environment, edited(ENVIRONMENT, path, value))
    use(run)


@QUICK
@given(st.sampled_from(paths_of(HISTORY[0])), st.text(max_size=8) | st.floats().map(str))
def test_any_edit_of_the_history(run: Run, path: tuple, value: str) -> None:
    write_csv(run.history, [edited(HISTORY[0], path, value), HISTORY[1]])
    use(run)


@QUICK
@given(st.sampled_from(["evaluation.json", "environment.json", "history.csv"]), st.binary())
def test_any_bytes(run: Run, name: str, content: bytes) -> None:
    before = (run.path / name).read_bytes()
    (run.path / name).write_bytes(content)
    use(run)
    (run.path / name).write_bytes(before)


@pytest.mark.parametrize(
    ("name", "content", "path", "value", "message"),
    [
        ("evaluation", EVALUATION, ("n",), "many", "n: found 'many', expected integer"),
        ("evaluation", EVALUATION, ("accuracy", "low"), 2, r"accuracy\.low: found 2, expected 1"),
        ("evaluation", EVALUATION, ("accuracy",), {}, "accuracy: lacks value, low, high"),
        ("evaluation", EVALUATION, ("loss",), ..., "lacks 'loss'; restore or remove the file"),
        ("evaluation", EVALUATION, ("phases", 0, "seconds"), None, r"phases\[0\]\.seconds: found"),
        ("environment", ENVIRONMENT, ("started",), 3, "started: found 3, expected string"),
        ("environment", ENVIRONMENT, ("git",), "abc", "git: found 'abc', expected object or null"),
    ],
)  # fmt: skip
def test_an_edited_key_is_named(
    run: Run, name: str, content: Any, path: tuple, value: Any, message: str
) -> None:
    file = run.path / f"{name}.json"
    write_json(file, edited(content, path, value))
    with pytest.raises(FileError, match=rf"{name}\.json: {message}"):
        final_metrics(read_json(file)) if name == "evaluation" else read_json(file)


def test_every_schema_is_one(tmp_path: Path) -> None:
    import jsonschema

    assert {path.name.split(".")[0] for path in SCHEMAS.iterdir()} == {
        "calibration", "checkpoint", "corruptions", "dossier", "environment",
        "evaluation", "explorer", "faithfulness", "history", "other-data",
        "slices",
    }  # fmt: skip
    for path in SCHEMAS.iterdir():
        jsonschema.Draft7Validator.check_schema(json.loads(path.read_text("utf-8")))


def test_what_is_no_file_or_too_large_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "device.json").symlink_to("/dev/zero")
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "large.json").write_text("x" * 11, "utf-8")
    for name in ("pipe", "device", "folder", "missing", "a\0b"):
        with pytest.raises(FileError, match=r"is a|can't be read"):
            read_json(tmp_path / f"{name}.json")
    with pytest.raises(FileError, match="is larger than"):
        read_text(tmp_path / "large.json", 10)
    assert read_text(tmp_path / "large.json", 11) == "x" * 11


def test_rows_of_another_width_are_refused(tmp_path: Path) -> None:
    for rows in ("1\n", "1,2,3\n", '"1,2\n'):
        (tmp_path / "a.csv").write_text(f"x,y\n3,4\n{rows}", "utf-8")
        with pytest.raises(FileError, match=r"a\.csv: (row 3 has|invalid CSV)"):
            read_csv(tmp_path / "a.csv")


def test_a_record_is_a_dictionary_that_names_its_file(tmp_path: Path) -> None:
    record = Record([("a", 1)], tmp_path / "x.json")
    assert record == {"a": 1}
    assert copy.deepcopy(record) == record
    assert record.get("b") is None
    with pytest.raises(FileError, match=r"x\.json: lacks 'b'; restore"):
        record["b"]
    with pytest.raises(KeyError):
        record["b"]


def test_messages_of_others_and_values_are_cut_to_one_line() -> None:
    assert first_line(ValueError("\n one\ntwo")) == "one"
    assert first_line(ValueError(" \n")) == first_line(ValueError()) == "ValueError"
    assert first_line(ValueError("one:\ntwo")) == "one"
    assert shown("a") == "'a'"
    assert shown(10**5000) == "a number of thousands of digits"
    assert len(shown("x" * 10**6)) < 70
    assert len(shown(["x"] * 10**6)) < 70
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert shown(deep) == "a deeply nested list"
