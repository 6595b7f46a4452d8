from collections.abc import Generator
from contextlib import contextmanager

from clearsight.progress import Advance, EpochRow, Silent, counting


class Recorder:
    """A `Progress` that keeps what it was told."""

    def __init__(self) -> None:
        self.events: list[tuple] = []

    def say(self, text: str) -> None:
        self.events.append(("say", text))

    @contextmanager
    def task(self, name: str, total: int) -> Generator[Advance]:
        self.events.append(("start", name, total))
        yield lambda count: self.events.append(("advance", count))
        self.events.append(("end", name))

    def epoch(self, row: EpochRow) -> None:
        self.events.append(("epoch", row))


def test_counting_turns_totals_into_steps_of_one_task_after_the_other() -> None:
    recorder = Recorder()
    with counting(recorder) as report:
        report("download", 3, 10)
        report("download", 10, 10)
        report("decode", 5, 5)
    assert recorder.events == [
        ("start", "download", 10),
        ("advance", 3),
        ("advance", 7),
        ("end", "download"),
        ("start", "decode", 5),
        ("advance", 5),
        ("end", "decode"),
    ]


def test_silent_says_nothing(capfd) -> None:
    silent = Silent()
    silent.say("hello")
    with silent.task("work", 3) as advance:
        advance(3)
    assert capfd.readouterr() == ("", "")
