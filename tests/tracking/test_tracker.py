"""Whatever a tracker does, the run goes on, and its reader is told once."""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from clearsight.config.schema import Config
from clearsight.errors import TrainingError, UsageError
from clearsight.runs import Run
from clearsight.tracking import tracker as tracking
from clearsight.tracking.tracker import Tracked, check_installed, open_tracker, tracked


class Recorder:
    """A tracker that keeps what it is told, and fails in the method named."""

    def __init__(self, failing: str = "") -> None:
        self.failing = failing
        self.calls: list[tuple[str, Any]] = []

    def _take(self, name: str, value: Any) -> None:
        if name == self.failing:
            raise OSError(28, "No space left on device")
        self.calls.append((name, value))

    def start(
        self, run: Run, config: Config, environment: Mapping[str, Any], split_hash: str
    ) -> None:
        self._take("start", (run, config, environment, split_hash))

    def epoch(self, row: Mapping[str, Any]) -> None:
        self._take("epoch", row["epoch"])

    def finish(self, evaluation: Mapping[str, Any]) -> None:
        self._take("finish", evaluation["n"])

    def fail(self, reason: str) -> None:
        self._take("fail", reason)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """The tracker of every run of this test."""
    each = Recorder()
    monkeypatch.setattr(tracking, "open_tracker", lambda name, seeds: each)
    return each


def test_a_tracker_hears_of_everything_in_order(
    tmp_path: Path, recorder: Recorder, new_run: Callable[..., Run], follow: Callable[..., None]
) -> None:
    run = new_run(tmp_path / "run", "mlflow")
    follow(run)
    names = [name for name, _ in recorder.calls]
    assert names == ["start", "epoch", "epoch", "epoch", "finish"]
    assert recorder.calls[0][1][0] == run
    assert recorder.calls[0][1][3] == "5117"


@pytest.mark.parametrize("failing", ["start", "epoch", "finish"])
def test_a_failing_tracker_warns_once_and_the_run_goes_on(
    failing: str, tmp_path: Path, recorder: Recorder, screen: Any,
    new_run: Callable[..., Run], follow: Callable[..., None],
) -> None:  # fmt: skip
    recorder.failing = failing
    follow(new_run(tmp_path / "run", "mlflow"))
    assert len(screen.lines) == 1
    assert screen.lines[0] == (
        "warning: tracking stopped (OSError: [Errno 28] No space left on device); "
        "the run goes on, its folder has everything"
    )


@pytest.mark.parametrize(
    ("error", "reason"),
    [(TrainingError("no loss"), "TrainingError: no loss"), (KeyboardInterrupt(), "interrupted")],
)
def test_a_run_that_ends_early_is_marked_and_its_error_kept(
    error: BaseException, reason: str, tmp_path: Path, recorder: Recorder, screen: Any,
    new_run: Callable[..., Run],
) -> None:  # fmt: skip
    run = new_run(tmp_path / "run", "mlflow")
    with pytest.raises(type(error)), tracked(run, run.config(), screen):
        raise error
    assert recorder.calls[-1] == ("fail", reason)
    assert screen.lines == []


def test_a_hanging_tracker_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch, screen: Any, evaluation: dict[str, Any], row: Callable
) -> None:
    monkeypatch.setattr(tracking, "PATIENCE", 0.2)
    forever = threading.Event()

    class Hanging(Recorder):
        def epoch(self, row: Mapping[str, Any]) -> None:
            forever.wait()
            raise OSError("gone at last")

    started = time.perf_counter()
    following = Tracked(Hanging(), screen)
    following.epoch(row(1))
    assert time.perf_counter() - started < 0.1
    following.finish(evaluation)
    assert time.perf_counter() - started < 1
    forever.set()
    following._worker.join()
    assert len(screen.lines) == 1
    assert "no answer for 0 s" in screen.lines[0]


def test_without_a_tracker_there_is_no_thread(
    tmp_path: Path, new_run: Callable[..., Run], follow: Callable[..., None]
) -> None:
    before = threading.active_count()
    follow(new_run(tmp_path / "run", "none"))
    assert open_tracker("none") is None
    assert threading.active_count() == before


def test_a_tracker_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"wandb is not installed; pip install 'clearsight\[wandb"):
        check_installed("wandb")
    with pytest.raises(UsageError, match=r"pip install 'clearsight', or go without"):
        check_installed("mlflow")
    check_installed("none")
