"""A `Progress` that keeps what it was told."""

from collections.abc import Generator
from contextlib import contextmanager

from clearsight.progress import Advance, Silent


class Recorder(Silent):
    """Keeps the lines said and, by task, its total and the steps done at each call."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.totals: dict[str, float] = {}
        self.steps: dict[str, list[float]] = {}

    def say(self, text: str) -> None:
        self.lines.append(text)

    @contextmanager
    def task(self, name: str, total: float, *, unit: str = "") -> Generator[Advance]:
        self.totals[name] = total
        self.steps[name] = []
        yield self.steps[name].append

    @property
    def tasks(self) -> dict[str, list[float]]:
        """[done, total] of each task, by name."""
        return {name: [sum(self.steps[name]), total] for name, total in self.totals.items()}
