"""SIGKILL at random moments; $CLEARSIGHT_KILLS says how many, such as 50."""

import os
from pathlib import Path

import pytest

from tests.workflows.killing import kill_runs

KILLS = int(os.environ.get("CLEARSIGHT_KILLS", "12"))


@pytest.mark.slow
def test_a_killed_run_is_finished_by_one_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    found = {k: kill.faults for k, kill in enumerate(kill_runs(KILLS, tmp_path)) if kill.faults}
    assert found == {}
