"""What lies in a zip or tar archive, looked through like a folder; nothing is unpacked to disk."""

import bz2
import gzip
import io
import lzma
import os
import posixpath
import stat
import tarfile
import threading
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from clearsight.data.formats import IMAGE_SUFFIXES, MAX_BYTES, UnusableError, check_bytes
from clearsight.data.names import listed, printable
from clearsight.errors import DataError

_OPENERS: dict[str, Callable[[Path], io.BufferedIOBase]] = {
    ".tar": lambda path: path.open("rb"),
    ".tar.gz": gzip.GzipFile,
    ".tgz": gzip.GzipFile,
    ".tar.bz2": bz2.BZ2File,
    ".tbz2": bz2.BZ2File,
    ".tar.xz": lzma.LZMAFile,
    ".txz": lzma.LZMAFile,
}
SUFFIXES = (".zip", *_OPENERS)
_MOST_MEMBERS = 2_000_000
_RATIO = 200  # times the archive's size; encoded images hardly shrink at all
_MOST_KEPT = 8 * 2**30
_HARMLESS = 256 * 2**20  # bytes that may be unpacked of the smallest archive
_DAMAGED = (
    OSError, EOFError, ValueError, KeyError, MemoryError, NotImplementedError, RuntimeError,
    OverflowError, tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip

_Read = Callable[[str], bytes]


@dataclass(frozen=True, kw_only=True)
class Tree:
    """The members of an archive by their names, `a/b/1.png`.

    `links` and `specials` (devices, pipes, sparse files) can't be read; `read` gives the bytes of a
    file in `sizes`, and raises what the archive's own library raises.
    """

    archive: Path
    status: os.stat_result
    sizes: dict[str, int] = field(default_factory=dict)
    links: set[str] = field(default_factory=set)
    specials: set[str] = field(default_factory=set)
    folders: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    read: _Read


@dataclass(frozen=True)
class Packed:
    """A place in an archive: as a folder what `pathlib` gives, as an entry what `os.scandir`."""

    tree: Tree
    within: str = ""

    def __truediv__(self, below: str) -> "Packed":
        return Packed(self.tree, "/".join(filter(None, (self.within, below))))

    def __str__(self) -> str:
        return str(self.tree.archive / self.within)

    @property
    def path(self) -> str:
        return str(self)

    @property
    def name(self) -> str:
        return posixpath.basename(self.within) or _stem(self.tree.archive.name)

    def resolve(self) -> "Packed":
        return self

    def scan(self) -> list["Packed"]:
        names = sorted(self.tree.folders.get(self.within, ()))
        return [self / name for name in names]

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return self.within in self.tree.folders

    def is_file(self) -> bool:
        return self.within in self.tree.sizes

    def is_symlink(self) -> bool:
        return self.within in self.tree.links

    def stat(self) -> os.stat_result:
        """That of the archive: with it everything in it may have changed."""
        return self.tree.status

    def read_bytes(self) -> bytes:
        """Raises `UnusableError`."""
        check_bytes(self.tree.sizes[self.within])
        try:
            return self.tree.read(self.within)
        except _DAMAGED as error:
            raise UnusableError(
                f"can't be read from the archive ({printable(str(error))[:200]}); pack it again"
            ) from error


def open_packed(path: Path) -> Packed:
    """The root of an archive, of one of `SUFFIXES`.

    Raises `DataError` for what would unpack to over 200 times the archive's size or over 2,000,000
    members, for names that lead out of it, for encrypted ones, and where nothing in it is an image.
    """
    place = printable(path)
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # opening one could wait for ever
        raise DataError(f"{place}: is no regular file; give the data file itself")
    is_zip = path.name.lower().endswith(".zip")
    try:
        return Packed(_zip(path, status) if is_zip else _tar(path, status))
    except _DAMAGED as error:
        kind = "a zip" if is_zip else "a tar"
        raise DataError(
            f"{place}: can't be read as {kind} archive ({printable(str(error))[:200]}); download "
            "or pack it again"
        ) from error


def _zip(path: Path, status: os.stat_result) -> Tree:
    archive = zipfile.ZipFile(path)
    infos: dict[str, zipfile.ZipInfo] = {}
    tree = Tree(archive=path, status=status, read=lambda name: archive.read(infos[name]))
    place, unpacked = printable(path), 0
    if sum(info.compress_size for info in archive.infolist()) > status.st_size:
        raise DataError(
            f"{place}: its files overlap, as in archives made to do harm; do not use it"
        )
    for count, info in enumerate(archive.infolist(), 1):
        unpacked += info.file_size
        _check_amount(place, status.st_size, unpacked, count)
        name = _plain_name(info.filename.replace("\\", "/"), place)
        kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where it was not made on Unix
        if info.flag_bits & 1:
            raise DataError(
                f"{place}: {printable(name)} is encrypted; unpack the archive into a folder with "
                "its password, and name that"
            )
        infos[name] = info
        _add(tree, name, is_folder=info.is_dir(), is_link=kind == stat.S_IFLNK,
             size=info.file_size if kind in (0, stat.S_IFREG) else None)  # fmt: skip
    return _checked(tree)


def _tar(path: Path, status: os.stat_result) -> Tree:
    suffix = next(s for s in sorted(_OPENERS, key=len, reverse=True)
                  if path.name.lower().endswith(s))  # fmt: skip
    offsets: dict[str, int] = {}
    place, unpacked = printable(path), 0
    sizes: dict[str, int] = {}
    contents = _Contents(path, _OPENERS[suffix], offsets, sizes, packed=suffix != ".tar")
    tree = Tree(archive=path, status=status, sizes=sizes, read=contents.read)
    with _OPENERS[suffix](path) as file:
        bounded = _Bounded(file, _most(status.st_size))
        with tarfile.open(fileobj=bounded, mode="r:") as archive:  # ty: ignore[no-matching-overload]
            count = 0
            while (member := archive.next()) is not None:
                archive.members.clear()  # it would keep them all
                count, unpacked = count + 1, unpacked + member.size
                _check_amount(place, status.st_size, unpacked, count)
                name = _plain_name(member.name, place)
                offsets[name] = member.offset_data
                plain = member.isreg() and not member.issparse()
                _add(
                    tree, name, is_folder=member.isdir(), is_link=member.islnk() or member.issym(),
                    size=member.size if plain else None,
                )  # fmt: skip
    if contents.packed and sum(tree.sizes[name] for name in _images(tree.sizes)) > _MOST_KEPT:
        raise DataError(
            f"{place}: holds over {_MOST_KEPT // 2**30} GiB of images, which a compressed tar "
            "archive must be read whole for; unpack it into a folder, and name that"
        )
    return _checked(tree)


class _Bounded:
    """A stream for `tarfile`, which reads what a header says that it is long, into memory."""

    def __init__(self, file: io.BufferedIOBase, most: int) -> None:
        self.file, self.left = file, most
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        self.left -= size
        if not 0 <= size <= MAX_BYTES or self.left < 0:
            raise tarfile.TarError(f"a header of {size:,} bytes")
        return self.file.read(size)


@dataclass
class _Contents:
    """The bytes of a tar's members. A compressed one can only be read from its start: what is in it
    is kept from the first time on."""

    path: Path
    opener: Callable[[Path], io.BufferedIOBase]
    offsets: dict[str, int]
    sizes: dict[str, int]
    packed: bool
    kept: dict[str, bytes] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, name: str) -> bytes:
        if not self.packed:
            with self.opener(self.path) as file:
                return self._of(file, name)
        with self.lock:
            if not self.kept:
                with self.opener(self.path) as file:
                    for other in sorted(_images(self.sizes), key=self.offsets.__getitem__):
                        self.kept[other] = self._of(file, other)
            return self.kept[name]

    def _of(self, file: io.BufferedIOBase, name: str) -> bytes:
        file.seek(self.offsets[name])
        content = file.read(self.sizes[name])
        if len(content) != self.sizes[name]:
            raise EOFError("the archive ends too soon")
        return content


