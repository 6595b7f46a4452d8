"""Decoded once: the pixels of every data set, memory-mapped from the user's cache.

An entry is `clearsight/decoded/<key>/` in the user's cache folder: `images.npy`, `labels.npy`,
`ids.npy`, `parts.npy`, `files.npy`, where the source has them `groups.npy` and `weights.npy`, and
`meta.json`. The key is a hash of the source's content, the
fitting, this format and Pillow's version. Entries appear whole; a damaged one is decoded anew. Any
of them may be deleted at any time, and the longest unused ones are, to stay within `cache.disk`.
"""

import hashlib
import json
import os
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import PIL

from clearsight.config.schema import CacheConfig
from clearsight.data.decoding import Chunk, Findings, decode_records
from clearsight.data.images import Fit, ImageSet, check_classes, number_by_label
from clearsight.data.names import printable
from clearsight.data.records import Records, Source
from clearsight.errors import DataError, FileError
from clearsight.files import replacing, write_json
from clearsight.progress import SILENT, Progress
from clearsight.runtime.disk_cache import GIB, cache_folder, make_room

OnCorrupt = Callable[[str, str], None]
"""Called with (place, reason) for each image that can't be decoded."""

_FORMAT = 2
_OPTIONAL = ("groups", "weights")  # arrays that only some sources have
_CHECKED = 500  # images whose pixels are hashed again when an entry is opened


@dataclass(frozen=True)
class _Wanted:
    """What is asked of the cache."""

    source: Source
    size: int
    fit: Fit
    truncated: bool
    disk: float
    progress: Progress

    @property
    def entry(self) -> Path:
        key = [_FORMAT, PIL.__version__, self.source.fingerprint, self.size, self.fit]
        text = json.dumps([*key, "truncated"] if self.truncated else key)
        return cache_folder("decoded") / hashlib.sha256(text.encode()).hexdigest()[:32]


def cached(
    source: Source,
    size: int,
    fit: Fit,
    *,
    truncated: bool = False,
    disk: float = CacheConfig.disk,
    progress: Progress = SILENT,
    on_corrupt: OnCorrupt | None = None,
) -> ImageSet:
    """The source's images, decoded and fitted to `size` px, from the cache where they lie there.

    A corrupt image is a `DataError`; with `on_corrupt` it is reported there and left out instead,
    and the others are not cached. With `truncated`, damaged ones are used as far as they can be
    decoded. Other entries make room so that the cache holds `disk` GiB at most, or this data set
    alone. Where it can't be written the images stay in memory, and a note says so. The arrays are
    read-only.
    """
    wanted = _Wanted(source, size, fit, truncated, disk, progress)
    images = _open(wanted)
    if images is not None:
        return images
    records = source.read()
    if records.classes:  # images without labels have none
        counts = np.bincount(records.labels, minlength=len(records.classes))
        check_classes(records.classes, counts.tolist(), source.name)
    try:
        _write(wanted, records)
    except DataError:
        if on_corrupt is None:
            raise
        return _decode(wanted, records, on_corrupt)
    except (FileError, OSError) as error:
        reason = error.__cause__ or error
    else:
        reason = "another program removed them"
    images = _open(wanted)
    if images is None:
        images = _decode(wanted, records, on_corrupt or _refuse)
        note = f"the decoded images can't be cached and stay in memory ({reason})"
        images = replace(images, notes=(*images.notes, note))
    return images


def in_memory(source: Source, size: int, fit: Fit, progress: Progress = SILENT) -> ImageSet:
    """The source's images, decoded and fitted to `size` px, without the cache."""
    wanted = _Wanted(source, size, fit, False, 0, progress)
    return _decode(wanted, source.read(), _refuse)


def _open(wanted: _Wanted) -> ImageSet | None:
    """The entry's images; None where it is absent or damaged."""
    entry = wanted.entry
    try:
        meta = json.loads((entry / "meta.json").read_text(encoding="utf-8"))
        optional = [name for name in _OPTIONAL if name in meta.get("optional", ())]
        names = ("labels", "ids", "parts", "files", *optional)
        arrays = {name: np.load(entry / f"{name}.npy") for name in names}
        pixels = np.load(entry / "images.npy", mmap_mode="r")
        sampled = _digest(pixels[i] for i in _sampled(len(pixels)))
        if meta["sha256"] != _digest(arrays.values()) or meta["pixels"] != sampled:
            return None
        classes, notes = tuple(meta["classes"]), tuple(meta["notes"])
        os.utime(entry / "meta.json")  # used: it goes last when room is made
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError):
        return None
    for array in arrays.values():
        array.flags.writeable = False
    return ImageSet(
        images=pixels,
        classes=classes,
        **arrays,
        name=wanted.source.name,
        fit=wanted.fit,
        notes=(*wanted.source.notes, *notes),
    )


