"""Image files named on the command line."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from clearsight.errors import DataError, UsageError

if TYPE_CHECKING:
    from clearsight.data.walking import Passed


def image_names(words: Sequence[str], stdin: TextIO, stderr: TextIO) -> Iterator[str]:
    """The files that `words` name: files as they are, the images in folders, `-` for stdin's lines.

    Folders are searched with their subfolders in the order of names; what they hold besides images
    is passed over, and a line on `stderr` says how many of which kind. A folder without images is
    given by its own name, as a file that can't be used is, so that it does not end the rest. Raises
    `UsageError` for a word that looks like an option, `DataError` for stdin without names.
    """
    for word in words:
        if word.startswith("-") and word != "-":
            raise UsageError(f"found {word!r}, no option here; write a file as ./{word}")
    for word in words:
        if word == "-":
            yield from _in_lines(stdin)
        elif os.path.isdir(word):  # noqa: PTH112 - a Path would rewrite the name as given
            yield from _in_folder(Path(word), stderr)
        else:
            yield word


def _in_lines(stdin: TextIO) -> Iterator[str]:
    """File names as the system has them: in any bytes, and without a byte order mark."""
    lines = (
        line if isinstance(line, str) else os.fsdecode(line)
        for line in getattr(stdin, "buffer", stdin)
    )
    found = False
    for name in filter(None, (line.rstrip("\r\n") for line in lines)):
        yield name if found else name.removeprefix("\ufeff")
        found = True
    if not found:
        raise DataError("-: found no names on stdin; give the names of image files, one a line")


def _in_folder(folder: Path, stderr: TextIO) -> Iterator[str]:
    from clearsight.data.names import printable
    from clearsight.data.walking import Passed, walk

    passed, found = Passed(), False
    for file, _ in walk(folder, "", passed):
        found = True
        yield str(folder / file)
    if not found:
        yield str(folder)
    if counted := ", ".join(_counts(passed)):
        print(f"{printable(folder)}: passed over {counted}", file=stderr)


def _counts(passed: "Passed") -> Iterator[str]:
    """How many of each kind were passed over, hidden ones aside, and of which suffixes."""
    from clearsight.data.names import listed, printable
    from clearsight.data.walking import Kind

    kinds = {
        Kind.UNSUPPORTED: "image{s} of unsupported format",
        Kind.LINK: "link{s} to folders or nothing",
        Kind.OWN: "folder{s} that clearsight wrote",
        Kind.SPECIAL: "pipe{s}, socket{s} or device{s}",
        Kind.OTHER: "other file{s}",
    }
    for kind, thing in kinds.items():
        names = passed.names[kind]
        if names:
            suffixes = sorted({Path(name).suffix.lower() for name in names} - {""})
            shown = f" ({listed(map(printable, suffixes))})" if suffixes else ""
            is_file = kind in (Kind.UNSUPPORTED, Kind.OTHER)
            plural = thing.format(s="s" if len(names) > 1 else "")
            yield f"{len(names):,} {plural}{shown if is_file else ''}"
