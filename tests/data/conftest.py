"""Fixtures of the data tests."""

from collections.abc import Generator
from contextlib import contextmanager

import pytest

from clearsight.progress import Advance, EpochRow


class Recorder:
    """A `Progress` that adds up the steps of each task: `tasks` holds [done, total] by name."""

    def __init__(self) -> None:
        self.tasks: dict[str, list[float]] = {}

    def say(self, text: str) -> None:
        pass

    @contextmanager
    def task(self, name: str, total: float, *, unit: str = "") -> Generator[Advance]:
        self.tasks[name] = [0, total]

        def advance(count: float) -> None:
            self.tasks[name][0] += count

        yield advance

    def epoch(self, row: EpochRow) -> None:
        pass


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()
