"""Folders of images without labels, told from data sets, and read as one."""

from pathlib import Path

import pytest

from clearsight.data.cache import cached
from clearsight.data.unlabelled import is_unlabelled, unlabelled_source
from clearsight.errors import DataError
from tests.conftest import fill


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["1.png"], True),
        (["1.png", "more/2.png"], True),
        (["2024/1.png"], True),
        (["photos/2024/1.png", "photos/2.png"], True),
        (["cat/1.png", "dog/2.png"], False),
        (["pets/cat/1.png", "pets/dog/2.png"], False),
        (["cat/1.png", "dog/2.png", "stray.png"], False),
        (["train/1.png"], False),
        (["train/cat/1.png", "train/dog/1.png"], False),
    ],
)
def test_a_folder_of_images_is_told_from_a_data_set(
    tmp_path: Path, names: list[str], expected: bool
) -> None:
    fill(tmp_path, *names)
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("not an image")
    assert is_unlabelled(tmp_path) == expected


def test_a_folder_without_images_or_of_a_run_is_none(tmp_path: Path) -> None:
    assert not is_unlabelled(tmp_path)
    fill(tmp_path, "1.png")
    for name in ("recipe.toml", "environment.json"):
        (tmp_path / name).touch()
    assert not is_unlabelled(tmp_path)


def test_they_are_read_by_name_with_folders_below_and_kept_in_the_cache(
    tmp_path: Path, isolated: Path
) -> None:
    fill(tmp_path / "photos", "b.png", "a.png", "more/c.png")
    (tmp_path / "photos" / "notes.txt").write_text("not an image")
    for _ in range(2):
        images = cached(unlabelled_source(tmp_path / "photos"), 8, "stretch")
        assert images.files.tolist() == ["a.png", "b.png", "more/c.png"]
        assert (images.images[:, 0, 0, 0].tolist(), images.size) == ([1, 0, 2], 8)
        assert (images.labels.tolist(), images.classes) == ([-1] * 3, ())
        assert any("notes.txt" in note for note in images.notes)
    assert len(list(isolated.rglob("images.npy"))) == 1


def test_a_damaged_image_is_refused_or_left_out(tmp_path: Path) -> None:
    fill(tmp_path, "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"b\.png: is no PNG"):
        cached(unlabelled_source(tmp_path), 8, "stretch")
    left_out = {}
    images = cached(unlabelled_source(tmp_path), 8, "stretch", on_corrupt=left_out.__setitem__)
    assert images.files.tolist() == ["a.png"]
    assert [Path(place).name for place in left_out] == ["b.png"]
