"""What long work says while it runs. The library reports here and never prints by itself."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import NotRequired, Protocol, TypedDict

Advance = Callable[[int], None]


class EpochRow(TypedDict):
    """One epoch, in the names of `history.csv` and `timing.csv`.

    `epoch` and `epochs` are 1-based counts within the run; accuracies are 0–1; `images_per_second`
    counts training images; `seconds_left` is the estimate for the whole training. The validation
    entries are absent where there is no validation part.
    """

    phase: str
    epoch: int
    epochs: int
    lr: float
    train_loss: float
    train_accuracy: float
    val_loss: NotRequired[float]
    val_accuracy: NotRequired[float]
    images_per_second: float
    seconds_left: float


class Progress(Protocol):
    """Receives progress: the terminal's `Screen`, or `Silent`."""

    def say(self, text: str) -> None:
        """One line for the reader."""
        ...

    def task(self, name: str, total: int) -> AbstractContextManager[Advance]:
        """A piece of work of `total` steps; call what it gives with the steps just done."""
        ...

    def epoch(self, row: EpochRow) -> None:
        """The figures of an epoch that has ended."""
        ...


class Silent:
    """A `Progress` that says nothing: the library's default."""

    def say(self, text: str) -> None:
        pass

    def task(self, name: str, total: int) -> AbstractContextManager[Advance]:
        return nullcontext(_ignore)

    def epoch(self, row: EpochRow) -> None:
        pass


@contextmanager
def counting(progress: Progress) -> Generator[Callable[[str, int, int], None]]:
    """A callback (name, done so far, total) whose names appear as tasks, one after the other."""
    with ExitStack() as current:
        advance: Advance = _ignore
        name, before = "", 0

        def report(what: str, done: int, total: int) -> None:
            nonlocal advance, name, before
            if what != name:
                current.close()
                advance = current.enter_context(progress.task(what, total))
                name, before = what, 0
            advance(done - before)
            before = done

        yield report


def _ignore(count: int) -> None:
    pass
