"""Names and paths to images: the search path, what is found on it, and what is said if not."""

import http.server
import os
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clearsight.config.schema import DataConfig
from clearsight.data import archives, sources
from clearsight.data.images import ImageSet
from clearsight.data.sources import find_source, load_images, search_path
from clearsight.data.splits import split
from clearsight.errors import DataError, DataNotFoundError
from tests.recorder import Recorder


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pets(folder: Path, side: int = 8) -> ImageSet:
    """Class folders of 2 × 3 images, as `load_images` gives them back."""
    for k, name in enumerate(("cat", "dog")):
        (folder / name).mkdir(parents=True)
        for i in range(3):
            Image.new("L", (side, side), 100 * k + 10 * i).save(folder / name / f"{i}.png")
    return load_images(str(folder), size=side)


def test_the_search_path_has_a_fixed_order(monkeypatch: pytest.MonkeyPatch, isolated: Path) -> None:
    monkeypatch.setenv("CLEARSIGHT_DATA", os.pathsep.join(["/a", "", "/b"]))
    expected = ["/given", "/a", "/b", "data", str(isolated / "clearsight" / "data")]
    assert [str(place) for place in search_path("/given")] == expected


def test_reads_a_folder_by_path(tmp_path: Path) -> None:
    images = pets(tmp_path / "pets")
    assert (images.name, images.classes, images.size) == ("pets", ("cat", "dog"), 8)
    assert images.images[:, 0, 0, 0].tolist() == [0, 10, 20, 100, 110, 120]
    assert images.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_relative_path_is_looked_for_on_the_search_path(tmp_path: Path) -> None:
    expected = pets(tmp_path / "place" / "pets")
    found = load_images("pets", size=8, data_dir=tmp_path / "place")
    assert np.array_equal(found.ids, expected.ids)


def test_images_get_32_px_if_no_size_is_said(tmp_path: Path) -> None:
    pets(tmp_path / "pets")
    assert load_images("pets", data_dir=tmp_path).images.shape == (6, 32, 32, 3)


def test_every_format_gives_the_same_ids_and_the_same_split(tmp_path: Path) -> None:
    folder = pets(tmp_path / "pets")
    order = [4, 1, 0, 5, 3, 2]
    np.savez(
        tmp_path / "other.npz",
        images=folder.images[order],
        labels=folder.labels[order],
        classes=folder.classes,
    )
    stored = load_images("other.npz", size=8)
    config = DataConfig(validation=0.34, test=0.34)
    one, two = split(folder, config), split(stored, config)
    for part in ("train", "validation", "test"):
        assert folder.ids[getattr(one, part)].tolist() == stored.ids[getattr(two, part)].tolist()


def test_cifar10_is_found_as_a_folder_of_its_name(tmp_path: Path) -> None:
    pets(tmp_path / "data" / "cifar10")
    images = load_images("cifar10", size=8)
    assert images.name == "cifar10"
    assert len(images) == 6


def test_a_wrong_archive_is_refused_and_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"broken download")
    with pytest.raises(DataError, match="MD5 checksum"):
        load_images("cifar10", data_dir=tmp_path)


def test_what_is_not_found_names_places_and_ways_out(tmp_path: Path, isolated: Path) -> None:
    with pytest.raises(DataNotFoundError) as error:
        load_images("cifar10", data_dir=tmp_path / "here", download=False)
    message = str(error.value)
    for word in ("'cifar10'", "cifar-10-python.tar.gz", str(tmp_path / "here"), "data,",
                 str(isolated / "clearsight" / "data"), "--data-dir", "--data digits"):  # fmt: skip
        assert word in message


def test_a_path_that_is_not_there_names_places_and_ways_out() -> None:
    with pytest.raises(DataNotFoundError, match=r"'flowers': there is no such path.*--data-dir"):
        load_images("flowers")


