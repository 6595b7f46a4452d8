"""Images keep their ids, and so their part, whatever size they are fitted to and how."""

import copy
import hashlib
import json
import os
import shutil
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clearsight.config.schema import DataConfig
from clearsight.data.images import ImageSet, content_id, fitted_ids
from clearsight.data.sources import load_images
from clearsight.data.splits import from_manifest, has_hash, manifest, split
from clearsight.errors import DataError

FITS = ("letterbox", "crop", "stretch")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """24 photos of mixed sizes, one of them turned by EXIF, one a copy, one 32 px already."""
    rng = np.random.default_rng(0)
    for i in range(24):
        height, width = (32, 32) if i == 3 else rng.integers(20, 200, 2)
        image = Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))
        exif = Image.Exif()
        if i == 4:
            exif[0x0112] = 6
        path = tmp_path / "photos" / ("cat", "dog")[i % 2] / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, exif=exif)
    shutil.copy(tmp_path / "photos" / "cat" / "00.png", tmp_path / "photos" / "cat" / "copy.png")
    return tmp_path / "photos"


def parts_by_file(images: ImageSet, config: DataConfig) -> dict[str, str]:
    parts = split(images, config)
    return {
        images.files[i]: name
        for name in ("train", "validation", "test")
        for i in getattr(parts, name)
    }


def test_the_same_parts_at_five_sizes_and_three_ways_of_fitting(photos: Path) -> None:
    config = DataConfig(validation=0.25, test=0.25)
    found = []
    hashes = set()
    for size, fit in product((16, 32, 64, 96, 160), FITS):
        images = load_images(str(photos), size=size, fit=fit)
        assert images.size == size
        found.append((images.ids.tolist(), parts_by_file(images, config)))
        kept = manifest(images, split(images, config), config)
        assert (kept["size"], kept["fit"]) == (size, fit)
        hashes.add(kept["hash"])
    assert all(each == found[0] for each in found)
    assert set(found[0][1].values()) == {"train", "validation", "test"}
    assert len(hashes) == 1


def test_an_id_hashes_the_upright_original_and_its_shape(photos: Path) -> None:
    images = load_images(str(photos), size=64)
    by_file = dict(zip(images.files.tolist(), images.ids.tolist(), strict=True))
    plain = np.asarray(Image.open(photos / "cat" / "02.png"))
    digest = hashlib.sha256(f"{plain.shape}".encode() + plain.tobytes()).hexdigest()
    assert by_file["cat/02.png"] == digest.encode()
    turned = np.rot90(np.asarray(Image.open(photos / "cat" / "04.png")), -1)
    assert by_file["cat/04.png"] == content_id(turned).encode()
    assert by_file["cat/copy.png"] == by_file["cat/00.png"] + b"-2"


def test_images_that_have_the_size_keep_the_ids_they_had(photos: Path) -> None:
    images = load_images(str(photos), size=32)
    position = images.files.tolist().index("dog/03.png")
    assert images.ids[position] == content_id(images.images[position]).encode()
    assert fitted_ids(images)[position] == images.ids[position]
    others = np.arange(len(images)) != position
    assert not np.isin(images.ids[others], fitted_ids(images)[others]).any()


def test_a_large_image_is_hashed_in_pieces_like_a_small_one() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1100, 2000, 3), np.uint8)
    assert content_id(Image.fromarray(pixels)) == content_id(pixels)


def old_manifest(images: ImageSet, config: DataConfig) -> dict[str, Any]:
    """A manifest of format 1, by the rule of its time: ids of fitted pixels, a hash over all."""
    content = copy.deepcopy(manifest(images, split(images, config), config))
    content["format"] = 1
    del content["hash"]
    seen: dict[str, int] = {}
    ids = {}
    for i in np.lexsort((images.labels, images.parts)).tolist():
        pixels = images.images[i]
        digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
        seen[digest] = count = seen.get(digest, 0) + 1
        ids[i] = digest if count == 1 else f"{digest}-{count}"
    positions = {i.decode(): position for position, i in enumerate(images.ids.tolist())}
    for part in content["parts"].values():
        part["ids"] = [ids[positions[i]] for i in part["ids"]]
    text = json.dumps(content, sort_keys=True, ensure_ascii=True)
    return {**content, "hash": hashlib.sha256(text.encode()).hexdigest()}


