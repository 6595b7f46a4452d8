"""Image files named on the command line."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from clearsight.errors import DataError, UsageError


def image_names(words: Sequence[str], stdin: TextIO) -> Iterator[str]:
    """The files that `words` name: files as they are, the images in folders, `-` for stdin's lines.

    Folders are searched with their subfolders in the order of names; hidden entries and other
    files are passed over. Raises `UsageError` for a word that looks like an option, `DataError`
    for a folder without images and for stdin without names.
    """
    for word in words:
        if word.startswith("-") and word != "-":
            raise UsageError(f"found {word!r}, no option here; write a file as ./{word}")
    for word in words:
        if word == "-":
            yield from _in_lines(stdin)
        elif os.path.isdir(word):  # noqa: PTH112 - a Path would rewrite the name as given
            yield from _in_folder(Path(word))
        else:
            yield word


def _in_lines(stdin: TextIO) -> Iterator[str]:
    found = False
    for name in filter(None, (line.rstrip("\r\n") for line in stdin)):
        found = True
        yield name
    if not found:
        raise DataError("-: found no names on stdin; give the names of image files, one a line")


def _in_folder(folder: Path) -> Iterator[str]:
    from clearsight.data.decoding import IMAGE_SUFFIXES

    found = False
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
            found = True
            yield str(path)
    if not found:
        raise DataError(f"{folder}: found no images in it; name a folder with PNG or JPEG files")
