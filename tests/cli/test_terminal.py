import io
import sys
import time

import pytest

from clearsight.cli.terminal import TerminalProgress, folded

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


def test_where_a_budget_decides_no_number_of_epochs_is_promised(
    capfd: pytest.CaptureFixture[str],
) -> None:
    screen = TerminalProgress()
    screen.epoch(ROW | {"epochs": None})
    header, row = capfd.readouterr().err.splitlines()
    assert row.split()[:2] == ["train", "3"]
    assert row.index("3") == header.index("epoch") + 4  # right-aligned below its header
    assert len(row) == len(header)


def test_without_validation_its_columns_hold_a_dash(capfd: pytest.CaptureFixture[str]) -> None:
    row = {key: value for key, value in ROW.items() if not key.startswith("val_")}
    TerminalProgress().epoch(row)
    assert capfd.readouterr().err.splitlines()[1].split().count("–") == 2


def test_without_a_terminal_a_task_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with TerminalProgress().task("decoding", 3) as advance:
        advance(3)
    assert capfd.readouterr() == ("", "")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> tuple[TerminalProgress, Terminal]:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    return TerminalProgress(), terminal


def test_a_bar_of_seconds_counts_down(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, terminal = on_terminal(monkeypatch)
    with screen.task("training", 240, unit="s") as advance:
        advance(100.5)
        time.sleep(1.2)  # between two steps it goes on
    text = terminal.getvalue()
    assert "of 4:00" in text
    assert "2:20 left" in text or "2:19 left" in text
    assert "2:18 left" in text
    assert "2:21 left" not in text


def test_an_inner_bar_is_shown_once_it_takes_long_and_is_gone_when_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen, terminal = on_terminal(monkeypatch)
    with screen.task("training", 60, unit="s"):
        for name, seconds in (("quick", 0.0), ("slow", 0.7)):
            with screen.task(name, 2) as advance:
                time.sleep(seconds)
                advance(1)
                time.sleep(0.3)
        before = len(terminal.getvalue())
        time.sleep(0.3)
    text = terminal.getvalue()
    assert "slow" in text
    assert "quick" not in text
    assert "slow" not in text[before + 200 :]


def test_on_a_terminal_lines_stand_above_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, terminal = on_terminal(monkeypatch)
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
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    assert folded(text, terminal) == [
        "looked for it in /a/rather/long/path/of/a/folder",
        "  and in another place",
    ]
    assert folded("two    columns", terminal) == ["two    columns"]
