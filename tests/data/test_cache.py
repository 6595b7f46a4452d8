"""Decoded once: what the cache gives back, when it decodes anew, and what it survives."""

import os
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clearsight.data.cache import cached
from clearsight.data.images import ImageSet, content_id
from clearsight.data.records import Records, Source
from clearsight.errors import DataError
from tests.recorder import Recorder


class Reads:
    """A source of grey images that counts how often it is read."""

    def __init__(self, n: int = 20, side: int = 8) -> None:
        self.count = 0
        self.pixels = [np.full((side, side), i % 17, np.uint8) for i in range(n)]
        self.source = Source(name="grey", fingerprint="1", read=self.read, notes=("found",))

    def read(self) -> Records:
        self.count += 1
        n = len(self.pixels)
        return Records(
            images=self.pixels,
            labels=np.arange(n, dtype=np.int64) % 2,
            classes=("even", "odd"),
            parts=np.where(np.arange(n) < n // 2, "train", "test"),
            locate=lambda i: f"image {i}",
        )


def equal(a: ImageSet, b: ImageSet) -> bool:
    arrays = all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for name in ("images", "labels", "ids", "parts")
    )
    return arrays and (a.classes, a.name, a.fit, a.notes) == (b.classes, b.name, b.fit, b.notes)


def entries(cache: Path) -> list[Path]:
    return list((cache / "clearsight" / "decoded").glob("*"))


def test_decodes_once_and_maps_the_same_images_afterwards(isolated: Path) -> None:
    reads = Reads()
    first = cached(reads.source, 8, "letterbox")
    second = cached(reads.source, 8, "letterbox")
    assert reads.count == 1
    assert equal(first, second)
    assert isinstance(second.images, np.memmap)
    assert second.images[3, 0, 0].tolist() == [3, 3, 3]
    assert second.labels.dtype == np.int64
    assert second.notes == ("found", "20 images of 8 × 8 px; modes: L 20")
    (entry,) = entries(isolated)
    assert {p.name for p in entry.iterdir()} == {
        "images.npy", "labels.npy", "ids.npy", "parts.npy", "files.npy", "meta.json",
    }  # fmt: skip


def test_the_arrays_are_read_only() -> None:
    images = cached(Reads().source, 8, "letterbox")
    for array in (images.images, images.labels, images.ids, images.parts):
        assert not array.flags.writeable


def test_other_content_size_or_fit_is_another_entry(isolated: Path) -> None:
    reads = Reads()
    cached(reads.source, 8, "letterbox")
    cached(reads.source, 16, "letterbox")
    cached(reads.source, 8, "crop")
    cached(replace(reads.source, fingerprint="2"), 8, "letterbox")
    assert reads.count == len(entries(isolated)) == 4


def overwrite(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: (entry / "images.npy").write_bytes(b""),
        lambda entry: (entry / "images.npy").write_bytes(
            (entry / "images.npy").read_bytes()[:-100]
        ),
        lambda entry: overwrite(entry / "images.npy"),
        lambda entry: overwrite(entry / "labels.npy"),
        lambda entry: overwrite(entry / "ids.npy"),
        lambda entry: (entry / "meta.json").write_text("{"),
        lambda entry: (entry / "meta.json").write_text("[]"),
        lambda entry: (entry / "parts.npy").unlink(),
    ],
)
def test_a_damaged_entry_is_decoded_anew(isolated: Path, damage: Callable[[Path], None]) -> None:
    reads = Reads()
    first = cached(reads.source, 8, "letterbox")
    whole = replace(first, images=first.images.copy())
    (entry,) = entries(isolated)
    damage(entry)
    assert equal(cached(reads.source, 8, "letterbox"), whole)
    assert reads.count == 2
    assert entries(isolated) == [entry]


