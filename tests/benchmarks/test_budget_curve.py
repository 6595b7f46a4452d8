"""benchmarks/budget_curve.py: records every budget, and keeps what is finished."""

import subprocess
import sys
from pathlib import Path

import pytest

from clearsight.ledger import read_entries
from tools.docs.budgets import budget_curves

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "budget_curve.py"


def budget_curve(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(SCRIPT), *words], capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_budgets_are_trained_once_and_recorded(tmp_path: Path) -> None:
    folders = ["--out", str(tmp_path / "runs"), "--results", str(tmp_path / "results")]
    first = budget_curve("digits", "--budgets", "1s", "3s", *folders)
    assert first.returncode == 0, first.stderr
    entries = read_entries(tmp_path / "results")
    assert list(entries) == ["budget-digits-1s", "budget-digits-3s"]
    (curve,) = budget_curves(entries)
    assert [point["minutes"] for point in curve["points"]] == [1 / 60, 3 / 60]
    started = [entry["runs"][0]["started"] for entry in entries.values()]

    again = budget_curve("digits", "--budgets", "1s", "3s", *folders)
    assert again.returncode == 0, again.stderr
    kept = read_entries(tmp_path / "results")
    assert [entry["runs"][0]["started"] for entry in kept.values()] == started


def test_a_wrong_budget_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    result = budget_curve("digits", "--budgets", "1s", "soon", "--out", str(tmp_path / "runs"))
    assert result.returncode == 1
    assert "--budgets: found 'soon', expected a duration" in result.stderr
    assert not (tmp_path / "runs").exists()
