"""Atomic files: each is written beside its path and renamed into place, whole or not at all.

What a killed process leaves behind (`.name.PID.tmp`, `.name.old`) is removed by the next one, when
it first writes to the same folder.
"""

import csv
import fcntl
import hashlib
import io
import json
import math
import os
import re
import shutil
import stat
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from clearsight.errors import FileError, first_line
from clearsight.formats import SCHEMAS, problem

LARGEST = 2**28
"""Bytes of the largest JSON or CSV file to read; the split of 1.28 million images takes 100 MB."""


class MissingKeyError(FileError, KeyError):
    """A file lacks a key. A `KeyError` too, as for any mapping: templates may ask what is there."""

    __str__ = Exception.__str__  # a KeyError's is the message in quotes


class Record(dict[str, Any]):
    """An object of a JSON file or a row of a CSV file, which names the file if it lacks a key."""

    def __init__(self, items: Iterable[tuple[str, Any]] = (), path: Path | None = None) -> None:
        super().__init__(items)
        self.path = path

    def __missing__(self, key: str) -> Any:
        raise MissingKeyError(
            f"{self.path or 'the file'}: lacks {key!r}; restore or remove the file"
        )


ABANDONED_SECONDS = 60.0  # a temporary file that nobody has written to for so long is left over
PATIENCE = 1.0  # s to wait for a lock: `is_locked` holds it for a moment
_TEMPORARY = re.compile(r"\..+\.(\d+)\.tmp(-journal|-wal|-shm)?")
_ASIDE = re.compile(r"\.(.+)\.old")


def write_text(path: Path, text: str) -> None:
    """`text` as the whole of `path`, atomically, UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """`value` as indented JSON, atomically; NaN is refused, for it is not JSON."""
    write_text(path, as_json(value))


def read_json(path: Path) -> Any:
    """The content of `write_json`, checked against the schema of the file's name if there is one.

    Raises `FileError` where the file is missing, damaged, or says something else.
    """
    value = parse_json(read_text(path), path)
    _check_format(value, path)
    return value


def parse_json(text: str, path: Path) -> Any:
    """The value of a JSON text that was read from `path`. Raises `FileError`; NaN is no JSON."""
    try:
        return json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=lambda pairs: Record(pairs, path),
        )
    except RecursionError as error:
        raise FileError(f"{path}: invalid JSON (nested too deeply); restore the file") from error
    except ValueError as error:
        raise FileError(
            f"{path}: invalid JSON ({first_line(error)}); restore or remove the file"
        ) from error


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """`rows` under the first row's keys, atomically; None is an empty cell."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_cells(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file under its first row's names, each cell as the text it is.

    Raises `FileError` where the file is missing or damaged, or a row has not as many cells.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True))
    except csv.Error as error:
        raise FileError(f"{path}: invalid CSV ({error}); restore the file") from error
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise FileError(f"{path}: row {number} has not as many cells as the first; restore it")
    return rows


def read_csv(path: Path) -> list[dict[str, Any]]:
    """The rows of `write_csv`, finite numbers as int or float, empty cells as None.

    They are checked against the schema of the file's name if there is one.
    Raises `FileError` where the file is missing, damaged, or says something else.
    """

    def value(cell: str) -> Any:
        for kind in (int, float):
            try:
                number = kind(cell)
            except ValueError:
                continue
            return number if math.isfinite(number) else cell
        return cell or None

    rows = read_cells(path)
    table = [Record(((name, value(cell)) for name, cell in row.items()), path) for row in rows]
    _check_format(table, path)
    return [*table]


def _check_format(value: Any, path: Path) -> None:
    """Raises `FileError` for what breaks the schema of the file's name, if there is one."""
    schema = SCHEMAS / f"{path.stem}.schema.json"
    wrong = problem(value, schema) if schema.is_file() else None
    if wrong:
        raise FileError(f"{path}: {wrong}; restore or remove the file")


