"""Progress on the terminal: bars and lines on stderr, so that stdout holds results only."""

import shutil
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from textwrap import wrap
from typing import Any, TextIO

from clearsight.progress import EPOCH_HEAD, Advance, EpochRow, epoch_cells
from clearsight.wording import clock

# Of the columns of `EPOCH_HEAD`; together below 80, the usual width of a terminal.
_WIDTHS = (8, 9, 7, 7, 8, 7, 8, 8, 7)

# A bar inside another is shown once its work has taken this long, so that short ones don't flicker.
_SHOWN_AFTER = 0.5  # s


class TerminalProgress:
    """A `Progress` on stderr: lines, and bars where it is a terminal."""

    def __init__(self) -> None:
        self._bars: Any = None
        self._header_due = True

    def say(self, text: str) -> None:
        """One line, folded to a terminal's width; a running bar stays below it."""
        text = "\n".join(folded(text, sys.stderr))
        if self._bars is None:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()
        else:
            self._bars.console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def task(self, name: str, total: float, *, unit: str = "") -> Generator[Advance]:
        """A bar of `total` steps or seconds, gone when it is done; a file gets none."""
        if not sys.stderr.isatty():
            yield lambda count: None
            return
        if self._bars is not None:
            with self._bar(name, total, unit, inner=True) as advance:
                yield advance
            return
        self._bars = _bars()
        try:
            with self._bars, self._bar(name, total, unit, inner=False) as advance:
                yield advance
        finally:
            self._bars = None

    def epoch(self, row: EpochRow) -> None:
        """One aligned line; the header stands above the first."""
        if self._header_due:
            self.say(_aligned(EPOCH_HEAD))
            self._header_due = False
        phase, epoch, *rest = epoch_cells(row)
        if row["epochs"]:
            epoch = f"{row['epoch']:>4}/{row['epochs']:<4}"  # one slash below the other
        self.say(_aligned((phase[:8], epoch, *rest)))

    @contextmanager
    def _bar(self, name: str, total: float, unit: str, *, inner: bool) -> Generator[Advance]:
        bars, started = self._bars, time.monotonic()
        bar = bars.add_task(name, total=total, unit=unit, visible=not inner, moved=started)

        def advance(count: float) -> None:
            now = time.monotonic()
            shown = not inner or now - started > _SHOWN_AFTER
            bars.update(bar, advance=count, visible=shown, moved=now)

        try:
            yield advance
        finally:
            bars.remove_task(bar)


def folded(text: str, stream: TextIO) -> list[str]:
    """`text` in lines that fit the terminal, split between words; in a file it stays one line."""
    if not stream.isatty():
        return [text]
    width = max(40, shutil.get_terminal_size().columns)
    if len(text) < width:
        return [text]  # as it is: folding would take the blanks out of aligned columns
    return wrap(
        text, width - 1, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _aligned(cells: Sequence[str]) -> str:
    """The first to the left, the others to the right."""
    phase, *rest = zip(cells, _WIDTHS, strict=True)
    return " ".join([f"{phase[0]:<{phase[1]}}", *(f"{cell:>{width}}" for cell, width in rest)])


def _bars() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
    from rich.text import Text

    class Done(ProgressColumn):
        def render(self, task: Task) -> Text:
            if task.fields["unit"] == "s":
                return Text(f"of {clock(task.total or 0)}")
            return Text(f"{task.completed:.0f}/{task.total:.0f}")

    class Left(ProgressColumn):
        """Time left: what is left of a time itself, which passes between two steps as well."""

        def render(self, task: Task) -> Text:
            if task.fields["unit"] == "s":
                since = time.monotonic() - task.fields["moved"]
                return Text(f"{clock((task.remaining or 0) - since)} left")
            left = task.time_remaining
            return Text("" if left is None else f"{clock(left)} left")

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        Done(),
        Left(),
        console=Console(stderr=True),
        transient=True,
    )
