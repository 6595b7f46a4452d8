"""Class folders: `train/cat/1.png` with or without validation and test, or flat `cat/1.png`."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from clearsight.data.decoding import IMAGE_SUFFIXES
from clearsight.data.records import PARTS, Records, Source
from clearsight.errors import DataError

_NAMED = 3  # stray files that a note names; it counts the others


@dataclass
class _Listing:
    """What lies in a class-folder data set; paths are relative to it."""

    files: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    stamps: list[tuple[int, int]] = field(default_factory=list)  # bytes, mtime in ns
    stray: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)


def folder_source(folder: Path) -> Source:
    """A folder with one folder of images per class, or those within `train`, `val`/`valid`/
    `validation` and `test`.

    Classes are the folders' names, sorted as text; the images of a class may lie in folders below
    it. Hidden files and folders, files that are no images by their suffix, and whatever lies
    outside of the class folders are left out and noted. The fingerprint is over each file's path,
    size and time of change, for reading them all would take as long as decoding.

    Raises `DataError` for an empty class folder and for class sets that differ between the parts.
    """
    listing = _Listing()
    top = _subfolders(folder, "", listing)
    parts = _part_folders(folder, top)
    if parts:
        listing.stray += [f"{name}/" for name in top if name not in parts.values()]
        class_sets = {name: _subfolders(folder, name, listing) for name in parts.values()}
        _check_same_classes(folder, class_sets)
        for part, name in parts.items():
            _list_classes(folder, name, class_sets[name], part, listing)
        classes = class_sets[parts["train"]]
    else:
        classes = top
        _list_classes(folder, "", classes, "", listing)
    return Source(
        name=folder.resolve().name,
        fingerprint=hashlib.sha256(
            json.dumps([listing.files, listing.stamps], ensure_ascii=True).encode()
        ).hexdigest(),
        read=lambda: _records(folder, classes, listing),
        notes=_notes(listing),
    )


def _records(folder: Path, classes: Sequence[str], listing: _Listing) -> Records:
    index = {name: k for k, name in enumerate(classes)}
    return Records(
        images=[folder / file for file in listing.files],
        labels=np.array([index[label] for label in listing.labels], np.int64),
        classes=tuple(classes),
        parts=np.array(listing.parts, "U10"),
        locate=lambda i: str(folder / listing.files[i]),
    )


def _part_folders(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """Part → folder name, empty where the folder is flat.

    A folder called `train` is a part only if there are folders in it; else it is a class.
    """
    found: dict[str, str] = {}
    for name in names:
        part = PARTS.get(name.lower())
        if part and any(entry.is_dir() for entry in _scan(folder / name)):
            if part in found:
                raise DataError(
                    f"{folder}: found both {found[part]}/ and {name}/ for {part}; keep one"
                )
            found[part] = name
    if found and "train" not in found:
        raise DataError(
            f"{folder}: found {', '.join(f'{n}/' for n in found.values())} but no train/; "
            "put the training images there, a folder for each class"
        )
    return dict(sorted(found.items(), key=lambda item: list(PARTS.values()).index(item[0])))


def _check_same_classes(folder: Path, class_sets: dict[str, list[str]]) -> None:
    (first, expected), *others = class_sets.items()
    for name, classes in others:
        missing = [c for c in expected if c not in classes]
        extra = [c for c in classes if c not in expected]
        if missing or extra:
            differences = [
                f"{name}/ lacks {', '.join(missing)}" if missing else "",
                f"{first}/ lacks {', '.join(extra)}" if extra else "",
            ]
            raise DataError(
                f"{folder}: {' and '.join(filter(None, differences))}; "
                "give every part the same class folders"
            )


def _subfolders(root: Path, part: str, listing: _Listing) -> list[str]:
    """Names of the folders in `root`/`part`, sorted; files and hidden folders go to the notes."""
    names = []
    for entry in _scan(root / part):
        relative = f"{part}/{entry.name}" if part else entry.name
        if _is_hidden(entry.name):
            listing.hidden.append(relative)
        elif entry.is_dir():
            names.append(entry.name)
        else:
            listing.stray.append(relative)
    return names


def _list_classes(
    root: Path, folder: str, classes: Sequence[str], part: str, listing: _Listing
) -> None:
    """The images of the class folders in `root`/`folder`."""
    for name in classes:
        place = f"{folder}/{name}" if folder else name
        before = len(listing.files)
        for file, entry in _walk(root, place, listing):
            status = entry.stat()
            listing.files.append(file)
            listing.stamps.append((status.st_size, status.st_mtime_ns))
        count = len(listing.files) - before
        if not count:
            raise DataError(
                f"{root / place}: no images in this class folder; add images or remove the folder"
            )
        listing.labels += [name] * count
        listing.parts += [part] * count


def _walk(root: Path, place: str, listing: _Listing) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """The image files in `root`/`place` and below, by their path from `root`; the rest goes to the
    notes."""
    for entry in _scan(root / place):
        relative = f"{place}/{entry.name}"
        if _is_hidden(entry.name):
            listing.hidden.append(relative)
        elif entry.is_dir(follow_symlinks=False):
            yield from _walk(root, relative, listing)
        elif entry.is_file() and entry.name.lower().endswith(IMAGE_SUFFIXES):
            yield relative, entry
        else:
            listing.stray.append(relative)


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(
            f"{folder}: can't be read ({error.strerror or error}); check the folder"
        ) from error


def _is_hidden(name: str) -> bool:
    # __MACOSX is what macOS adds to zip files: a hidden folder by another name.
    return name.startswith(".") or name == "__MACOSX"


def _notes(listing: _Listing) -> tuple[str, ...]:
    found = (
        (listing.stray, "left out, no images in class folders"),
        (listing.hidden, "left out, hidden"),
    )
    notes = []
    for names, why in found:
        if names:
            named = ", ".join(sorted(names)[:_NAMED])
            others = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
            notes.append(f"{why}: {named}{others}")
    return tuple(notes)
