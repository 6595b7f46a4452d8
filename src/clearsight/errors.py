"""Every error clearsight raises on purpose.

    ClearsightError            the work failed or was refused (exit code 1)
    ├── UsageError             wrong use of a command or function (exit code 2)
    │   └── ConfigError        a recipe or an override: unknown key, wrong type, out of range
    ├── DataError              a source, a file or a split
    │   └── DataNotFoundError  nothing of that name on the data search path
    ├── WeightsError           pretrained weights: not to be had, or of another network
    ├── FileError              a file of ours: can't be read, can't be written
    ├── RunError               a run folder: exists, is missing, is no run
    ├── TrainingError          training can't go on (NaN, nothing to train)
    ├── BundleError            a bundle: damaged, of another format, disagreeing with its model
    ├── HubError               the model hub: away, refuses access, holds no such bundle
    └── RegistryError          a registered model: not there, or not better than what it should beat

Each message is one sentence that names the file or field, what was found, and what to do.
"""

from typing import Any

SHOWN, LINE = 60, 150  # characters that a message repeats of a value, of another's message


class ClearsightError(Exception):
    """Base of all errors that are not bugs; `exit_code` is what the command line returns."""

    exit_code = 1


class UsageError(ClearsightError):
    """A command or function was used wrongly."""

    exit_code = 2


class ConfigError(UsageError):
    """A recipe or an override has an unknown key, a wrong type or a value out of range."""


class DataError(ClearsightError):
    """A data source, one of its files, or a split can't be used."""


class DataNotFoundError(DataError):
    """No data of that name on the search path, and none could be downloaded."""


class WeightsError(ClearsightError):
    """Pretrained weights can't be had, can't be read, or belong to another network."""


class FileError(ClearsightError):
    """A file that clearsight writes can't be written, or can't be read back."""


class RunError(ClearsightError):
    """A run folder exists already, is missing, or is no run."""


class TrainingError(ClearsightError):
    """Training can't start or can't go on."""


class BundleError(ClearsightError):
    """A bundle is damaged, of another format version, or disagrees with its model."""


class HubError(ClearsightError):
    """The model hub can't be reached, refuses access, or holds no such bundle."""


class RegistryError(ClearsightError):
    """A registered model, version or alias is not there, or a promotion is refused."""


def first_line(error: BaseException) -> str:
    """The first line of another library's message, cut; the error's type where it has none."""
    line = next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(" .:")
    return line if len(line) <= LINE else f"{line[:LINE]}…"


def shown(value: Any) -> str:
    """`value` as a message repeats it: its `repr`, cut where it is long."""
    if isinstance(value, int | float):
        try:
            text = repr(value)
        except ValueError:  # Python prints no whole number of over 4,300 digits
            return "a number of thousands of digits"
    else:
        # Of a long text or table the start is enough, and quick to make.
        part = value[:SHOWN] if isinstance(value, str | bytes | list | tuple) else value
        try:
            text = repr(part)
        except (RecursionError, ValueError):
            return f"a deeply nested {type(value).__name__}"
        if part is not value and len(part) < len(value):
            return f"{text[:SHOWN]}…"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
