"""Progress of long work. The library reports here and never prints by itself."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from clearsight.wording import clock

EPOCH_HEAD = ("phase", "epoch", "loss", "acc", "val loss", "val acc", "lr", "img/s", "left")
Advance = Callable[[float], None]
EpochRow = Mapping[str, Any]


class Progress(Protocol):
    """Receives progress: the command line's `TerminalProgress`, or `Silent`."""

    def say(self, text: str) -> None:
        """One line for the reader."""
        ...

    def task(self, name: str, total: float, *, unit: str = "") -> AbstractContextManager[Advance]:
        """A piece of work of `total` steps; call what it gives with the steps just done.

        With the unit `s`, `total` is the time the work will take, in seconds.
        """
        ...

    def epoch(self, row: EpochRow) -> None:
        """The figures of an epoch that has ended, in the names of `history.csv` and `timing.csv`.

        `phase` (name), `epoch` and `epochs` (counts from 1 within the run; `epochs`, how many
        there will be, is None where a time budget decides), `train_loss`, `train_accuracy` (0–1),
        `val_loss`, `val_accuracy` (absent where there is no validation part), `lr`,
        `images_per_second` (training images), `seconds_left` (of the budget, or an estimate for
        the phase).
        """
        ...


def epoch_cells(row: EpochRow) -> tuple[str, ...]:
    """The figures of an epoch as text, one for each column of `EPOCH_HEAD`."""
    loss, accuracy = row.get("val_loss"), row.get("val_accuracy")
    return (
        row["phase"],
        f"{row['epoch']}/{row['epochs']}" if row["epochs"] else f"{row['epoch']}",
        f"{row['train_loss']:.4f}",
        f"{row['train_accuracy']:.2%}",
        "–" if loss is None else f"{loss:.4f}",
        "–" if accuracy is None else f"{accuracy:.2%}",
        f"{row['lr']:.2e}",
        f"{row['images_per_second']:,.0f}",
        clock(row["seconds_left"]),
    )


class Silent:
    """A `Progress` that says nothing: the library's default."""

    def say(self, text: str) -> None:
        pass

    def task(self, name: str, total: float, *, unit: str = "") -> AbstractContextManager[Advance]:
        return nullcontext(_ignore)

    def epoch(self, row: EpochRow) -> None:
        pass


SILENT: Progress = Silent()


def _ignore(count: float) -> None:
    pass
