"""The commands that keep the documents true."""

from pathlib import Path

import pytest

from tools.docs.__main__ import main


def test_docs_check_prints_the_places_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- results:*:table -->typed<!-- /results -->\n", "utf-8")
    results = ["--results", str(tmp_path)]
    assert main(["check", str(page), *results]) == 1
    assert f"{page}:1: found" in capsys.readouterr().out
    assert main(["render", str(page), *results]) == 0
    assert capsys.readouterr().out == f"{page}\n"
    assert main(["check", str(page), *results]) == 0


def test_an_error_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path / "absent.md")]) == 2
    assert "absent.md: can't be read" in capsys.readouterr().err
