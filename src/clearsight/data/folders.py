"""Class folders: `train/cat/1.png` with or without validation and test, or flat `cat/1.png`."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from clearsight.data.names import (
    PARTS,
    class_names,
    decoded,
    listed,
    normalised,
    part_of,
    printable,
)
from clearsight.data.records import Records, Source, file_stamp
from clearsight.data.walking import (
    Entry,
    Folder,
    Kind,
    Passed,
    is_own,
    join,
    kind_of,
    scan,
    subfolders,
    walk,
)  # fmt: skip
from clearsight.errors import DataError

_PLAIN = {"train", "val", "valid", "validation", "test"}  # names of parts that need no note
# What `clearsight explain` adds to a file's name, now and in 0.1.
_FIGURES = ("_heatmap.png", "_gradcam.png")

_Files = list[tuple[str, Entry]]


@dataclass
class Listing:
    """What lies in a class-folder data set; paths are relative to it."""

    files: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    stamps: list[tuple[int, ...]] = field(default_factory=list)
    links: int = 0

    def add(self, part: str, label: str, files: _Files) -> None:
        for file, entry in files:
            try:
                status = entry.stat()
            except OSError as error:
                raise DataError(
                    f"{printable(entry.path)}: can't be read ({error.strerror or error}); "
                    "check the file"
                ) from error
            self.files.append(file)
            self.stamps.append(file_stamp(status))
            self.links += entry.is_symlink()
        self.labels += [label] * len(files)
        self.parts += [part] * len(files)

    def fingerprint(self, folder: Folder) -> str:
        content = [str(folder.resolve()), self.files, self.labels, self.parts, self.stamps]
        return hashlib.sha256(json.dumps(content, ensure_ascii=True).encode()).hexdigest()


def folder_source(folder: Folder) -> Source:
    """A folder with one folder of images per class, or those within folders of parts.

    Parts are told by their usual names (`names.part_of`), and a folder that holds nothing but
    another, as zip files leave it, is looked through. Classes are the folders' names, sorted as
    text; the images of a class may lie in folders below it. Left out and noted: hidden files and
    what systems add, what clearsight wrote, files that are no images by their suffix, linked
    folders that lead back, and whatever lies outside of the class folders. The fingerprint is over
    each file's path and `file_stamp`, for reading them all would take as long as decoding.

    Raises `DataError` for an empty class folder, for a part without labels in place of train, for
    classes that train lacks, and for folders whose names mean the same class or part.
    """
    if is_own(folder):
        raise DataError(
            f"{printable(folder)}: this folder was written by clearsight and is not a data set; "
            "name a folder with one folder of images per class"
        )
    passed, listing, notes = Passed(), Listing(), []
    base = _unwrapped(folder)
    if base:
        notes.append(f"read from {printable(base)}/, the only folder there")
    names = subfolders(folder, base, Passed())
    parts = _part_folders(folder, base, names)
    for above in sorted({a for place in parts.values() or [base] for a in _above(place)}):
        subfolders(folder, above, passed)
    if parts:
        found = {part: _classes(folder, place, passed) for part, place in parts.items()}
        _check_same_classes(folder, parts, found)
        used = {place[len(base) :].strip("/").split("/")[0] for place in parts.values()}
        notes += _part_notes(folder, base, parts)
        notes += _left_out(folder, base, [name for name in names if name not in used], passed)
    else:
        found = {"": _classes(folder, base, passed)}
        _check_flat(folder, base, found[""], passed)
    for part, classes in found.items():
        for label, files in classes.items():
            listing.add(part, label, files)
    if listing.links:
        notes.append(f"{listing.links:,} of {len(listing.files):,} images are links to files")
    classes = tuple(found["train" if parts else ""])
    return Source(
        name=printable(folder.resolve().name),
        fingerprint=listing.fingerprint(folder),
        read=lambda: _records(folder, classes, listing),
        notes=(*notes, *passed.notes()),
    )


def _records(folder: Folder, classes: tuple[str, ...], listing: Listing) -> Records:
    index = {name: k for k, name in enumerate(classes)}
    return Records(
        images=[folder / file for file in listing.files],
        labels=np.array([index[label] for label in listing.labels], np.int64),
        classes=classes,
        parts=np.array(listing.parts, "U10"),
        locate=lambda i: printable(folder / listing.files[i]),
        files=listing.files,
    )


def _unwrapped(root: Folder) -> str:
    """The folder, relative to `root`, that holds more than another folder; "" is `root` itself."""
    place = ""
    while (lone := _lone_folder(root, place)) and not part_of(lone):
        inner = join(place, lone)
        if _has_images(root, inner) or not any(_inner_folders(root, inner)):
            break
        place = inner
    return place


def _unwrapped_part(root: Folder, place: str, classes: Mapping[str, object]) -> str:
    """The same within the folder of a part: `training_set/training_set/cat` has the wrapper twice.

    A lone folder is a wrapper if it has a part's name, or holds several folders and no images; the
    only class of a part, one of `classes`, is none.
    """
    while (lone := _lone_folder(root, place)) and normalised(decoded(lone)) not in classes:
        inner = join(place, lone)
        several = len(list(_inner_folders(root, inner))) > 1 and not _has_images(root, inner)
        if not (part_of(lone) or several):
            break
        place = inner
    return place


def _above(place: str) -> list[str]:
    """The folders that hold `place`: "a/b/c" lies in "", "a" and "a/b"."""
    names = place.split("/") if place else []
    return ["/".join(names[:depth]) for depth in range(len(names))]


def _lone_folder(root: Folder, place: str) -> str | None:
    names = list(islice(_inner_folders(root, place), 2))
    return names[0] if len(names) == 1 and not _has_images(root, place) else None


def _inner_folders(root: Folder, place: str) -> Iterator[str]:
    """The folders in `root`/`place` that may be classes: those that hold more than runs."""
    for name in subfolders(root, place, Passed()):
        inside = Passed()
        some = None if name.lower() == "runs" else 1  # one image tells, but among runs
        files = list(islice(walk(root, join(place, name), inside), some))
        if not _is_output(name, files, inside):
            yield name


def _has_images(root: Folder, place: str) -> bool:
    return any(kind_of(entry) == Kind.IMAGE for entry in scan(root / place))


def _part_folders(root: Folder, base: str, names: list[str]) -> dict[str, str]:
    """Part → its folder of classes, relative to `root`; empty where the data set is flat.

    A folder called `train` is a part only if there are folders in it; else it is a class.
    """
    named = [(name, part) for name in names if (part := part_of(name))]
    named.sort(key=lambda item: PARTS.index(item[1]))
    found: dict[str, str] = {}
    classes: dict[str, object] = {}
    for name, part in named:
        place = _unwrapped_part(root, join(base, name), classes)
        inner = [normalised(decoded(n)) for n in _inner_folders(root, place)]
        # test/unknown/1.png is how some libraries want unlabelled images.
        if not inner or (
            part != "train" and len(inner) == 1 and classes and inner[0] not in classes
        ):
            continue
        if part in found:
            raise DataError(
                f"{printable(root)}: found both {printable(found[part])}/ and {printable(place)}/ "
                f"for {part}; keep one"
            )
        found[part] = place
        if part == "train":
            classes = dict.fromkeys(inner)
    if found and "train" not in found:
        raise DataError(
            f"{printable(root)}: found {', '.join(f'{printable(n)}/' for n in found.values())} "
            "but no train/ with class folders; put the training images there, a folder for each "
            "class"
        )
    return found


def _classes(root: Folder, place: str, passed: Passed) -> dict[str, _Files]:
    """Class → its images, of the class folders in `root`/`place`, by the classes' names."""
    folders = subfolders(root, place, passed)
    listed_files: dict[str, _Files] = {}
    for folder in folders:
        below, inside = join(place, folder), Passed()
        files = list(walk(root, below, inside))
        if _is_output(folder, files, inside):
            passed.add(Kind.OWN, f"{below}/")
            continue
        if not files:
            others = inside.names[Kind.UNSUPPORTED]
            found = f" (but {len(others):,} in unsupported formats)" if others else ""
            raise DataError(
                f"{printable(root / below)}: no images in this class folder{found}; "
                "add images or remove the folder"
            )
        _check_inner(root, below, files, folders)
        listed_files[folder] = files
        for kind, entries in inside.names.items():
            passed.names[kind] += entries
    names = class_names(map(decoded, listed_files), printable(root / place))
    return dict(sorted(zip(names, listed_files.values(), strict=True)))


