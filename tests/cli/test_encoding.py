"""Terminals of any encoding, and file names of any bytes."""

import io
import json
import os
import sys

import pytest

from clearsight.cli import output
from clearsight.cli.encoding import accept_any_text, one_line

NAME = os.fsdecode(b"caf\xe9.png")  # Latin-1, so not valid in UTF-8


def stdout(monkeypatch: pytest.MonkeyPatch, encoding: str) -> io.BytesIO:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, newline="\n"))
    accept_any_text()
    return raw


def written(raw: io.BytesIO) -> bytes:
    sys.stdout.flush()
    return raw.getvalue()


def test_an_ascii_terminal_gets_what_it_can_show(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = stdout(monkeypatch, "ascii")
    output.show_lines(["93.58 – 94.51 ± 0.1 %, 8 × 8, −1, …", "猫 ü", NAME])
    assert written(raw) == (
        b"93.58 - 94.51 +/- 0.1 %, 8 x 8, -1, ...\n\\u732b \\xfc\ncaf\xe9.png\n"
    )


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
def test_names_keep_their_bytes(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    raw = stdout(monkeypatch, encoding)
    output.show_lines([NAME])
    assert written(raw) == b"caf\xe9.png\n"


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
@pytest.mark.parametrize("text", [NAME, "猫", "plain", "ü"])
def test_json_is_valid_and_gives_the_name_back(
    monkeypatch: pytest.MonkeyPatch, encoding: str, text: str
) -> None:
    raw = stdout(monkeypatch, encoding)
    output.show_json({"file": text})
    assert json.loads(written(raw).decode(encoding)) == {"file": text}


def test_json_in_utf_8_is_readable_text(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = stdout(monkeypatch, "utf-8")
    output.show_json({"class": "猫"})
    assert written(raw).decode() == '{"class": "猫"}\n'


def test_a_name_stays_on_one_line() -> None:
    assert one_line("a\nb\x1b[2J.png") == "a\\nb\\x1b[2J.png"
    assert one_line("ü 猫.png") == "ü 猫.png"