@pytest.mark.parametrize(("typed", "meant"), [("petz", "pets"), ("cifra10", "cifar10")])
def test_a_misspelt_name_gets_what_could_be_meant(
    typed: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pets").mkdir()
    with pytest.raises(DataNotFoundError, match=f"did you mean '{meant}'"):
        load_images(typed)
    if typed == "petz":
        with pytest.raises(DataNotFoundError, match=f"did you mean '{tmp_path / meant}'"):
            load_images(str(tmp_path / typed))


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set.rar").write_bytes(b"")
    with pytest.raises(DataError, match=r"set\.rar: found a file of no known kind, expected"):
        load_images(str(tmp_path / "set.rar"))


@pytest.mark.parametrize("classes", [(), ("cat",)])
def test_fewer_than_two_classes_are_refused(tmp_path: Path, classes: tuple[str, ...]) -> None:
    (tmp_path / "set").mkdir()
    for name in classes:
        (tmp_path / "set" / name).mkdir()
        Image.new("L", (8, 8)).save(tmp_path / "set" / name / "1.png")
    with pytest.raises(DataError, match=f"set: found {len(classes)} class.*at least two"):
        load_images(str(tmp_path / "set"))


def test_a_corrupt_file_is_refused_or_reported(tmp_path: Path) -> None:
    pets(tmp_path / "pets")
    for name in ("cat/0.png", "dog/2.png"):
        path = tmp_path / "pets" / name
        path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match=r"cat/0\.png: can't be decoded"):
        load_images("pets")
    corrupt: list[str] = []
    images = load_images("pets", on_corrupt=lambda file, _: corrupt.append(file))
    assert corrupt == ["pets/cat/0.png", "pets/dog/2.png"]
    assert len(images) == 4


def test_digits_have_no_parts_and_divide_80_10_10() -> None:
    images = load_images("digits")
    assert images.images.shape == (1797, 32, 32, 3)
    result = split(images, DataConfig())
    assert (len(result.train), len(result.validation), len(result.test)) == (1437, 180, 180)