def _check_inner(root: Folder, below: str, files: _Files, siblings: list[str]) -> None:
    """Refuses a class folder that holds parts, or a copy of the data set it lies in."""
    deeper = (file[len(below) + 1 :].split("/") for file, _ in files)
    inner = {names[0] for names in deeper if len(names) > 1}
    shown = printable(root / below)
    parts = {part for name in inner if (part := part_of(name))}
    if "train" in parts and len(parts) > 1:
        raise DataError(
            f"{shown}: this class folder holds folders of the parts {' and '.join(sorted(parts))}; "
            "put the parts above the classes, as in train/cat/1.png"
        )
    again = sorted(inner.intersection(siblings))
    if len(again) > 1:
        raise DataError(
            f"{shown}: this class folder holds {listed(f'{printable(n)}/' for n in again)}, which "
            "also lie beside it; remove the copy, or name the inner folder as the source"
        )


def _is_output(folder: str, files: _Files, inside: Passed) -> bool:
    """Whether a would-be class holds only what clearsight wrote: `runs`, or drawn explanations."""
    if inside.names[Kind.OWN] and (not files or folder.lower() == "runs"):
        return True
    return bool(files) and all(file.endswith(_FIGURES) for file, _ in files)


def _check_same_classes(
    root: Folder, places: Mapping[str, str], found: Mapping[str, Mapping[str, _Files]]
) -> None:
    """Refuses classes that train lacks. Those that only train has are left to the split."""
    expected = found["train"]
    for part, classes in found.items():
        extra = [c for c in classes if c not in expected]
        if extra:
            missing = [c for c in expected if c not in classes]
            place = printable(places[part])
            differences = [
                f"{place}/ lacks {listed(missing)}" if missing else "",
                f"{printable(places['train'])}/ lacks {listed(extra)}",
            ]
            raise DataError(
                f"{printable(root)}: {' and '.join(filter(None, differences))}; "
                "give every part the same class folders"
            )


