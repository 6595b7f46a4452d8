"""Names in data sets: of parts as people write them, of classes, and of files in messages."""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

from clearsight.errors import DataError

PARTS = ("train", "validation", "test")
LONGEST = 255  # characters in a class name: what file systems allow
_SHOWN = 3

_WORDS = {
    "train": "train",
    "training": "train",
    "trainset": "train",
    "val": "validation",
    "valid": "validation",
    "validate": "validation",
    "validation": "validation",
    "dev": "validation",
    "devel": "validation",
    "development": "validation",
    "eval": "validation",
    "evaluation": "validation",
    "valset": "validation",
    "validset": "validation",
    "devset": "validation",
    "test": "test",
    "testing": "test",
    "testset": "test",
}
_FILLERS = {"", "set", "data", "dataset", "images", "imgs", "img", "seg", "split", "partial"}


def part_of(name: str) -> str | None:
    """`train`, `validation` or `test` where `name` is a usual name of that part, else None.

    Case and separators don't matter: `Training_Set`, `seg_train` and `dev` are such names,
    `train-station` is not.
    """
    words = _words(name)
    parts = {_WORDS[word] for word in words if word in _WORDS}
    only_parts = all(word in _WORDS or word in _FILLERS for word in words)
    return parts.pop() if len(parts) == 1 and only_parts else None


def parts_in(name: str) -> set[str]:
    """The parts that a file's or folder's name mentions: `pets-train-00000-of-00002` → train."""
    return {_WORDS[word] for word in _words(name) if word in _WORDS}


def class_names(names: Iterable[object], place: str) -> tuple[str, ...]:
    """Class names in Unicode's normal form C (UAX #15), without blanks at their ends.

    Raises `DataError`, naming `place`, for a name that is no text, is empty, has control characters
    or over 255 characters, and where two names are the same after that.
    """
    cleaned = [_class_name(name, place) for name in names]
    twice = [name for name, count in Counter(cleaned).items() if count > 1]
    if twice:
        raise DataError(
            f"{place}: found the class {listed(map(repr, twice))} more than once (names are "
            "compared in Unicode's normal form, without blanks at their ends); rename or merge them"
        )
    return tuple(cleaned)


def _class_name(name: object, place: str) -> str:
    if not isinstance(name, str):
        raise DataError(f"{place}: found the class name {name!r:.60}, expected text")
    cleaned = normalised(name)
    problem = (
        "is empty" if not cleaned
        else f"has {len(cleaned):,} characters, over the limit of {LONGEST}"
        if len(cleaned) > LONGEST
        else "is not valid UTF-8" if any("\ud800" <= c <= "\udfff" for c in cleaned)
        else "has control characters" if any(unicodedata.category(c) == "Cc" for c in cleaned)
        else None
    )  # fmt: skip
    if problem:
        raise DataError(f"{place}: the class name {printable(name)[:60]!r} {problem}; rename it")
    return cleaned


def normalised(name: str) -> str:
    """A class name in Unicode's normal form C, without blanks at its ends."""
    return unicodedata.normalize("NFC", name).strip()


def decoded(name: str) -> str:
    """A file name read as UTF-8 whatever the locale is, else as the locale has it."""
    try:
        return os.fsencode(name).decode("utf-8")
    except UnicodeError:
        return name


def as_utf8(name: str) -> str:
    """A file name for a file of text: the bytes that are no UTF-8 stand there as escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def printable(path: object) -> str:
    """A path for messages: one line of valid text, with escapes for what can't be printed."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in decoded(str(path))
    )


def listed(names: Iterable[str], most: int = _SHOWN) -> str:
    """`a, b, c and 5 more`: the first few of many names."""
    names = list(names)
    others = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + others


def _words(name: str) -> list[str]:
    return re.split(r"[-_.=\s]+|(?<=\D)\d+$", name.lower())