def test_without_a_writable_cache_the_images_stay_in_memory(
    isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_cache = cached(Reads().source, 8, "letterbox")
    (isolated / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(isolated / "file"))
    in_memory = cached(Reads().source, 8, "letterbox")
    *notes, note = in_memory.notes
    assert equal(replace(in_memory, notes=tuple(notes)), in_cache)
    assert "can't be cached and stay in memory" in note
    assert not in_memory.images.flags.writeable


def test_a_full_disk_leaves_nothing_half_written(isolated: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        images = cached(Reads().source, 8, "letterbox")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(images) == 20
    assert "can't be cached" in images.notes[-1]
    assert entries(isolated) == []


def test_a_corrupt_image_is_refused_by_name(isolated: Path, tmp_path: Path) -> None:
    reads = Reads(3)
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    reads.pixels[1] = tmp_path / "bad.png"  # ty: ignore[invalid-assignment]
    with pytest.raises(DataError, match=r"image 1: can't be decoded .*`clearsight audit` lists"):
        cached(reads.source, 8, "letterbox")
    assert entries(isolated) == []


def test_a_refusal_stops_the_decoding() -> None:
    class Counting(list[np.ndarray | bytes]):
        taken = 0

        def __getitem__(self, span: Any) -> Any:
            chunk = super().__getitem__(span)
            self.taken += len(chunk)
            return chunk

    large = np.zeros((300, 300), np.uint8)
    images = Counting([b"corrupt", *[large] * 20_000])
    n = len(images)
    records = Records(
        images=images,
        labels=np.arange(n) % 2,
        classes=("a", "b"),
        parts=np.full(n, ""),
        locate=lambda i: f"image {i}",
    )
    with pytest.raises(DataError, match="image 0"):
        cached(Source(name="x", fingerprint="1", read=lambda: records), 8, "crop")
    assert images.taken < n / 2


def test_on_corrupt_collects_all_and_goes_on(isolated: Path, tmp_path: Path) -> None:
    reads = Reads(6)
    Image.new("L", (8, 8)).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "half.png").write_bytes(whole[:45])
    reads.pixels[1] = tmp_path / "half.png"  # ty: ignore[invalid-assignment]
    reads.pixels[4] = tmp_path / "gone.png"  # ty: ignore[invalid-assignment]
    corrupt: list[tuple[str, str]] = []
    images = cached(reads.source, 8, "letterbox", on_corrupt=lambda *found: corrupt.append(found))
    assert [place for place, _ in corrupt] == ["image 1", "image 4"]
    assert images.images[:, 0, 0, 0].tolist() == [0, 2, 3, 5]
    assert images.labels.tolist() == [0, 0, 1, 1]
    assert images.parts.tolist() == ["train", "train", "test", "test"]
    assert entries(isolated) == []


def test_on_corrupt_caches_a_set_that_is_whole(isolated: Path) -> None:
    reads = Reads()
    corrupt: list[str] = []
    cached(reads.source, 8, "letterbox", on_corrupt=lambda place, _: corrupt.append(place))
    cached(reads.source, 8, "letterbox")
    assert (reads.count, corrupt, len(entries(isolated))) == (1, [], 1)


def test_one_class_and_an_empty_class_are_refused() -> None:
    records = replace(Reads(4).read(), labels=np.zeros(4, np.int64))
    source = Source(name="pets", fingerprint="1", read=lambda: records)
    with pytest.raises(DataError, match="pets: no images in class 'odd'"):
        cached(source, 8, "letterbox")
    alone = Source(name="pets", fingerprint="1", read=lambda: replace(records, classes=("a",)))
    with pytest.raises(DataError, match="pets: found 1 class"):
        cached(alone, 8, "letterbox")


def test_ids_do_not_depend_on_the_order_of_the_files() -> None:
    reads = Reads(40)  # 17 grey values: duplicates across labels and parts

    def described(order: np.ndarray, fingerprint: str) -> set[tuple[bytes, int, str]]:
        records = reads.read()
        mixed = replace(
            records,
            images=[records.images[i] for i in order],
            labels=records.labels[order],
            parts=records.parts[order],
        )
        images = cached(
            Source(name="x", fingerprint=fingerprint, read=lambda: mixed), 8, "letterbox"
        )
        assert all(
            i[:64] == content_id(p).encode() for i, p in zip(images.ids, images.images, strict=True)
        )
        return set(zip(images.ids.tolist(), images.labels.tolist(), images.parts.tolist(),
                       strict=True))  # fmt: skip

    shuffled = np.random.default_rng(0).permutation(40)
    assert described(np.arange(40), "a") == described(shuffled, "b")


def test_reports_how_far_decoding_is(recorder: Recorder) -> None:
    cached(Reads(600).source, 8, "letterbox", progress=recorder)
    assert recorder.tasks == {"decoding": [600, 600]}


def kept(cache: Path) -> set[int]:
    """The sides of the images in the cache's entries."""
    return {np.load(entry / "images.npy", mmap_mode="r").shape[1] for entry in entries(cache)}


def test_the_longest_unused_entry_makes_room(isolated: Path) -> None:
    source = Reads(200).source
    for when, side in enumerate((64, 63, 62)):
        before = entries(isolated)
        cached(source, side, "stretch")
        (new,) = set(entries(isolated)) - set(before)
        for path in (*new.iterdir(), new):
            os.utime(path, (when, when))
    cached(source, 64, "stretch")  # used: now 63 is the longest unused
    gib = 200 * 64 * 64 * 3 / 2**30
    cached(source, 61, "stretch", disk=3.3 * gib)
    assert kept(isolated) == {64, 62, 61}
    cached(source, 60, "stretch", disk=0)  # the one in use stays
    assert kept(isolated) == {60}


def test_what_an_interrupted_program_left_goes_and_what_one_is_writing_stays(
    isolated: Path,
) -> None:
    folder = isolated / "clearsight" / "decoded"
    for name, age in ((".old.1.tmp", 7200), (".new.2.tmp", 60)):
        (folder / name).mkdir(parents=True)
        (folder / name / "images.npy").write_bytes(bytes(1000))
        for path in (folder / name / "images.npy", folder / name):
            then = time.time() - age
            os.utime(path, (then, then))
    cached(Reads().source, 8, "letterbox", disk=0)
    assert {p.name for p in folder.iterdir() if p.name[0] == "."} == {".new.2.tmp"}
