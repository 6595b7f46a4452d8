"""Class folders as they are in life."""

from pathlib import Path

import pytest
from PIL import Image

from clearsight.data.folders import folder_source
from clearsight.errors import DataError


def fill(folder: Path, *names: str) -> None:
    for value, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), value).save(path)


def test_flat_folders_give_classes_without_parts(tmp_path: Path) -> None:
    fill(tmp_path, "dog/1.png", "cat/2.jpg", "cat/1.png")
    records = folder_source(tmp_path).read()
    assert records.classes == ("cat", "dog")
    assert records.labels.tolist() == [0, 0, 1]
    assert records.parts.tolist() == ["", "", ""]
    assert [records.locate(i) for i in range(3)] == [
        str(tmp_path / name) for name in ("cat/1.png", "cat/2.jpg", "dog/1.png")
    ]


@pytest.mark.parametrize("validation", ["val", "valid", "validation", "Validation"])
def test_part_folders_give_parts(tmp_path: Path, validation: str) -> None:
    fill(
        tmp_path,
        *(f"{part}/{name}/1.png" for part in ("train", validation, "test") for name in "ab"),
    )
    records = folder_source(tmp_path).read()
    assert records.classes == ("a", "b")
    assert records.parts.tolist() == ["train"] * 2 + ["validation"] * 2 + ["test"] * 2
    assert records.labels.tolist() == [0, 1] * 3


def test_classes_are_sorted_as_text(tmp_path: Path) -> None:
    fill(tmp_path, "2/1.png", "10/1.png", "1/1.png")
    assert folder_source(tmp_path).read().classes == ("1", "10", "2")


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    fill(tmp_path, "train/1.png", "car/1.png", "test/1.png")
    assert folder_source(tmp_path).read().classes == ("car", "test", "train")


def test_images_may_lie_deeper_in_their_class(tmp_path: Path) -> None:
    fill(tmp_path, "train/a/images/1.png", "train/b/images/1.png", "test/a/1.png", "test/b/1.png")
    assert folder_source(tmp_path).read().labels.tolist() == [0, 1, 0, 1]


def test_stray_and_hidden_files_are_noted_and_left_out(tmp_path: Path) -> None:
    fill(tmp_path, "train/a/1.png", "train/b/1.png", "train/loose.png", ".hidden/x/1.png",
         "train/a/.thumb.png", "__MACOSX/1.png", "docs/1.png")  # fmt: skip
    for name in ("README.md", "train/a/notes.txt", "train/b/Thumbs.db"):
        (tmp_path / name).write_text("text")
    source = folder_source(tmp_path)
    assert source.read().classes == ("a", "b")
    assert len(source.read().labels) == 2
    assert source.notes == (
        "left out, no images in class folders: README.md, docs/, train/a/notes.txt and 2 more",
        "left out, hidden: .hidden, __MACOSX, train/a/.thumb.png",
    )


def test_differing_class_sets_are_refused_by_name(tmp_path: Path) -> None:
    fill(tmp_path, "train/cat/1.png", "train/dog/1.png", "test/cat/1.png", "test/fox/1.png")
    with pytest.raises(DataError, match="test/ lacks dog and train/ lacks fox"):
        folder_source(tmp_path)


def test_an_empty_class_folder_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, "cat/1.png", "dog/1.png")
    (tmp_path / "fox").mkdir()
    with pytest.raises(DataError, match=r"fox: no images in this class folder; add images"):
        folder_source(tmp_path)


def test_parts_without_train_are_refused(tmp_path: Path) -> None:
    fill(tmp_path, "val/cat/1.png", "test/cat/1.png")
    with pytest.raises(DataError, match=r"found test/, val/ but no train/"):
        folder_source(tmp_path)


def test_two_validation_folders_are_refused(tmp_path: Path) -> None:
    fill(tmp_path, "train/a/1.png", "val/a/1.png", "valid/a/1.png")
    with pytest.raises(DataError, match=r"both val/ and valid/ for validation; keep one"):
        folder_source(tmp_path)


def test_the_fingerprint_follows_the_files(tmp_path: Path) -> None:
    fill(tmp_path, "a/1.png", "b/1.png")
    before = folder_source(tmp_path).fingerprint
    (tmp_path / "README.md").write_text("stray")
    assert folder_source(tmp_path).fingerprint == before
    Image.new("L", (9, 9)).save(tmp_path / "a" / "1.png")
    assert folder_source(tmp_path).fingerprint != before


def test_a_linked_class_folder_is_followed(tmp_path: Path) -> None:
    fill(tmp_path / "data", "a/1.png")
    fill(tmp_path / "elsewhere", "b/1.png")
    (tmp_path / "data" / "b").symlink_to(tmp_path / "elsewhere" / "b")
    assert folder_source(tmp_path / "data").read().labels.tolist() == [0, 1]


def test_the_working_folder_is_a_folder_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "pets", "cat/1.png", "dog/1.png")
    monkeypatch.chdir(tmp_path / "pets")
    source = folder_source(Path())
    assert source.name == "pets"
    assert source.read().images == [Path("cat/1.png"), Path("dog/1.png")]
