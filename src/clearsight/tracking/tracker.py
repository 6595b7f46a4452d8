"""Following a run with a tracker that may fail, or hang, without costing the run anything."""

import queue
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from typing import Any, Protocol

from clearsight.config.schema import Config
from clearsight.errors import UsageError
from clearsight.files import read_json, write_json
from clearsight.progress import Advance, EpochRow, Progress
from clearsight.runs import Run
from clearsight.tracking.numbers import Seeds

PATIENCE = 30.0  # s that a finished run waits for its tracker


class Tracker(Protocol):
    """Receives the numbers of one run, in this order. An exception ends the tracking."""

    def start(
        self, run: Run, config: Config, environment: Mapping[str, Any], split_hash: str
    ) -> None:
        """The run begins, or goes on where it was tracked before."""
        ...

    def epoch(self, row: EpochRow) -> None:
        """An epoch has ended; the row is `Progress.epoch`'s."""
        ...

    def finish(self, evaluation: Mapping[str, Any]) -> None:
        """The run was measured: the content of `evaluation.json`. The last call."""
        ...

    def fail(self, reason: str) -> None:
        """The run ended early: `interrupted`, or the error. The last call."""
        ...


class Tracked:
    """A `Progress` that also hands every epoch to a tracker, which works in a thread of its own.

    The first error is one warning on `progress` and the end of the tracking.
    """

    def __init__(
        self,
        tracker: Tracker | None,
        progress: Progress,
        on_finished: Callable[[], None] = lambda: None,
    ) -> None:
        self._progress = progress
        self._on_finished = on_finished
        self._tracker = tracker
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._worker = threading.Thread(target=self._work, name="tracking", daemon=True)
        self._closed, self._warned = tracker is None, False
        if not self._closed:
            self._worker.start()

    def say(self, text: str) -> None:
        self._progress.say(text)

    def task(self, name: str, total: float, *, unit: str = "") -> AbstractContextManager[Advance]:
        return self._progress.task(name, total, unit=unit)

    def epoch(self, row: EpochRow) -> None:
        self._progress.epoch(row)
        self._tell("epoch", dict(row))

    def start(self, *about: Any) -> None:
        """See `Tracker.start`."""
        self._tell("start", *about)

    def finish(self, evaluation: Mapping[str, Any]) -> None:
        """See `Tracker.finish`; waits until the tracker has everything, but no longer than 30 s."""
        self._tell("finish", evaluation)
        if not self._closed:
            self._calls.put(self._on_finished)
        self._close()

    def fail(self, reason: str) -> None:
        """See `Tracker.fail`; waits as `finish` does. Does nothing after `finish`."""
        self._tell("fail", reason)
        self._close()

    def _tell(self, method: str, *arguments: Any) -> None:
        if not self._closed:
            call = getattr(self._tracker, method)
            self._calls.put(lambda: call(*arguments))

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._calls.put(None)
        self._worker.join(PATIENCE)
        if self._worker.is_alive():
            self._warn(f"no answer for {PATIENCE:.0f} s")

    def _work(self) -> None:
        try:
            while call := self._calls.get():
                call()
        except Exception as error:
            self._warn(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")

    def _warn(self, reason: str) -> None:
        if self._warned:
            return
        self._warned = True
        self._progress.say(
            f"warning: tracking stopped ({reason}); the run goes on, its folder has everything"
        )


@contextmanager
def tracked(run: Run, config: Config, progress: Progress) -> Generator[Tracked]:
    """Follows a run with the tracker of its recipe; call `finish` on what it gives.

    Use it as the run's `Progress`. An exception on the way out marks the tracked run as failed.
    Raises `UsageError` where the tracker is not installed.
    """
    environment = read_json(run.environment)
    seeds, name = environment.get("seeds"), config.tracking.tracker
    tracker = open_tracker(name, Seeds(**seeds) if seeds else None)
    following = Tracked(tracker, progress, lambda: note(run, tracker=name, finished=True))
    following.start(run, config, environment, read_json(run.split)["hash"])
    try:
        yield following
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        following.fail("interrupted" if interrupted else f"{type(error).__name__}: {error}")
        raise
    following.fail("not measured")


def noted(run: Run) -> dict[str, Any]:
    """What `note` has kept of the run's tracking."""
    return read_json(run.tracking) if run.tracking.is_file() else {}


def note(run: Run, **facts: Any) -> None:
    """Keeps facts in the run's `tracking.json`, beside those there."""
    write_json(run.tracking, {**noted(run), **facts})


def is_finished(run: Run, config: Config) -> bool:
    """Whether the run's tracker, if it has one, knows that the run was finished."""
    name, known = config.tracking.tracker, noted(run)
    return name == "none" or (known.get("tracker") == name and known.get("finished", False))


def open_tracker(name: str, seeds: Seeds | None = None) -> Tracker | None:
    """The tracker called `name`; None for `none`. Raises `UsageError` where it is not installed."""
    check_installed(name)
    if name == "none":
        return None
    if name == "wandb":
        from clearsight.tracking.wandb import WandbTracker

        return WandbTracker(seeds)
    if name == "tensorboard":
        from clearsight.tracking.tensorboard import TensorBoardTracker

        return TensorBoardTracker()
    from clearsight.tracking.mlflow import MlflowTracker

    return MlflowTracker(seeds)


def is_installed(name: str) -> bool:
    """Whether the package of a tracker is there."""
    return name == "none" or find_spec(name) is not None


def check_installed(name: str) -> None:
    """Raises `UsageError`, with what to install, where the package of a tracker is missing."""
    if not is_installed(name):
        extra = "" if name == "mlflow" else f"[{name}]"
        raise UsageError(
            f"tracking: {name} is not installed; pip install 'clearsight{extra}', "
            "or go without: --tracking none"
        )
