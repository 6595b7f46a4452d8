"""Decoded once: the pixels of every data set, memory-mapped from the user's cache.

An entry is `clearsight/decoded/<key>/` in the user's cache folder: `images.npy`, `labels.npy`,
`ids.npy`, `parts.npy` and `meta.json`. The key is a hash of the source's content, the fitting, this
format and Pillow's version. Entries appear whole; a damaged one is decoded anew. Any of them may be
deleted at any time.
"""

import hashlib
import json
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import PIL
import platformdirs

from clearsight.data.decoding import Chunk, Findings, decode_records
from clearsight.data.images import Fit, ImageSet, check_classes, content_id, number_duplicates
from clearsight.data.records import Records, Report, Source
from clearsight.errors import DataError, FileError
from clearsight.files import replacing, write_json

OnCorrupt = Callable[[str, str], None]
"""Called with (place, reason) for each image that can't be decoded."""

_FORMAT = 1
_CHECKED = 500  # images whose pixels are compared with their ids when an entry is opened


def cached(
    source: Source,
    size: int,
    fit: Fit,
    report: Report | None = None,
    on_corrupt: OnCorrupt | None = None,
) -> ImageSet:
    """The source's images, decoded and fitted to `size` px, from the cache where they lie there.

    A corrupt image is a `DataError`; with `on_corrupt` it is reported there and left out instead,
    and the others are not cached. Where the cache can't be written the images stay in memory, and
    a note says so. The arrays are read-only.
    """
    entry = _entry(source, size, fit)
    images = _open(entry, source, fit)
    if images is not None:
        return images
    records = source.read()
    counts = np.bincount(records.labels, minlength=len(records.classes))
    check_classes(records.classes, counts.tolist(), source.name)
    try:
        _write(entry, records, size, fit, report)
    except DataError:
        if on_corrupt is None:
            raise
        return _decode(source, records, size=size, fit=fit, report=report, on_corrupt=on_corrupt)
    except (FileError, OSError) as error:
        refuse = on_corrupt or _refuse
        images = _decode(source, records, size=size, fit=fit, report=report, on_corrupt=refuse)
        reason = error.__cause__ or error
        note = f"the decoded images can't be cached and stay in memory ({reason})"
        return replace(images, notes=(*images.notes, note))
    images = _open(entry, source, fit)
    assert images is not None, entry
    return images


def _entry(source: Source, size: int, fit: Fit) -> Path:
    key = json.dumps([_FORMAT, PIL.__version__, source.fingerprint, size, fit])
    digest = hashlib.sha256(key.encode()).hexdigest()
    return platformdirs.user_cache_path("clearsight") / "decoded" / digest[:32]


def _open(entry: Path, source: Source, fit: Fit) -> ImageSet | None:
    """The entry's images; None where it is absent or damaged."""
    try:
        meta = json.loads((entry / "meta.json").read_text(encoding="utf-8"))
        labels, ids, parts = (np.load(entry / f"{n}.npy") for n in ("labels", "ids", "parts"))
        pixels = np.load(entry / "images.npy", mmap_mode="r")
        if meta["sha256"] != _digest(labels, ids, parts) or len(pixels) != len(ids):
            return None
        # All of the pixels would take seconds to hash in a large set: look at some, ends included.
        for i in np.unique(np.linspace(0, len(ids) - 1, _CHECKED, dtype=np.int64)):
            if content_id(pixels[i]).encode() != ids[i][:64]:
                return None
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None
    for array in (labels, ids, parts):
        array.flags.writeable = False
    return ImageSet(
        images=pixels,
        labels=labels,
        classes=tuple(meta["classes"]),
        ids=ids,
        parts=parts,
        name=source.name,
        fit=fit,
        notes=(*source.notes, *meta["notes"]),
    )


def _write(entry: Path, records: Records, size: int, fit: Fit, report: Report | None) -> None:
    with replacing(entry) as folder:
        folder.mkdir()
        digests: list[str] = []
        findings = Findings()
        # Written in order and not through a memory map: a full disk is then an error, not a signal.
        with (folder / "images.npy").open("wb") as file:
            _write_header(file, (len(records.labels), size, size, 3))
            with closing(_chunks(records, size, fit, report, _refuse)) as chunks:
                for chunk in chunks:
                    file.write(chunk.pixels.data)
                    digests += chunk.ids
                    findings.update(chunk.findings)
        ids = _ids(digests, records.labels, records.parts)
        parts = records.parts.astype("U10")
        for name, array in (("labels", records.labels), ("ids", ids), ("parts", parts)):
            np.save(folder / f"{name}.npy", array)
        meta = {
            "classes": list(records.classes),
            "notes": findings.sentences(size, fit),
            "sha256": _digest(records.labels, ids, parts),
        }
        write_json(folder / "meta.json", meta)


def _decode(
    source: Source,
    records: Records,
    *,
    size: int,
    fit: Fit,
    report: Report | None,
    on_corrupt: OnCorrupt,
) -> ImageSet:
    """The records' images in memory, without the corrupt ones."""
    pixels: list[np.ndarray] = []
    positions: list[int] = []
    digests: list[str] = []
    findings = Findings()
    for chunk in _chunks(records, size, fit, report, on_corrupt):
        pixels.append(chunk.pixels)
        positions += chunk.positions
        digests += chunk.ids
        findings.update(chunk.findings)
    if not positions:
        raise DataError(f"{source.name}: none of its images can be decoded; replace the files")
    labels, parts = records.labels[positions], records.parts[positions].astype("U10")
    images, ids = np.concatenate(pixels), _ids(digests, labels, parts)
    for array in (images, labels, ids, parts):
        array.flags.writeable = False
    return ImageSet(
        images=images,
        labels=labels,
        classes=records.classes,
        ids=ids,
        parts=parts,
        name=source.name,
        fit=fit,
        notes=(*source.notes, *findings.sentences(size, fit)),
    )


def _chunks(
    records: Records, size: int, fit: Fit, report: Report | None, on_corrupt: OnCorrupt
) -> Generator[Chunk]:
    """The decoded chunks. Closed early, as after an error, it also ends the work in threads."""
    done = 0
    with closing(decode_records(records, size, fit)) as chunks:
        for chunk in chunks:
            for place, reason in chunk.corrupt:
                on_corrupt(place, reason)
            yield chunk
            done += len(chunk.ids) + len(chunk.corrupt)
            if report is not None:
                report("decoding", done, len(records.labels))


def _refuse(place: str, reason: str) -> None:
    raise DataError(f"{place}: {reason} (`clearsight audit` lists all such files)")


def _ids(digests: list[str], labels: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Ids, duplicates numbered by part and label, so that the order of files changes nothing."""
    order = np.lexsort((labels, parts))
    ids = np.empty(len(digests), "S72")
    ids[order] = number_duplicates([digests[i] for i in order])
    return ids


def _digest(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array.tobytes())
    return digest.hexdigest()


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
