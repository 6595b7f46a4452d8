"""The command line: parse, call the library, print, exit code."""

import logging
import os
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING

from clearsight.cli.encoding import accept_any_text
from clearsight.cli.terminal import folded
from clearsight.errors import ClearsightError

if TYPE_CHECKING:
    from cyclopts import App


def main(tokens: Sequence[str] | None = None) -> int:
    """Runs one command; returns 0, 1 (the work failed), 2 (wrong use) or 130 (Ctrl-C).

    An error is one sentence on stderr; `--debug` among the tokens adds the traceback.
    """
    tokens = list(sys.argv[1:] if tokens is None else tokens)
    debug = "--debug" in tokens
    accept_any_text()
    _isolate_matplotlib()
    try:
        code = _run([token for token in tokens if token != "--debug"])
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Who read our output has gone. Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt as stop:
        sys.stderr.write(f"interrupted{': ' if str(stop) else ''}{stop}\n")
        return 130
    except Exception as error:
        if debug:
            traceback.print_exc()
        for line in folded(f"error: {_sentence(error)}", sys.stderr):
            sys.stderr.write(line + "\n")
        return error.exit_code if isinstance(error, ClearsightError) else 1


def _run(tokens: list[str]) -> int:
    from cyclopts import CycloptsError

    from clearsight.cli.commands import app
    from clearsight.cli.output import show_settings
    from clearsight.cli.overrides import field_hint, take_overrides

    overrides: dict[str, str] = {}
    training = tokens[:1] == ["train"]
    if training or tokens[:1] == ["audit"]:
        tokens, overrides = take_overrides(tokens)
    try:
        command, bound, extra = app.parse_args(tokens, print_error=False, exit_on_error=False)
    except CycloptsError as error:
        command = " ".join(["clearsight", *(error.command_chain or ())])
        hint = field_hint(tokens, _flags(app["train"])) if training else None
        problem = f"train: {hint}." if hint else " ".join(str(error).split())
        for line in folded(f"error: {problem} See `{command} --help`.", sys.stderr):
            sys.stderr.write(line + "\n")
        return 2
    if "overrides" in extra:
        bound.arguments["overrides"] = overrides
    code = command(*bound.args, **bound.kwargs)
    if training and {"--help", "-h"} & set(tokens):
        show_settings()
    return code or 0


def _isolate_matplotlib() -> None:
    """Figures don't depend on the user's backend (a notebook's can't be had here) and settings."""
    os.environ |= {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}
    # Without a home directory it warns that its cache is temporary.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)


def _flags(command: "App") -> set[str]:
    return {name for argument in command.assemble_argument_collection() for name in argument.names}


def _sentence(error: Exception) -> str:
    if isinstance(error, ClearsightError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'the system'}: {error.strerror}"
    if isinstance(error, RuntimeError) and "home directory" in str(error):
        return (
            "found no home directory: HOME is not set, and the system does not know this user; "
            "set HOME to a folder that can be written"
        )
    if isinstance(error, MemoryError):
        return "out of memory; take smaller images, a smaller batch or less data"
    return (
        f"unexpected {type(error).__name__} ({error}); this is a bug in clearsight, "
        "run the command again with --debug and report what it prints"
    )
