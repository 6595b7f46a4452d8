"""Zip and tar archives: every layout that a folder may have, read in place, and hostile ones."""

import io
import struct
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clearsight.data import packed
from clearsight.data.sources import find_source, load_images
from clearsight.errors import DataError

SUFFIXES = [".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"]
_MODES = {".gz": "gz", ".tgz": "gz", ".bz2": "bz2", ".xz": "xz"}


def png(value: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((6, 5), value, np.uint8)).save(file, "PNG")
    return file.getvalue()


FLAT = {f"{name}/{i}.png": png(10 * k + i) for k, name in enumerate(("cat", "dog")) for i in (1, 2)}


def pack(path: Path, files: Mapping[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return path
    mode = f"w:{_MODES.get(path.suffix, '')}"
    with tarfile.open(path, mode) as archive:  # ty: ignore[no-matching-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def unpack(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "layout",
    [
        "{}",
        "pets/{}",
        "./{}",
        "download/pets/train/{}",
        "pets/training_set/training_set/{}",
        "été/{}",
    ],
)
def test_an_archive_is_read_as_the_folder_that_it_unpacks_to(
    tmp_path: Path, suffix: str, layout: str
) -> None:
    files = {layout.format(name): content for name, content in FLAT.items()}
    if "train" in layout:
        test = layout.replace("training_set", "test_set").replace("train", "test")
        files |= {test.format("cat/1.png"): png(90), test.format("dog/1.png"): png(91)}
    archive = find_source(str(pack(tmp_path / f"pets{suffix}", files)))
    before = sorted(tmp_path.iterdir())
    found = archive.read()
    assert sorted(tmp_path.iterdir()) == before  # nothing is unpacked
    expected = find_source(str(unpack(tmp_path / "pets", files))).read()
    assert archive.name == "pets"
    assert found.classes == expected.classes == ("cat", "dog")
    assert found.labels.tolist() == expected.labels.tolist()
    assert found.parts.tolist() == expected.parts.tolist()
    assert list(found.files) == list(expected.files)
    assert [image.read_bytes() for image in found.images if isinstance(image, packed.Packed)] == [
        image.read_bytes() for image in expected.images if isinstance(image, Path)
    ]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_pixels_ids_and_notes_are_the_folder_s(tmp_path: Path, suffix: str) -> None:
    files = {**FLAT, "__MACOSX/cat/._1.png": b"", "cat/.DS_Store": b"", "about.txt": b"by me",
             "cat/raw.heic": b"?"}  # fmt: skip
    loaded = load_images(str(pack(tmp_path / f"pets{suffix}", files)))
    expected = load_images(str(unpack(tmp_path / "pets", files)))
    assert np.array_equal(loaded.images, expected.images)
    assert np.array_equal(loaded.ids, expected.ids)
    assert loaded.notes == expected.notes
    assert any("about.txt" in note for note in loaded.notes)


def test_an_archive_that_changed_is_read_again(tmp_path: Path) -> None:
    path = pack(tmp_path / "pets.zip", FLAT)
    before = load_images(str(path)).ids.tolist()
    pack(path, {**FLAT, "dog/2.png": png(200)})
    assert load_images(str(path)).ids.tolist() != before


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_run_in_an_archive_is_no_class(tmp_path: Path, suffix: str) -> None:
    run = {f"run/{name}": b"" for name in ("recipe.toml", "environment.json")}
    files = {**FLAT, **run, "run/figures/1.png": png(1)}
    source = find_source(str(pack(tmp_path / f"pets{suffix}", files)))
    assert source.read().classes == ("cat", "dog")
    assert any("written by clearsight" in note for note in source.notes)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", ["../cat/3.png", "/cat/3.png", "cat/../../3.png", "C:/cat/3.png"])
def test_names_that_lead_out_are_refused(tmp_path: Path, suffix: str, name: str) -> None:
    path = pack(tmp_path / f"pets{suffix}", {**FLAT, name: png(3)})
    with pytest.raises(DataError, match=r"pets.*: holds a file called .*3\.png, which leads out"):
        find_source(str(path))


def test_backslashes_of_a_zip_are_folders(tmp_path: Path) -> None:
    files = {name.replace("/", "\\"): content for name, content in FLAT.items()}
    assert find_source(str(pack(tmp_path / "pets.zip", files))).read().classes == ("cat", "dog")
    path = pack(tmp_path / "out.zip", {**FLAT, "..\\..\\3.png": png(3)})
    with pytest.raises(DataError, match="leads out of the archive"):
        find_source(str(path))


def test_links_and_devices_of_a_tar_are_left_out(tmp_path: Path) -> None:
    path = pack(tmp_path / "pets.tar", FLAT)
    with tarfile.open(path, "a") as archive:
        for name, kind in [("cat/link.png", tarfile.SYMTYPE), ("cat/hard.png", tarfile.LNKTYPE),
                           ("cat/device.png", tarfile.CHRTYPE), ("dog/pipe.png", tarfile.FIFOTYPE),
                           ("fox", tarfile.SYMTYPE)]:  # fmt: skip
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc"
            archive.addfile(member)
    source = find_source(str(path))
    assert list(source.read().files) == list(FLAT)
    notes = " ".join(source.notes)
    assert "left out (links not followed): cat/hard.png, cat/link.png, fox" in notes
    assert "left out (pipes, sockets, devices): cat/device.png, dog/pipe.png" in notes


def test_links_of_a_zip_are_left_out(tmp_path: Path) -> None:
    path = pack(tmp_path / "pets.zip", FLAT)
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("cat/link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    source = find_source(str(path))
    assert list(source.read().files) == list(FLAT)
    assert any("links not followed" in note for note in source.notes)


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".tar.bz2", ".tar.xz"])
def test_a_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "_HARMLESS", 2**20)  # as it is, packing takes seconds
    zeros = bytes(2**20)
    path = pack(tmp_path / f"bomb{suffix}", {**FLAT, "cat/3.png": zeros})
    with pytest.raises(DataError, match=r"bomb.*: would unpack to 1 MiB or more, over 200 times"):
        find_source(str(path))


