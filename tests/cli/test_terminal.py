import io
import sys

import pytest

from clearsight.cli.terminal import TerminalProgress, clock, folded

ROW = {
    "phase": "train", "epoch": 3, "epochs": 12, "lr": 0.24, "train_loss": 1.2345,
    "train_accuracy": 0.5, "val_loss": 1.1, "val_accuracy": 0.625, "images_per_second": 5123.4,
    "seconds_left": 65.4,
}  # fmt: skip


def test_epochs_are_aligned_lines_below_one_header(capfd: pytest.CaptureFixture[str]) -> None:
    screen = TerminalProgress()
    screen.epoch(ROW)
    screen.epoch(ROW | {"epoch": 4})
    out, err = capfd.readouterr()
    header, first, second = err.splitlines()
    assert out == ""
    assert " ".join(header.split()) == "phase epoch loss acc val loss val acc lr img/s left"
    assert " ".join(first.split()) == "train 3/12 1.2345 50.00% 1.1000 62.50% 2.40e-01 5,123 1:05"
    assert len(header) == len(first) == len(second)


def test_without_validation_its_columns_hold_a_dash(capfd: pytest.CaptureFixture[str]) -> None:
    row = {key: value for key, value in ROW.items() if not key.startswith("val_")}
    TerminalProgress().epoch(row)
    assert capfd.readouterr().err.splitlines()[1].split().count("–") == 2


def test_without_a_terminal_a_task_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with TerminalProgress().task("decoding", 3) as advance:
        advance(3)
    assert capfd.readouterr() == ("", "")


def test_on_a_terminal_lines_stand_above_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    screen = TerminalProgress()
    with screen.task("decoding", 2) as advance:
        advance(1)
        screen.say("a line [not markup]")
        with screen.task("inner", 1) as inner:
            inner(1)
        advance(1)
    screen.say("after")
    text = terminal.getvalue()
    assert "decoding" in text
    assert "a line [not markup]" in text
    assert text.endswith("after\n")


def test_epochs_fit_a_terminal_of_80_columns(capfd: pytest.CaptureFixture[str]) -> None:
    TerminalProgress().epoch(
        ROW | {"phase": "fine-tuning the last stage", "images_per_second": 123456.0}
    )
    assert max(map(len, capfd.readouterr().err.splitlines())) < 80


def test_long_lines_are_folded_between_words_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    text = "looked for it in /a/rather/long/path/of/a/folder and in another place"
    assert folded(text, io.StringIO()) == [text]
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # ty: ignore[invalid-assignment]
    assert folded(text, terminal) == [
        "looked for it in /a/rather/long/path/of/a/folder",
        "  and in another place",
    ]
    assert folded("two    columns", terminal) == ["two    columns"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (65.4, "1:05"), (3600, "1:00:00"), (-2, "0:00")]
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text