def _images(sizes: dict[str, int]) -> list[str]:
    """The names of images that are not too large to be read."""
    return [
        name for name, size in sizes.items()
        if name.lower().endswith(IMAGE_SUFFIXES) and size <= MAX_BYTES
    ]  # fmt: skip


def _most(packed: int) -> int:
    """Bytes that an archive of `packed` bytes may unpack to."""
    return max(_HARMLESS, _RATIO * packed)


def _check_amount(place: str, packed: int, unpacked: int, members: int) -> None:
    if unpacked > _most(packed):
        raise DataError(
            f"{place}: would unpack to {unpacked / 2**20:,.0f} MiB or more, over {_RATIO} times "
            "its size, as archives made to do harm do; do not use it, or unpack it into a folder"
        )
    if members > _MOST_MEMBERS:
        raise DataError(
            f"{place}: holds over {_MOST_MEMBERS:,} files; unpack it into a folder, and name that"
        )


def _plain_name(name: str, place: str) -> str:
    """`a/b/1.png` of `./a//b/1.png`; "" for the root itself."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\0" in name or name[1:3] in (":/", ":\\"):
        raise DataError(
            f"{place}: holds a file called {printable(name)[:200]}, which leads out of the "
            "archive; do not use it"
        )
    return "/".join(parts)


def _add(tree: Tree, name: str, *, is_folder: bool, is_link: bool, size: int | None) -> None:
    """A member of the archive, in place of an earlier one of that name, as when it is unpacked."""
    for place, below in _steps(name):
        tree.folders[place].add(below)
    if is_folder:
        tree.folders[name]  # an empty one: it is made by being asked for
        return
    tree.sizes.pop(name, None)
    tree.links.discard(name)
    tree.specials.discard(name)
    if is_link:
        tree.links.add(name)
    elif size is None:
        tree.specials.add(name)
    else:
        tree.sizes[name] = size


def _steps(name: str) -> Iterator[tuple[str, str]]:
    """("", "a"), ("a", "b") and ("a/b", "1.png") of `a/b/1.png`."""
    while name:
        place, _, below = name.rpartition("/")
        yield place, below
        name = place


def _checked(tree: Tree) -> Tree:
    place = printable(tree.archive)
    both = [name for name in (*tree.sizes, *tree.links, *tree.specials) if name in tree.folders]
    if both:
        raise DataError(
            f"{place}: holds {printable(both[0])} both as a file and as a folder; pack it again"
        )
    if not any(name.lower().endswith(IMAGE_SUFFIXES) for name in tree.sizes):
        found = listed(map(printable, tree.sizes)) or "no files"
        raise DataError(
            f"{place}: holds no images but {found}; of an archive, images in class folders are "
            "read: unpack any other into a folder, and name that"
        )
    return tree


def _stem(name: str) -> str:
    suffix = max((s for s in SUFFIXES if name.lower().endswith(s)), key=len, default="")
    return name[: len(name) - len(suffix)]
