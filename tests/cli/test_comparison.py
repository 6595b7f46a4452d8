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


def run(path: Path, wrong: int, classes: int = 2, *, named: bool = False) -> Path:
    """A measured run on 20 images of each class; its first `wrong` images are misjudged."""
    n = 20 * classes
    ids, labels = np.array([f"{k:064}" for k in range(n)]), np.arange(n) % classes
    predicted = np.where(np.arange(n) < wrong, (labels + 1) % classes, labels)
    names = ["cat", "dog"] if classes == 2 else [f"species{k}" for k in range(classes)]
    files = [f"pets/{k}.png" for k in range(n)] if named else None
    made = create_run(path, Config(name="pets"), {})
    value = {"value": 1 - wrong / n, "low": 0.5, "high": 1.0}
    write_json(
        made.evaluation,
        {"split": "test", "tta": "none", "accuracy": value, "phases": [{"seconds": 61.5}]},
    )
    write_json(made.split, {"parts": {"test": {"ids": ids.tolist(), "labels": labels.tolist()}}})
    write_predictions(made.predictions, ids, labels, np.eye(classes)[predicted], names, files)
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


def test_a_comparison_names_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(run(tmp_path / name, wrong, named=True)) for name, wrong in (("a", 0), ("b", 2))]
    assert main(["compare", *paths]) == 0
    assert "only A right: pets/0.png, pets/1.png\n" in capsys.readouterr().out


def test_of_many_classes_those_that_differ_most_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The first 30 images are of classes 0 to 29, so that these differ by 5 points.
    paths = [str(run(tmp_path / name, wrong, 300)) for name, wrong in (("a", 0), ("b", 30))]
    assert main(["compare", *paths]) == 0
    out = capsys.readouterr().out
    shown = [line.split()[0] for line in out.splitlines() if line.startswith("species")]
    assert shown == [f"species{k}" for k in range(20)]
    assert "the 20 classes that differ most; --json has 280 more" in out
    assert main(["compare", *paths, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["pairs"][0]["per_class"]) == 300


def test_a_comparison_fits_80_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    paths = [str(run(Path("runs/20260102-transfer-8000-s0" + name), 2, 300)) for name in "ab"]
    assert main(["compare", *paths]) == 0
    tables = capsys.readouterr().out.split("\nonly A right")[0]
    assert max(map(len, tables.splitlines())) <= 80