def _write(wanted: _Wanted, records: Records) -> None:
    n, size = len(records.labels), wanted.size
    needed = n * size * size * 3
    # Mapped from the disk even the largest data set takes little memory: it is kept in any case.
    make_room([wanted.entry], needed, max(wanted.disk, needed / GIB))
    with replacing(wanted.entry) as folder:
        folder.mkdir()
        digests: list[str] = []
        findings = Findings()
        sampled, pixels = _sampled(n), hashlib.sha256()
        # Written in order and not through a memory map: a full disk is then an error, not a signal.
        with (folder / "images.npy").open("wb") as file:
            _write_header(file, (n, size, size, 3))
            with closing(_chunks(wanted, records, _refuse)) as chunks:
                for chunk in chunks:
                    file.write(chunk.pixels.data)
                    here = np.isin(chunk.positions, sampled)
                    pixels.update(chunk.pixels[here].data)
                    digests += chunk.ids
                    findings.update(chunk.findings)
        ids = number_by_label(digests, records.labels, records.parts)
        parts, files = records.parts.astype("U10"), _files(records)
        optional = _optional(records)
        arrays = {"labels": records.labels, "ids": ids, "parts": parts, "files": files, **optional}
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
        meta = {
            "classes": list(records.classes),
            "notes": (*records.notes, *findings.sentences(size, wanted.fit)),
            "sha256": _digest(arrays.values()),
            "pixels": pixels.hexdigest(),
            "optional": list(optional),
        }
        write_json(folder / "meta.json", meta)


def _decode(wanted: _Wanted, records: Records, on_corrupt: OnCorrupt) -> ImageSet:
    """The records' images in memory, without the corrupt ones."""
    pixels: list[np.ndarray] = []
    positions: list[int] = []
    digests: list[str] = []
    findings = Findings()
    for chunk in _chunks(wanted, records, on_corrupt):
        pixels.append(chunk.pixels)
        positions += chunk.positions
        digests += chunk.ids
        findings.update(chunk.findings)
    name = wanted.source.name
    if not positions:
        raise DataError(f"{name}: none of its images can be decoded; replace the files")
    labels, parts = records.labels[positions], records.parts[positions].astype("U10")
    images, files = np.concatenate(pixels), _files(records)[positions]
    ids = number_by_label(digests, labels, parts)
    optional = {name: array[positions] for name, array in _optional(records).items()}
    for array in (images, labels, ids, parts, files, *optional.values()):
        array.flags.writeable = False
    return ImageSet(
        images=images,
        labels=labels,
        classes=records.classes,
        ids=ids,
        parts=parts,
        files=files,
        **optional,
        name=name,
        fit=wanted.fit,
        notes=(
            *wanted.source.notes,
            *records.notes,
            *findings.sentences(wanted.size, wanted.fit),
        ),
    )


def _chunks(wanted: _Wanted, records: Records, on_corrupt: OnCorrupt) -> Generator[Chunk]:
    """The decoded chunks. Closed early, as after an error, it also ends the work in threads."""
    decoding = decode_records(records, wanted.size, wanted.fit, truncated=wanted.truncated)
    with (
        wanted.progress.task("decoding", len(records.labels)) as advance,
        closing(decoding) as chunks,
    ):
        for chunk in chunks:
            for place, reason in chunk.corrupt:
                on_corrupt(place, reason)
            yield chunk
            advance(len(chunk.ids) + len(chunk.corrupt))


def _refuse(place: str, reason: str) -> None:
    raise DataError(f"{place}: {reason} (`clearsight audit` lists all such files)")


def _files(records: Records) -> np.ndarray:
    """text [N]: the records' files, with escapes for what can't be printed."""
    if not len(records.files):
        return np.full(len(records.labels), "", "U1")
    return np.array([f if f.isprintable() else printable(f) for f in records.files], "U")


def _optional(records: Records) -> dict[str, np.ndarray]:
    """What only some sources have, by its field in `ImageSet`."""
    found = {name: getattr(records, name) for name in _OPTIONAL}
    return {name: array for name, array in found.items() if array is not None}


def _sampled(n: int) -> np.ndarray:
    """Positions of the images whose pixels are checked, of `n`: all of them would take seconds in
    a large set. The ends are among them."""
    return np.unique(np.linspace(0, n - 1, min(n, _CHECKED), dtype=np.int64))


def _digest(arrays: Iterable[np.ndarray]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
