"""The image files that a list names: as they are, without their ending, or deeper in the folder."""

import os
import posixpath
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from clearsight.data.formats import IMAGE_SUFFIXES
from clearsight.data.names import decoded, normalised, parts_in, printable
from clearsight.data.walking import Passed, walk
from clearsight.errors import DataError


@dataclass(frozen=True)
class Listed:
    """The files in and below a folder that N names stand for.

    - `files`: of each name its file, relative to the folder or, outside of it, absolute; None where
      there is no such file
    - `completed`: how many names were completed by each folder in front, `""` for an ending alone
    - `others`: the image files in the folder that no name stands for
    """

    files: list[str | None]
    completed: dict[str, int]
    others: list[str]


def find_listed(
    folder: Path, names: Sequence[str], parts: Sequence[str], place: Callable[[int], str]
) -> Listed:
    """Finds the files of `names` in `folder`.

    A name is a path from `folder`, or an absolute one, and may lead out of it. Where there is no
    such file, the ending may be missing, as may folders in front: `7` stands for `train/7.png`. Of
    several such files that is taken whose folders name the image's part, one of `parts`: `train`,
    `validation`, `test`, or `""` where it is not known. Backslashes separate folders too.

    Raises `DataError`, with `place(i)` in front, where several files are left for a name.
    """
    known = {_key(file): file for file, _ in walk(folder, "", Passed())}
    by_name: defaultdict[str, list[str]] = defaultdict(list)
    for key in known:
        name = posixpath.basename(key)
        for form in {name, _without_suffix(name)}:
            by_name[form].append(key)
    base = os.path.abspath(folder)  # noqa: PTH100 - a link is not to be followed
    files: list[str | None] = []
    completed: defaultdict[str, int] = defaultdict(int)
    for i, name in enumerate(names):
        found = None
        for form in dict.fromkeys((name, name.replace("\\", "/"))):
            if found := _as_named(base, form, known):
                break
            key = _key(posixpath.normpath(form))
            if candidates := _ending_in(key, by_name):
                chosen = _one_of(candidates, parts[i], name, place(i))
                completed[_without_suffix(chosen).removesuffix(_without_suffix(key))] += 1
                found = known[chosen]
                break
        files.append(found)
    used = set(files)
    return Listed(files, dict(completed), [file for file in known.values() if file not in used])


def _as_named(base: str, name: str, known: dict[str, str]) -> str | None:
    """The file that a path leads to from the folder `base`, or None."""
    path = os.path.normpath(os.path.join(base, name))  # noqa: PTH118 - 2 µs, not 10
    inside = path.removeprefix(os.path.join(base, "")) if path != base else ""  # noqa: PTH118
    if (file := known.get(_key(inside))) is not None:
        return file
    return inside if os.path.isfile(path) else None  # noqa: PTH113


def _ending_in(key: str, by_name: dict[str, list[str]]) -> list[str]:
    """The files whose path ends in `key`, with or without their ending: in the folder, or deeper.

    What lies where `key` says goes before what lies deeper.
    """
    alike = by_name.get(posixpath.basename(key), [])
    here = [file for file in alike if _without_suffix(file) == key]
    tail = f"/{key}"
    return here or [f for f in alike if f.endswith(tail) or _without_suffix(f).endswith(tail)]


def _one_of(files: list[str], part: str, name: str, place: str) -> str:
    """The only file, or the only one in a folder of the part."""
    if len(files) == 1:
        return files[0]
    of_part = [file for file in files if part in _parts(posixpath.dirname(file))]
    if len(of_part) == 1:
        return of_part[0]
    first, second, *others = of_part or files
    more = f" or {len(others):,} more" if others else ""
    raise DataError(
        f"{place}: {printable(name)} may be {printable(first)} or {printable(second)}{more}; name "
        "the folder of the images with data.images, or write their paths out in the table"
    )


@cache
def _parts(folder: str) -> frozenset[str]:
    return frozenset(part for name in PurePosixPath(folder).parts for part in parts_in(name))


def _without_suffix(name: str) -> str:
    stem, suffix = posixpath.splitext(name)
    return stem if suffix.lower() in IMAGE_SUFFIXES else name


def _key(path: str) -> str:
    """A path by which names are compared: macOS writes accents of file names in another form."""
    return normalised(decoded(path))
