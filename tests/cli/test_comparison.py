"""What a comparison looks like to its reader."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clearsight.cli import main
from clearsight.config.schema import Config
from clearsight.evaluation.predictions import write_predictions
from clearsight.files import write_json
from clearsight.runs import create_run


def run(path: Path, wrong: int) -> Path:
    """A measured run on 40 images of two classes; its first `wrong` images are misjudged."""
    ids, labels = np.array([f"{k:064}" for k in range(40)]), np.arange(40) % 2
    predicted = np.where(np.arange(40) < wrong, 1 - labels, labels)
    made = create_run(path, Config(name="pets"), {})
    value = {"value": 1 - wrong / 40, "low": 0.5, "high": 1.0}
    write_json(made.evaluation, {"split": "test", "tta": "none", "accuracy": value})
    write_json(made.split, {"parts": {"test": {"ids": ids.tolist(), "labels": labels.tolist()}}})
    write_predictions(made.predictions, ids, labels, np.eye(2)[predicted], ["cat", "dog"])
    return path


def test_a_comparison_as_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(run(tmp_path / "a", 0)), str(run(tmp_path / "b", 20))]) == 0
    out = capsys.readouterr().out
    assert "measured on the same 40 images (test part)" in out
    assert [line.split()[:7] for line in out.splitlines() if line.startswith(("cat", "all"))] == [
        ["cat", "20", "10", "10", "0", "0", "+50.00"],
        ["all", "40", "20", "20", "0", "0", "+50.00"],
    ]
    assert "only A right: 000000000000…, 000000000000…, 000000000000…, 17 more" in out
    assert "only B right: none" in out
    assert f"The difference is real: {tmp_path / 'a'} beats {tmp_path / 'b'} by 50.00" in out


def test_a_comparison_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(run(tmp_path / name, wrong)) for name, wrong in (("a", 0), ("b", 2), ("c", 20))]
    assert main(["compare", *paths, "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert [pair["b"] for pair in result["pairs"]] == paths[1:]
    assert [pair["real"] for pair in result["pairs"]] == [False, True]
    assert len(result["pairs"][1]["only_a_ids"]) == 20
    assert result["n"] == 40


def test_one_run_alone_is_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(run(tmp_path / "a", 0))]) == 2
    assert "name two or more run folders" in capsys.readouterr().err
