"""SIGKILL at random moments; $CLEARSIGHT_KILLS says how many, such as 50."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = os.environ.get("CLEARSIGHT_KILLS", "12")


@pytest.mark.slow
def test_a_killed_run_is_finished_by_one_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    result = subprocess.run(
        [sys.executable, "-m", "tests.workflows.killing", KILLS, str(tmp_path)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count(": complete\n") == int(KILLS)
