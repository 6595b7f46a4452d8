"""What a notebook shows: results as tables and pictures, progress as bars."""

import sys
import time
from base64 import b64encode
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from clearsight.progress import EPOCH_HEAD, SILENT, Advance, EpochRow, Progress, epoch_cells
from clearsight.wording import are_numbers, clock

_WIDTH = 760  # px
_REDRAWN_EVERY = 0.2  # s
# A bar inside another is shown once its work has taken this long, so that short ones don't flicker.
_SHOWN_AFTER = 0.5  # s


def in_notebook() -> bool:
    """Whether this program is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")  # where nothing has imported it, there is no notebook
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


def shown(progress: Progress | None) -> Progress:
    """`progress`; without one, bars in a notebook and silence elsewhere."""
    if progress is not None:
        return progress
    return NotebookProgress() if in_notebook() else SILENT


class Result(dict[str, Any]):
    """Numbers by name, as JSON-able values; a notebook shows them as `lines` and a table."""

    def __init__(
        self,
        content: Mapping[str, Any],
        lines: Iterable[str],
        head: Sequence[str] = (),
        rows: Iterable[Sequence[str]] = (),
    ) -> None:
        super().__init__(content)
        self.lines, self.head, self.rows = list(lines), list(head), [list(row) for row in rows]

    def __repr__(self) -> str:
        return f"<{self.lines[0]}>"

    def _repr_html_(self) -> str:
        return paragraphs(self.lines) + (table(self.head, self.rows) if self.rows else "")


class Figures(list[Path]):
    """The paths of files that were written; a notebook shows the pictures among them."""

    def __init__(self, files: Iterable[Path], pictures: Iterable[Path] | None = None) -> None:
        super().__init__(files)
        drawn = (path for path in self if path.suffix == ".png")
        self.pictures = list(drawn if pictures is None else pictures)

    def __repr__(self) -> str:
        return f"<{len(self)} files: {', '.join(map(str, self))}>"

    def _ipython_display_(self) -> None:
        if not in_notebook():
            sys.stdout.write(f"{self!r}\n")
            return
        from IPython.display import Image, display

        # Each an output of its own: these are shown where the HTML of a stored notebook is not.
        for path in self.pictures:
            display(Image(path, width=_WIDTH))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """An HTML table, columns of numbers to the right; `head` may be empty."""
    rows = list(rows)
    sides = ["right" if are_numbers(cells) else "left" for cells in zip(*rows, strict=True)]

    def line(kind: str, cells: Sequence[str]) -> str:
        return "".join(
            f'<{kind} style="text-align:{side};padding:1px 8px">{escape(cell)}</{kind}>'
            for side, cell in zip(sides, cells, strict=True)
        )

    body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    above = f"<thead><tr>{line('th', head)}</tr></thead>" if head else ""
    return (
        '<div style="max-height:24em;overflow:auto;width:fit-content">'
        f"<table>{above}<tbody>{body}</tbody></table></div>"
    )


def paragraphs(lines: Iterable[str]) -> str:
    """Lines of text as HTML."""
    return "".join(f"<div>{escape(line)}</div>" for line in lines)


def picture(png: bytes) -> str:
    """A picture as HTML that needs no other file."""
    data = b64encode(png).decode()
    return f'<img src="data:image/png;base64,{data}" style="max-width:{_WIDTH}px">'


@dataclass
class _Bar:
    name: str
    total: float
    unit: str
    inner: bool
    done: float = 0.0
    started: float = field(default_factory=time.monotonic)

    def html(self) -> str:
        passed = time.monotonic() - self.started
        if self.unit == "s":
            text = f"of {clock(self.total)}, {clock(self.total - self.done)} left"
        else:
            text = f"{self.done:.0f}/{self.total:.0f}"
            if self.done:
                text += f", {clock(passed * (self.total - self.done) / self.done)} left"
        bar = f'<progress value="{self.done:.6g}" max="{max(self.total, 1e-9):.6g}"></progress>'
        return f"<div>{escape(self.name)} {bar} {text}</div>"


class NotebookProgress:
    """A `Progress` as one output of a notebook's cell: lines, epochs in tables, and bars.

    Made of HTML alone, so that it needs no widgets and stays readable in a stored notebook.
    """

    def __init__(self) -> None:
        self._blocks: list[str | list[EpochRow]] = []
        self._bars: list[_Bar] = []
        self._output: Any = None
        self._drawn = time.monotonic()  # what is done at once leaves no output

    def say(self, text: str) -> None:
        """One line; running bars stay below it."""
        self._blocks.append(text)
        self._draw()

    def epoch(self, row: EpochRow) -> None:
        """One row of a table."""
        if self._blocks and isinstance(self._blocks[-1], list):
            self._blocks[-1].append(row)
        else:
            self._blocks.append([row])
        self._draw()

    @contextmanager
    def task(self, name: str, total: float, *, unit: str = "") -> Generator[Advance]:
        """A bar of `total` steps or seconds, gone when it is done."""
        bar = _Bar(name, total, unit, inner=bool(self._bars))
        self._bars.append(bar)

        def advance(count: float) -> None:
            bar.done += count
            if time.monotonic() - self._drawn > _REDRAWN_EVERY:
                self._draw()

        try:
            yield advance
        finally:
            self._bars.remove(bar)
            if self._output is not None:
                self._draw()

    def _draw(self) -> None:
        from IPython.display import display

        self._drawn = time.monotonic()
        content = {"text/html": self._html(), "text/plain": self._text()}
        if self._output is None:
            self._output = display(content, raw=True, display_id=True)
        else:
            self._output.update(content, raw=True)

    def _html(self) -> str:
        blocks = [
            paragraphs([block])
            if isinstance(block, str)
            else table(EPOCH_HEAD, map(epoch_cells, block))
            for block in self._blocks
        ]
        late = self._drawn - _SHOWN_AFTER
        bars = [bar.html() for bar in self._bars if not bar.inner or bar.started < late]
        return "".join(blocks + bars)

    def _text(self) -> str:
        lines = []
        for block in self._blocks:
            lines += (
                [block] if isinstance(block, str) else ["  ".join(epoch_cells(r)) for r in block]
            )
        return "\n".join(lines)