def read_text(path: Path, largest: int = LARGEST) -> str:
    """The text of a regular file of at most `largest` bytes, UTF-8 with or without a BOM.

    Raises `FileError` for anything else; a pipe or a device is not opened.
    """
    check_regular(path)
    try:
        with path.open("rb") as file:
            content = file.read(largest + 1)
    except OSError as error:
        raise FileError(
            f"{path}: can't be read ({error.strerror or error}); check the path and its permissions"
        ) from error
    if len(content) > largest:
        raise FileError(
            f"{path}: is larger than {largest / 2**20:g} MiB, so it is not what is expected here; "
            "give another file"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(
            f"{path}: is not text in UTF-8 ({error.reason} at byte {error.start:,}); "
            "save it in UTF-8"
        ) from error


def check_regular(path: Path) -> None:
    """Raises `FileError` unless `path` is a regular file, or a link to one; nothing is opened."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:  # a ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise FileError(f"{path}: can't be read ({reason}); check the path") from error
    if not stat.S_ISREG(mode):
        found = next((name for is_a, name in _KINDS.items() if is_a(mode)), "no regular file")
        raise FileError(f"{path}: is {found}, expected a file; give the path of a file")


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Hex digest of a file's bytes. Raises `OSError`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """A temporary path beside `path`, which takes its place when the block ends without error.

    Works for a file and, where the block makes the temporary path a folder, for a folder. Folders
    made for it above are removed again where they stay empty.
    """
    path = path if path.name.strip(".") else path.resolve()  # `.` has no name to put aside
    made = missing_parents(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with readable_os_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _sweep_once(path.parent.resolve())
            yield temporary
            if temporary.is_dir() and path.exists():
                # A folder can't be replaced in one step: the old one steps aside first, and
                # `recover` brings it back should the process die in between.
                old = _aside(path)
                if old.exists():
                    shutil.rmtree(old)
                path.rename(old)
                temporary.rename(path)
                shutil.rmtree(old)
            else:
                temporary.replace(path)
    finally:
        _remove(temporary)
        remove_empty(made)


def recover(folder: Path) -> None:
    """Brings back a folder whose replacement was cut short by the death of the process."""
    if not folder.exists() and _aside(folder).exists():
        _aside(folder).rename(folder)


def sweep(folder: Path, idle: float = ABANDONED_SECONDS) -> None:
    """Removes what killed processes left in `folder`, and brings back what they put aside.

    Temporary files stay where their process lives, or where one was written to in the last `idle`
    seconds: another machine or container may share the folder, whose processes we can't see.
    """
    for path in list(folder.iterdir()):
        temporary, aside = _TEMPORARY.fullmatch(path.name), _ASIDE.fullmatch(path.name)
        # Several may sweep at once, and what is not ours to remove is no reason to stop.
        with suppress(OSError):
            if aside and path.is_dir() and _idle_seconds(path) >= idle:
                if path.with_name(aside[1]).exists():
                    _remove(path)
                else:
                    path.rename(path.with_name(aside[1]))
            elif temporary and not _lives(int(temporary[1])) and _idle_seconds(path) >= idle:
                _remove(path)


@cache
def _sweep_once(folder: Path) -> None:
    """`sweep`, at this process's first write: to list a folder at each would make many slow."""
    sweep(folder)


def missing_parents(path: Path) -> list[Path]:
    """The folders above `path` that do not exist, innermost first."""
    return [folder for folder in path.parents if not folder.exists()]


def remove_empty(folders: Iterable[Path]) -> None:
    """Removes the folders, innermost first, up to the first that has content."""
    for folder in folders:
        if not folder.is_dir() or any(folder.iterdir()):
            break
        folder.rmdir()


@contextmanager
def locked(folder: Path, *, wait: bool = True) -> Generator[None]:
    """Holds `folder` until the block ends or the process dies, however it dies.

    Raises `BlockingIOError` where another process, or this one, holds it and `wait` is False. Only
    those who also ask are kept out; on a file system without locks nobody is.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        deadline = time.monotonic() + PATIENCE
        while not _lock(descriptor, fcntl.LOCK_EX):
            if not wait and time.monotonic() > deadline:
                raise BlockingIOError(f"{folder} is held by another process")
            time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def is_locked(folder: Path) -> bool:
    """Whether a process holds `folder`; False where there is no such folder."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def as_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


_KINDS = {
    stat.S_ISDIR: "a folder",
    stat.S_ISFIFO: "a named pipe",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is too large a number")
    return value


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def _remove(path: Path) -> None:
    """Removes a file or a whole folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    elif path.exists() or path.is_symlink():  # not where a file stands in a folder's place
        path.unlink(missing_ok=True)


def _idle_seconds(path: Path) -> float:
    """Since `path`, or anything directly in it, was last written to or renamed."""
    inside = path.iterdir() if path.is_dir() else ()
    return time.time() - max(each.stat().st_ctime for each in (path, *inside))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _lock(descriptor: int, kind: int) -> bool:
    """Whether the lock was to be had; True where the file system has none."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


@contextmanager
def readable_os_errors(path: Path) -> Generator[None]:
    """Turns what the disk refuses (full, read-only, no permission) into a `FileError`."""
    try:
        yield
    except OSError as error:
        raise FileError(
            f"{path}: can't be written ({error.strerror or error}); "
            "free some space or choose another folder with --out"
        ) from error
