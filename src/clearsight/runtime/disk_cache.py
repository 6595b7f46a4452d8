"""Entries in the user's cache folder: folders that may be deleted at any time, and are, the
longest unused first, to stay within a largest size."""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import platformdirs

GIB = 2**30
_ABANDONED_SECONDS = 3600  # a half-written entry that nobody wrote to for so long is left over


def cache_folder(kind: str) -> Path:
    """Where the entries of a kind lie."""
    return platformdirs.user_cache_path("clearsight") / kind


def make_room(entries: Sequence[Path], missing: int, gib: float) -> bool:
    """Whether `missing` bytes more fit beside `entries`, of one kind, in `gib` and on the disk.

    Removes others of that kind for it, the longest unused first; none where it would not help.
    """
    if not missing:
        return True
    folder = entries[0].parent
    others = [path for path in folder.glob("*") if path not in entries and path.is_dir()]
    others = [p for p in others if p.name[0] != "." or time.time() - _used(p) > _ABANDONED_SECONDS]
    limit = gib * GIB - missing - sum(_size(entry) for entry in entries)
    if limit < 0:
        return False
    sizes = {path: _size(path) for path in others}
    for path in sorted(others, key=_used):
        if sum(sizes.values()) <= limit:
            break
        shutil.rmtree(path, ignore_errors=True)  # another program may remove it as well
        del sizes[path]
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return missing < shutil.disk_usage(existing).free


def _size(entry: Path) -> int:
    """Bytes of an entry's files."""
    try:
        return sum(file.stat().st_size for file in entry.glob("*"))
    except FileNotFoundError:  # just removed by another program
        return 0


def _used(entry: Path) -> float:
    """When an entry was last written or marked as read, in seconds since 1970."""
    try:
        return max(path.stat().st_mtime for path in (entry, *entry.glob("*")))
    except FileNotFoundError:
        return 0.0
