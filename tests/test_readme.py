"""The README's commands exist, and the files it names do."""

import re
import shlex
from pathlib import Path

import pytest

from clearsight.cli.commands import app
from clearsight.cli.overrides import take_overrides
from clearsight.config import settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = sorted(
    {match[1] for match in re.finditer(r"(?m)^ {4}.*?(clearsight .*?)\s*(?:#.*)?$", README)}
)


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) > 10


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_can_be_parsed(command: str) -> None:
    words, overrides = take_overrides(shlex.split(command)[1:])
    app.parse_args(words, print_error=False, exit_on_error=False)
    flags = {row.flag for _, rows in settings() for row in rows}
    assert {f"--{name}" for name in overrides} <= flags


def test_the_targets_and_files_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`?make ([a-z-]+)", README):
        assert f"\n{target}:" in makefile
    for link in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / link).exists()
    for path in re.findall(r"`((?:src|tests|results|benchmarks)/[^`]*)`", README):
        assert (ROOT / path).exists()
