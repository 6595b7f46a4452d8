"""Atomic files: each is written beside its path and renamed into place, whole or not at all."""

import csv
import json
import os
import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clearsight.errors import FileError


def write_text(path: Path, text: str) -> None:
    """`text` as the whole of `path`, atomically, UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """`value` as indented JSON, atomically; NaN is refused, for it is no JSON."""
    write_text(path, as_json(value))


def read_json(path: Path) -> Any:
    """The content of `write_json`. Raises `FileError` where it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileError(f"{path}: can't be read as JSON ({error}); restore or remove it") from error


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """`rows` under the first row's keys, atomically; None is an empty cell."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: Path) -> list[dict[str, Any]]:
    """The rows of `write_csv`, numbers as int or float, empty cells as None.

    Raises `FileError` where it is missing or damaged.
    """

    def value(cell: str) -> Any:
        for kind in (int, float):
            try:
                return kind(cell)
            except ValueError:
                continue
        return cell or None

    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [{k: value(v) for k, v in row.items()} for row in csv.DictReader(file)]
    except (OSError, ValueError, csv.Error) as error:
        raise FileError(f"{path}: can't be read as CSV ({error}); restore it") from error


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """A temporary path beside `path`, which takes its place when the block ends without error.

    Works for a file and, where the block makes the temporary path a folder, for a folder. Folders
    made for it above go again where they stay empty.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with readable_os_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
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
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        elif temporary.exists():
            temporary.unlink()
        for folder in made:
            if not folder.is_dir() or any(folder.iterdir()):
                break
            folder.rmdir()


def recover(folder: Path) -> None:
    """Brings back a folder whose replacement was cut short by the death of the process."""
    if not folder.exists() and _aside(folder).exists():
        _aside(folder).rename(folder)


def as_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


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