def test_an_old_manifest_is_read_at_the_size_it_was_made_with(photos: Path) -> None:
    config = DataConfig(validation=0.25, test=0.25)
    images = load_images(str(photos), size=48, fit="crop")
    parts = split(images, config)
    old = old_manifest(images, config)
    found = from_manifest(images, old)
    for name in ("train", "validation", "test"):
        assert getattr(found, name).tolist() == getattr(parts, name).tolist()
    with pytest.raises(DataError, match=r"are missing.*with data\.size 48 and data\.fit crop"):
        from_manifest(load_images(str(photos), size=64), old)
    with pytest.raises(DataError, match="doesn't fit its hash"):
        from_manifest(images, old | {"size": 64})


def test_a_hash_is_known_in_either_format(photos: Path) -> None:
    config = DataConfig()
    images = load_images(str(photos), size=48)
    parts = split(images, config)
    assert has_hash(images, parts, config, manifest(images, parts, config)["hash"])
    assert has_hash(images, parts, config, old_manifest(images, config)["hash"])
    assert not has_hash(images, parts, config, "0" * 64)


def test_a_manifest_is_read_at_another_size(photos: Path) -> None:
    config = DataConfig()
    small, large = (load_images(str(photos), size=size) for size in (16, 80))
    kept = manifest(small, split(small, config), config)
    assert from_manifest(large, kept).test.tolist() == split(small, config).test.tolist()


def test_names_each_image_by_its_path_in_the_folder(photos: Path) -> None:
    images = load_images(str(photos))
    assert images.files[:2].tolist() == ["cat/00.png", "cat/02.png"]
    assert load_images(str(photos)).files.tolist() == images.files.tolist()  # from the cache
    left_out: list[str] = []
    (photos / "cat" / "01-bad.png").write_bytes(b"bad")
    whole = load_images(str(photos), on_corrupt=lambda place, _: left_out.append(place))
    assert left_out == [str(photos / "cat" / "01-bad.png")]
    assert whole.files.tolist() == images.files.tolist()


def test_a_name_that_is_no_utf_8_is_escaped(photos: Path) -> None:
    os.rename(photos / "cat" / "00.png", os.fsencode(photos / "cat") + b"/caf\xe9.png")  # noqa: PTH104
    files = load_images(str(photos)).files.tolist()
    assert "cat/caf\\udce9.png" in files
    assert all(name.encode() for name in files)


def rewritten(path: Path, pixels: int, *, like: os.stat_result) -> None:
    """Another picture in the place of one, of the same length and times, as `cp -p` leaves it."""
    content = path.read_bytes()
    Image.new("L", (8, 8), pixels).save(path)
    assert len(path.read_bytes()) == len(content)
    os.utime(path, ns=(like.st_atime_ns, like.st_mtime_ns))


@pytest.fixture
def grey(tmp_path: Path) -> Path:
    for place in ("grey", "other"):
        for i, name in enumerate(("a", "b", "c", "d")):
            path = tmp_path / place / ("cat", "dog")[i % 2] / f"{name}.bmp"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8), 10 * i + (place == "other")).save(path)
            os.utime(path, ns=(10**18, 10**18))
    return tmp_path / "grey"


def values(folder: Path) -> list[int]:
    return load_images(str(folder), size=8).images[:, 0, 0, 0].tolist()


def test_a_file_replaced_in_place_with_its_times_is_decoded_anew(grey: Path) -> None:
    assert values(grey) == [0, 20, 10, 30]
    path = grey / "cat" / "a.bmp"
    rewritten(path, 99, like=path.stat())
    assert values(grey) == [99, 20, 10, 30]


def test_a_file_moved_over_another_with_its_times_is_decoded_anew(grey: Path) -> None:
    assert values(grey) == [0, 20, 10, 30]
    new = grey.parent / "new.bmp"
    Image.new("L", (8, 8), 77).save(new)
    os.utime(new, ns=(10**18, 10**18))
    new.rename(grey / "cat" / "a.bmp")
    assert values(grey) == [77, 20, 10, 30]


def test_files_that_changed_places_are_decoded_anew(grey: Path) -> None:
    assert values(grey) == [0, 20, 10, 30]
    cat, dog = grey / "cat" / "a.bmp", grey / "dog" / "b.bmp"
    cat.rename(grey / "kept")
    dog.rename(cat)
    (grey / "kept").rename(dog)
    assert values(grey) == [10, 20, 0, 30]


def test_another_folder_with_the_same_names_sizes_and_times_is_another(grey: Path) -> None:
    assert values(grey) == [0, 20, 10, 30]
    grey.rename(grey.parent / "away")
    (grey.parent / "other").rename(grey)
    assert values(grey) == [1, 21, 11, 31]


def test_an_untouched_folder_is_decoded_once(grey: Path, isolated: Path) -> None:
    values(grey)
    values(grey / "cat" / "..")
    assert len(list((isolated / "clearsight" / "decoded").iterdir())) == 1
