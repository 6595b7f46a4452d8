"""Walking through folders of images: what is an image, and what is passed over and why."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path

from clearsight.data.formats import IMAGE_SUFFIXES
from clearsight.data.names import listed, printable
from clearsight.data.packed import Packed
from clearsight.errors import DataError

Folder = Path | Packed
Entry = os.DirEntry[str] | Packed


class Kind(StrEnum):
    """What a folder's entry is; the text says why it is passed over."""

    FOLDER = "folder"
    IMAGE = "image"
    OTHER = "not images in class folders"
    UNSUPPORTED = "unsupported image formats"
    HIDDEN = "hidden or system files"
    OWN = "written by clearsight"
    LINK = "links not followed"
    SPECIAL = "pipes, sockets, devices"


# What operating systems, storage devices and Python put into folders.
_SYSTEM = {
    "__macosx", "@eadir", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "__pycache__",
    "lost+found", "$recycle.bin", "recycler", "system volume information", "thumbs.db",
    "ehthumbs.db", "desktop.ini", "icon\r",
}  # fmt: skip
# What clearsight writes: a run, a bundle, an entry of the cache; artifacts of MLflow.
_OWN_FILES = (
    ("recipe.toml", "environment.json"),
    ("bundle.json", "model.safetensors"),
    ("images.npy", "meta.json"),
)
_OWN_FOLDERS = {"mlflow-artifacts", "mlruns"}
_OTHER_FORMATS = (
    ".heic", ".heif", ".jxl", ".jp2", ".j2k", ".tga", ".ico", ".svg", ".psd", ".eps", ".dng",
    ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".dcm", ".exr", ".hdr", ".icns", ".pcx",
    ".xcf",
)  # fmt: skip


class Passed:
    """What was passed over, by the reason, and the linked folders that were `followed`.

    Paths are relative to the folder walked through.
    """

    def __init__(self) -> None:
        self.names: defaultdict[Kind, list[str]] = defaultdict(list)
        self.followed: list[str] = []

    def add(self, kind: Kind, name: str) -> None:
        self.names[kind].append(name)

    def notes(self) -> tuple[str, ...]:
        """A sentence for each reason, which names the first few."""
        found = [("followed links to folders elsewhere", self.followed)]
        found += [(f"left out ({kind})", self.names[kind]) for kind in Kind]
        return tuple(
            f"{what}: {listed(map(printable, sorted(names)))}" for what, names in found if names
        )


def scan(folder: Folder) -> Sequence[Entry]:
    """The folder's entries by name. Raises `DataError` where it can't be read."""
    if isinstance(folder, Packed):
        return folder.scan()
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(
            f"{printable(folder)}: can't be read ({error.strerror or error}); check the folder"
        ) from error


def kind_of(entry: Entry) -> Kind:
    """What `entry` is, without opening it. A link to a regular file counts as that file."""
    name = entry.name.lower()
    if name.startswith(".") or name in _SYSTEM:
        return Kind.HIDDEN
    try:
        if entry.is_dir(follow_symlinks=False):
            return Kind.OWN if is_own(_place(entry)) else Kind.FOLDER
        if entry.is_file():
            return (
                Kind.IMAGE if name.endswith(IMAGE_SUFFIXES)
                else Kind.UNSUPPORTED if name.endswith(_OTHER_FORMATS)
                else Kind.OTHER
            )  # fmt: skip
        return Kind.LINK if entry.is_symlink() else Kind.SPECIAL
    except OSError:  # a loop of links
        return Kind.LINK


def _place(entry: Entry) -> str | Packed:
    return entry if isinstance(entry, Packed) else entry.path


def is_own(folder: str | Folder) -> bool:
    """Whether clearsight wrote `folder`: a run, a bundle, a cached data set, MLflow's artifacts."""
    if isinstance(folder, Packed):
        return folder.name in _OWN_FOLDERS or any(
            all((folder / name).is_file() for name in names) for names in _OWN_FILES
        )
    return os.path.basename(folder) in _OWN_FOLDERS or any(  # noqa: PTH119 - 2 µs, not 10
        all(os.path.isfile(os.path.join(folder, name)) for name in names)  # noqa: PTH113, PTH118
        for names in _OWN_FILES
    )


def walk(root: Folder, below: str, passed: Passed) -> Iterator[tuple[str, Entry]]:
    """The image files in `root`/`below` and its folders, by their path from `root`.

    No linked folder is followed. What is passed over goes to `passed`.
    """
    open_folders = [(below, iter(scan(root / below)))]  # a stack: recursion has a limit
    while open_folders:
        holder, entries = open_folders[-1]
        entry = next(entries, None)
        if entry is None:
            open_folders.pop()
            continue
        relative = join(holder, entry.name)
        kind = kind_of(entry)
        if kind == Kind.FOLDER:
            open_folders.append((relative, iter(scan(root / relative))))
        elif kind == Kind.IMAGE:
            yield relative, entry
        else:
            passed.add(kind, relative)


def subfolders(root: Folder, below: str, passed: Passed) -> list[str]:
    """Names of the folders in `root`/`below`, sorted; all else goes to `passed`.

    A linked folder counts where it lies elsewhere: links into the same folder would give the same
    images twice, links to a folder above would never end.
    """
    names = []
    for entry in scan(root / below):
        kind, relative = kind_of(entry), join(below, entry.name)
        if kind == Kind.FOLDER:
            names.append(entry.name)
        elif kind == Kind.LINK and _leads_elsewhere(entry, root):
            names.append(entry.name)
            passed.followed.append(relative)
        else:
            passed.add(Kind.OTHER if kind == Kind.IMAGE else kind, relative)
    return names


def _leads_elsewhere(entry: Entry, root: Folder) -> bool:
    try:
        if not entry.is_dir() or isinstance(root, Packed):
            return False
        target = Path(entry.path).resolve(strict=True)
        holder = Path(entry.path).parent.resolve()
    except (OSError, RuntimeError):  # a loop of links
        return False
    above = {holder, *holder.parents, root.resolve()}
    return target not in above and holder not in target.parents and not is_own(target)


def join(folder: str, name: str) -> str:
    """`folder/name`, or `name` where `folder` is empty."""
    return f"{folder}/{name}" if folder else name