def test_a_sparse_tar_that_declares_terabytes_is_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "bomb.tar", FLAT)
    with tarfile.open(path, "a", format=tarfile.GNU_FORMAT) as archive:
        member = tarfile.TarInfo("cat/3.png")
        member.size = 2**42
        archive.addfile(member)
    with pytest.raises(DataError, match="would unpack to 4,194,304 MiB"):
        find_source(str(path))


def test_a_long_header_is_not_read_into_memory(tmp_path: Path) -> None:
    member = tarfile.TarInfo("pax")
    member.type, member.size = tarfile.XHDTYPE, 2**33
    path = tmp_path / "bomb.tar"
    path.write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(DataError, match=r"bomb\.tar: can't be read as a tar archive \(a header"):
        find_source(str(path))


def test_a_zip_whose_files_overlap_is_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "bomb.zip", {"cat/1.png": bytes(1000), "dog/1.png": bytes(1000)})
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02")
    content[at + 20 : at + 24] = struct.pack("<I", 10_000)  # the packed size of the first
    path.write_bytes(content)
    with pytest.raises(DataError, match="its files overlap"):
        find_source(str(path))


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "_MOST_MEMBERS", 3)
    for suffix in (".zip", ".tar.gz"):
        with pytest.raises(DataError, match="holds over 3 files; unpack it into a folder"):
            find_source(str(pack(tmp_path / f"pets{suffix}", FLAT)))


def test_what_does_not_fit_into_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "_MOST_KEPT", 10)
    assert find_source(str(pack(tmp_path / "pets.tar", FLAT)))  # read image by image
    with pytest.raises(DataError, match=r"pets\.tgz: holds over .* a compressed tar"):
        find_source(str(pack(tmp_path / "pets.tgz", FLAT)))


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "pets.zip", FLAT)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"cat/1\.png is encrypted; unpack .* with its password"):
        find_source(str(path))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"inner.zip": b"PK", "more.tar": b""}, r"holds no images but inner\.zip, more\.tar"),
        ({"cat/1.txt": b"miaow"}, r"holds no images but cat/1\.txt; of an archive"),
        ({"1.png": png(1)}, "found 1 images but no class folders"),
        ({"cat/1.png": png(1), "cat": b""}, "holds cat both as a file and as a folder"),
    ],
)
def test_what_is_no_data_set_is_one_sentence(
    tmp_path: Path, suffix: str, files: dict[str, bytes], message: str
) -> None:
    path = pack(tmp_path / f"pets{suffix}", files)
    with pytest.raises(DataError, match=rf"pets{suffix}.*{message}"):
        find_source(str(path))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("content", [b"", b"<html>log in</html>" * 100])
def test_what_is_no_archive_is_one_sentence(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"pets{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"pets{suffix}: can't be read as a (zip|tar) archive"):
        find_source(str(path))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_download_that_broke_off_is_one_sentence(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).bytes(50_000)
    path = pack(tmp_path / f"pets{suffix}", {**FLAT, "cat/3.png": noise})
    path.write_bytes(path.read_bytes()[:-30_000])
    with pytest.raises(DataError, match=rf"pets{suffix}: can't be read as a (zip|tar) archive"):
        find_source(str(path))


def test_a_damaged_member_is_named_and_may_be_left_out(tmp_path: Path) -> None:
    path = pack(tmp_path / "pets.zip", FLAT)
    content = bytearray(path.read_bytes())
    content[content.index(b"cat/2.png") + 20] ^= 255
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"pets\.zip/cat/2\.png: can't be read from the archive"):
        load_images(str(path))
    met: list[str] = []
    images = load_images(str(path), on_corrupt=lambda place, _: met.append(place))
    assert len(images.labels) == 3
    assert [Path(place).name for place in met] == ["2.png"]
