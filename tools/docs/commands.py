"""The command line described: the reference of its commands, and whether a command exists."""

import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from cyclopts import App, CycloptsError

from clearsight.cli.commands import app
from clearsight.cli.overrides import take_overrides
from clearsight.config.describe import settings
from clearsight.config.parsing import did_you_mean
from clearsight.errors import UsageError
from clearsight.ledger import read_entries
from tools.docs.api import python_api
from tools.docs.budgets import budget_table
from tools.docs.lesson import lesson_table
from tools.docs.markers import Generators, table
from tools.docs.reference import bundle, cell, configuration, recipes
from tools.docs.scaling import scaling_table

EVERYWHERE = {"--help", "-h", "--version", "--debug"}


def generators(results: Path) -> Generators:
    """The parts of the documents that are written from the code, by the names of their places."""
    return {
        "bundle": bundle,
        "budget": lambda: budget_table(read_entries(results)),
        "commands": commands,
        "configuration": configuration,
        "lesson": lambda: lesson_table(read_entries(results)),
        "python": python_api,
        "recipes": lambda: recipes(results),
        "scaling": lambda: scaling_table(read_entries(results, "scaling")),
    }


def commands() -> str:
    """Markdown: a section per command with its parameters, in the order of `--help`."""
    sections = []
    for name, command in _commands(app, "clearsight"):
        rows = [
            (f"`{_name(argument)}`", _meaning(argument), _default(argument))
            for argument in command.assemble_argument_collection()
            if argument.parameter.parse is not False
        ]
        text = inspect.cleandoc(command.help or "")
        rest = f"\n{table(('parameter', 'meaning', 'default'), rows)}" if rows else ""
        sections.append(f"\n## {name}\n\n{text}\n{rest}")
    return "".join(sections)


def command_problem(words: Sequence[str], whole: bool) -> str | None:
    """What is wrong with the words after `clearsight`, None where nothing is.

    A whole command must parse; of another only its name and its flags must exist, and words in
    capitals stand for something.
    """
    here, rest = app, list(words)
    while rest and rest[0] in _names(here):
        here, rest = here[rest[0]], rest[1:]
    if here.default_command is None:
        first = rest[0] if rest else ""
        if first in EVERYWHERE or (not whole and (not first or first.isupper())):
            return None
        return f"no command {first!r}{did_you_mean(first, _names(here))}"
    flags = [word.split("=")[0] for word in rest if word.startswith("--") and word != "--"]
    known = EVERYWHERE | {
        name for argument in here.assemble_argument_collection() for name in argument.names
    }
    if here in (app["train"], app["audit"]):
        known |= {
            row.flag
            for section, rows in settings()
            for row in rows
            if here is app["train"] or section == "data"
        }
    for flag in flags:
        if _first_phase(flag) not in known:
            return f"no flag {flag}{did_you_mean(flag, known)}"
    return _parsed(words) if whole else None


def _parsed(words: Sequence[str]) -> str | None:
    tokens = [word for word in words if word != "--debug"]
    try:
        if tokens[0] in ("train", "audit"):
            tokens, _ = take_overrides(tokens)
        app.parse_args(tokens, print_error=False, exit_on_error=False)
    except (CycloptsError, UsageError) as error:
        return " ".join(str(error).split())
    return None


def _first_phase(flag: str) -> str:
    """`--phases.1.lr` as the settings list it, `--phases.0.lr`."""
    table_, _, rest = flag.partition(".")
    number, _, field = rest.partition(".")
    return f"{table_}.0.{field}" if number.isdigit() else flag


def _commands(parent: App, name: str) -> Iterator[tuple[str, Any]]:
    # Groups of commands come last.
    for child in sorted(_names(parent), key=lambda each: parent[each].default_command is None):
        if parent[child].default_command is not None:
            yield f"{name} {child}", parent[child]
        yield from _commands(parent[child], f"{name} {child}")


def _names(parent: App) -> list[str]:
    return [name for name in parent if not name.startswith("-")]


def _name(argument: Any) -> str:
    name = argument.names[0] if argument.names else argument.name
    return name if name.startswith("-") else name.upper()


def _meaning(argument: Any) -> str:
    kinds = get_args(argument.hint) if isinstance(argument.hint, UnionType) else (argument.hint,)
    choices = [c for kind in kinds if get_origin(kind) is Literal for c in get_args(kind)]
    return cell(argument.parameter.help + (f" ({', '.join(choices)})" if choices else ""))


def _default(argument: Any) -> str:
    default = argument.field_info.default
    if default in (None, (), False) or argument.field_info.required:
        return "required" if argument.required else ""
    return f"`{default}`"