def _check_flat(root: Folder, base: str, classes: Mapping[str, _Files], passed: Passed) -> None:
    """Refuses folders where the labels can't be told from the folders."""
    where = printable(root / base)
    if classes and all(part_of(name) for name in classes):
        raise DataError(
            f"{where}: found {listed(f'{name}/' for name in classes)} with images but without "
            "class folders, so they have no labels; give each class a folder of its own, as in "
            "train/cat/1.png"
        )
    loose = sum(kind_of(entry) == Kind.IMAGE for entry in scan(root / base))
    if not classes and loose:
        raise DataError(
            f"{where}: found {loose:,} images but no class folders; give each class a folder of "
            "its own, as in cat/1.png"
        )
    if not classes:
        found = "; ".join(passed.notes()) or "none"
        raise DataError(
            f"{where}: found 0 classes ({found}), a classifier needs at least two; "
            "give each class a folder of its own, as in cat/1.png"
        )


def _part_notes(root: Folder, base: str, parts: Mapping[str, str]) -> Iterator[str]:
    """Which folders were taken for which parts, where that is not plain."""
    prefix = f"{base}/" if base else ""
    if any(place.removeprefix(prefix).lower() not in _PLAIN for place in parts.values()):
        told = ", ".join(f"{part} from {printable(place)}/" for part, place in parts.items())
        yield f"parts: {told}"


def _left_out(root: Folder, base: str, names: list[str], passed: Passed) -> Iterator[str]:
    """What lies beside the parts: a sentence for each folder of images."""
    for name in names:
        place, inside = join(base, name), Passed()
        files = list(walk(root, place, inside))
        shown, images = f"{printable(place)}/", f"{len(files):,} image{'s' * (len(files) != 1)}"
        if _is_output(name, files, inside):
            passed.add(Kind.OWN, f"{place}/")
        elif not files:
            passed.add(Kind.OTHER, f"{place}/")
        elif part_of(name):
            yield (
                f"{shown}: {images} NOT USED because they are not in class folders; sort them into "
                "class folders to evaluate on them, or classify them with `clearsight predict`"
            )
        else:
            yield (
                f"{shown}: {images} NOT USED because the folder's name is not that of a part; move "
                "them into train/, validation/ or test/ to use them"
            )