@pytest.fixture
def official(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder served on the loopback as the official place."""
    folder = tmp_path / "served"
    folder.mkdir()
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    handler = partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setattr(sources, "OFFICIAL_URL", f"http://127.0.0.1:{server.server_port}/")
        yield folder
        server.shutdown()
        thread.join()


def test_cifar10_is_downloaded_once_into_the_cache(
    official: Path, isolated: Path, monkeypatch: pytest.MonkeyPatch, recorder: Recorder
) -> None:
    archive, layout = small_cifar10(official)
    monkeypatch.setitem(archives.LAYOUTS, "cifar10", layout)
    images = load_images("cifar10", progress=recorder)
    assert (len(images), images.classes) == (4, ("cat", "dog"))
    assert list(recorder.tasks) == ["downloading", "decoding"]
    kept = isolated / "clearsight" / "data" / archive.name
    assert kept.read_bytes() == archive.read_bytes()
    archive.unlink()
    assert np.array_equal(load_images("cifar10").ids, images.ids)


def small_cifar10(folder: Path) -> tuple[Path, archives.Layout]:
    import hashlib
    import io
    import pickle
    import tarfile
    from dataclasses import replace

    pixels = np.random.default_rng(0).integers(0, 256, (4, 3072), np.uint8)
    contents = {
        "data_batch_1": {"data": pixels[:2], "labels": [0, 1]},
        "test_batch": {"data": pixels[2:], "labels": [1, 0]},
        "batches.meta": {"label_names": ["cat", "dog"]},
    }
    path = folder / archives.CIFAR10.archive
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            body = pickle.dumps(content, protocol=2)
            member = tarfile.TarInfo(f"{archives.CIFAR10.folder}/{name}")
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    return path, replace(archives.CIFAR10, md5=md5, files=dict.fromkeys(contents, ""))


def test_a_failed_download_says_so_among_the_places(official: Path, isolated: Path) -> None:
    with pytest.raises(
        DataNotFoundError, match=r"found none, and couldn't download it: http.*not found.*--data "
    ):
        load_images("cifar10")
    (official / archives.CIFAR10.archive).write_bytes(b"something else")
    with pytest.raises(DataNotFoundError, match=f"expected {archives.CIFAR10.md5}"):
        load_images("cifar10")
    assert not list((isolated / "clearsight").rglob("*"))


REAL = Path(
    os.environ.get("CLEARSIGHT_TEST_DATA", Path(__file__).parents[2].parent / "shared" / "datasets")
)


@pytest.fixture
def cifar10() -> Path:
    if not (REAL / "cifar10").is_dir():
        pytest.skip(f"CIFAR-10 is not at {REAL / 'cifar10'}: set CLEARSIGHT_TEST_DATA")
    return REAL


@pytest.mark.slow
def test_real_cifar10_has_the_published_figures_and_opens_quickly(cifar10: Path) -> None:
    load_images("cifar10", data_dir=cifar10, download=False)
    start = time.perf_counter()
    images = load_images("cifar10", data_dir=cifar10, download=False)
    assert time.perf_counter() - start < 2
    assert images.images.shape == (60_000, 32, 32, 3)
    assert images.classes == (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    )  # fmt: skip
    train = images.images[images.parts == "train"]
    assert np.allclose(train.mean((0, 1, 2)) / 255, [0.49140, 0.48216, 0.44653], atol=5e-6)
    assert np.bincount(images.labels[images.parts == "test"]).tolist() == [1000] * 10

    def sizes(config: DataConfig) -> list[int]:
        result = split(images, config)
        return [len(result.train), len(result.validation), len(result.test)]

    assert sizes(DataConfig()) == [45_000, 5_000, 10_000]
    assert sizes(DataConfig(subset=10_000, validation=0.2)) == [8_000, 2_000, 10_000]
    assert sizes(DataConfig(validation=0)) == [50_000, 0, 10_000]
    validation = split(images, DataConfig()).validation
    assert np.bincount(images.labels[validation]).tolist() == [500] * 10


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("~nosuchuser/pets", "data ~nosuchuser/pets: there is no such user"),
        ("caf\udce9", r"data caf\\udce9: the path is not valid UTF-8"),
        ("a\0b", "there is no such path"),
        ("x" * 300, "there is no such path"),
        ("/".join("x" * 5000), "there is no such path"),
    ],
)
def test_what_cannot_be_a_path_is_one_sentence(source: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        find_source(source)
    with pytest.raises(DataError):
        find_source("pets", data_dir=source)


@pytest.mark.parametrize("name", ["set.npz", "set.parquet", "set.tar.gz", "set.zip", "set.tar"])
def test_a_pipe_for_a_data_file_is_refused_before_it_is_opened(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match=rf"{name}: is no regular file; give the data file itself"):
        load_images(str(tmp_path / name))


@pytest.mark.parametrize("name", ["set.csv", "set.tsv", "set.jsonl"])
def test_a_pipe_for_a_table_is_refused_before_it_is_opened(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match=rf"{name}: is a named pipe, expected a file"):
        load_images(str(tmp_path / name))


def test_a_device_or_a_link_to_itself_is_no_data_set(tmp_path: Path) -> None:
    (tmp_path / "zero.npz").symlink_to("/dev/zero")
    with pytest.raises(DataError, match=r"zero\.npz: is no regular file"):
        load_images(str(tmp_path / "zero.npz"))
    (tmp_path / "loop.npz").symlink_to("loop.npz")
    with pytest.raises(DataNotFoundError, match="there is no such path"):
        load_images(str(tmp_path / "loop.npz"))


def test_truncated_images_are_read_where_that_is_asked_for(tmp_path: Path, isolated: Path) -> None:
    for i in range(6):
        path = tmp_path / "photos" / ("cat", "dog")[i % 2] / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.radial_gradient("L").rotate(10 * i).save(path)
    whole = (tmp_path / "photos" / "cat" / "0.jpg").read_bytes()
    (tmp_path / "photos" / "cat" / "0.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cat/0\.jpg: can't be decoded.*with --truncated"):
        load_images(str(tmp_path / "photos"))
    images = load_images(str(tmp_path / "photos"), truncated=True)
    assert len(images) == 6
    assert "damaged, used as far as they can be decoded: 1 of 6 images" in images.notes
    with pytest.raises(DataError, match="with --truncated"):  # not from the cache of the other
        load_images(str(tmp_path / "photos"))
