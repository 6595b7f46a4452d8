"""Class folders as they are in life."""

import inspect
import os
import socket
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from clearsight.data.folders import folder_source
from clearsight.data.sources import open_path
from clearsight.errors import DataError
from tests.conftest import fill


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
        "docs/: 1 image NOT USED because the folder's name is not that of a part; move them into "
        "train/, validation/ or test/ to use them",
        "left out (not images in class folders): README.md, train/a/notes.txt, train/loose.png",
        "left out (hidden or system files): .hidden, __MACOSX, train/a/.thumb.png and 1 more",
    )


@pytest.mark.parametrize(
    "name",
    ["@eaDir", "#recycle", "__pycache__", "lost+found", "$RECYCLE.BIN",
     "System Volume Information", ".ipynb_checkpoints", "@Recycle"],
)  # fmt: skip
def test_what_systems_add_is_no_class(tmp_path: Path, name: str) -> None:
    fill(tmp_path, "cat/1.png", "dog/1.png", f"{name}/1.png", f"cat/{name}/2.png")
    source = folder_source(tmp_path)
    assert source.read().classes == ("cat", "dog")
    assert len(source.read().labels) == 2
    (note,) = source.notes
    assert note.startswith("left out (hidden or system files): ")
    assert name in note


def write_run(folder: Path) -> None:
    fill(folder, "figures/confusion.png", "bundle/figures/1.png")
    for name in ("recipe.toml", "environment.json", "predictions.parquet"):
        (folder / name).touch()


def test_runs_bundles_and_caches_among_the_classes_are_no_classes(tmp_path: Path) -> None:
    fill(tmp_path, "cat/1.png", "dog/1.png", "explanations/1_gradcam.png", "my bundle/1.png",
         "mlflow-artifacts/1/figures/roc.png", "runs/comparison.png")  # fmt: skip
    write_run(tmp_path / "runs" / "2026-01-01-tiny-s0")
    write_run(tmp_path / "sweep" / "both" / "seed-1")
    write_run(tmp_path / "first")
    write_run(tmp_path / "dog" / "misplaced")
    for name in ("my bundle/bundle.json", "my bundle/model.safetensors", "mlflow.db"):
        (tmp_path / name).touch()
    entry = tmp_path / "clearsight" / "decoded" / "0123"
    entry.mkdir(parents=True)
    for name in ("images.npy", "meta.json"):
        (entry / name).touch()
    source = folder_source(tmp_path)
    assert source.read().classes == ("cat", "dog")
    assert len(source.read().labels) == 2
    assert source.notes[-1] == (
        "left out (written by clearsight): clearsight/, dog/misplaced, explanations/ and 5 more"
    )


def test_runs_beside_the_parts_are_no_images_to_use(tmp_path: Path) -> None:
    fill(tmp_path, "train/cat/1.png", "train/dog/1.png")
    write_run(tmp_path / "runs" / "a")
    write_run(tmp_path / "train" / "runs" / "a")
    assert folder_source(tmp_path).notes == (
        "left out (written by clearsight): runs/, train/runs/",
    )


def test_a_wrapper_is_looked_through_beside_runs(tmp_path: Path) -> None:
    fill(tmp_path, "PetImages/cat/1.png", "PetImages/dog/1.png", "explanations/1_gradcam.png",
         "runs/comparison.png")  # fmt: skip
    write_run(tmp_path / "runs" / "a")
    write_run(tmp_path / "PetImages" / "sweep" / "a")
    source = folder_source(tmp_path)
    assert source.read().classes == ("cat", "dog")
    assert "PetImages/sweep/" in source.notes[-1]


def test_the_only_class_of_a_part_may_be_spelt_in_another_normal_form(tmp_path: Path) -> None:
    fill(tmp_path, "train/caf\u00e9/1.png", "train/dog/1.png", "test/cafe\u0301/1.png")
    assert folder_source(tmp_path).read().parts.tolist() == ["train", "train", "test"]


def test_a_class_may_be_called_runs(tmp_path: Path) -> None:
    fill(tmp_path, "runs/1.png", "wickets/1.png")
    assert folder_source(tmp_path).read().classes == ("runs", "wickets")


def test_a_run_is_no_data_set(tmp_path: Path) -> None:
    write_run(tmp_path)
    with pytest.raises(DataError, match="was written by clearsight and is not a data set"):
        folder_source(tmp_path)


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("training_set/training_set", "dev", "test_set/test_set"),
        ("Training", "Validation", "Testing"),
        ("seg_train/seg_train", "eval", "seg_test/seg_test"),
        ("train_images", "valid-images", "test images"),
        ("archive/data/train", "archive/data/val", "archive/data/test1"),
        ("train/img", "evaluation/img", "test/img"),
        ("train2017", "val2017", "test2017"),
    ],
)
def test_usual_names_of_parts_and_wrappers(
    tmp_path: Path, train: str, validation: str, test: str
) -> None:
    fill(tmp_path, *(f"{p}/{c}/1.png" for p in (train, validation, test) for c in ("cat", "dog")))
    records = folder_source(tmp_path).read()
    assert records.classes == ("cat", "dog")
    parts = {records.locate(i).removeprefix(f"{tmp_path}/"): records.parts[i] for i in range(6)}
    assert parts == {
        f"{place}/{name}/1.png": part
        for place, part in ((train, "train"), (validation, "validation"), (test, "test"))
        for name in ("cat", "dog")
    }


def test_parts_of_other_names_are_told_in_a_note(tmp_path: Path) -> None:
    fill(tmp_path, "pets/training_set/a/1.png", "pets/training_set/b/1.png", "pets/dev/a/1.png")
    assert folder_source(tmp_path).notes == (
        "read from pets/, the only folder there",
        "parts: train from pets/training_set/, validation from pets/dev/",
    )


def test_a_lone_wrapper_of_classes_is_looked_through(tmp_path: Path) -> None:
    fill(tmp_path, "archive/PetImages/cat/1.png", "archive/PetImages/dog/1.png")
    (tmp_path / "archive" / "x.md").touch()
    source = folder_source(tmp_path)
    assert source.read().classes == ("cat", "dog")
    assert source.notes[-1] == "left out (not images in class folders): archive/x.md"


def test_the_only_class_of_a_part_is_no_wrapper(tmp_path: Path) -> None:
    fill(tmp_path, "train/cat/in/1.png", "train/cat/out/1.png", "train/dog/1.png",
         "test/cat/in/1.png", "test/cat/out/1.png")  # fmt: skip
    records = folder_source(tmp_path).read()
    assert records.classes == ("cat", "dog")
    assert records.parts.tolist() == ["train"] * 3 + ["test"] * 2


@pytest.mark.parametrize("place", ["test", "test/test", "test1/unknown", "Testing/images"])
def test_unlabelled_test_images_are_said(tmp_path: Path, place: str) -> None:
    fill(tmp_path, "train/cat/1.png", "train/dog/1.png", f"{place}/1.png", f"{place}/2.png")
    source = folder_source(tmp_path)
    assert source.read().parts.tolist() == ["train"] * 2
    (note,) = source.notes
    assert "/: 2 images NOT USED because they are not in class folders" in note
    assert place.startswith(note[: note.index("/:")])


@pytest.mark.parametrize("names", [("train", "test"), ("training_set",), ("train", "dev", "test")])
def test_parts_without_class_folders_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    fill(tmp_path, *(f"{name}/cat.1.png" for name in names))
    with pytest.raises(DataError, match=r"with images but without class folders.*no labels"):
        folder_source(tmp_path)


def test_a_folder_of_images_without_classes_says_what_is_expected(tmp_path: Path) -> None:
    fill(tmp_path, "1.png", "2.png")
    with pytest.raises(DataError, match=r"2 images but no class folders; give each class a folder"):
        folder_source(tmp_path)


def test_parts_inside_of_classes_are_not_mixed(tmp_path: Path) -> None:
    fill(tmp_path, *(f"{c}/{p}/1.png" for c in ("cat", "dog") for p in ("train", "test")))
    with pytest.raises(DataError, match=r"cat: .* the parts test and train; put the parts above"):
        folder_source(tmp_path)


def test_a_copy_of_the_data_set_inside_of_itself_is_no_class(tmp_path: Path) -> None:
    names = ("apple", "pear", "plum")
    fill(tmp_path, *(f"{c}/1.png" for c in names), *(f"fruits/{c}/1.png" for c in names))
    with pytest.raises(DataError, match=r"fruits: .* holds apple/, pear/, plum/, which also lie"):
        folder_source(tmp_path)


def test_a_folder_without_classes_says_what_was_left_out(tmp_path: Path) -> None:
    write_run(tmp_path / "first")
    with pytest.raises(DataError, match=r"found 0 classes \(.*by clearsight\): first\), a"):
        folder_source(tmp_path)


@pytest.mark.parametrize("other", [".ipynb_checkpoints", "__pycache__", "@eaDir", ".git"])
def test_a_class_called_train_with_hidden_folders_stays_a_class(tmp_path: Path, other: str) -> None:
    fill(tmp_path, "train/1.png", "car/1.png", f"train/{other}/1-checkpoint.png")
    assert folder_source(tmp_path).read().classes == ("car", "train")


def test_links_and_special_files_are_left_alone(tmp_path: Path) -> None:
    fill(tmp_path / "data", "cat/1.png", "dog/1.png")
    fill(tmp_path / "elsewhere", "1.png")
    data = tmp_path / "data"
    (data / "all").symlink_to(data)
    (data / "up").symlink_to("..")
    (data / "cats").symlink_to("cat")
    (data / "loop").symlink_to("loop")
    (data / "gone").symlink_to("nowhere")
    (data / "cat" / "more").symlink_to(tmp_path / "elsewhere")
    (data / "cat" / "back").symlink_to("..")
    (data / "cat" / "loop.png").symlink_to("loop.png")
    (data / "cat" / "gone.png").symlink_to("nowhere.png")
    (data / "cat" / "2.png").symlink_to(tmp_path / "elsewhere" / "1.png")
    os.mkfifo(data / "dog" / "pipe.png")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(data / "dog" / "socket.png"))
        (data / "dog" / "null.png").symlink_to("/dev/null")
        source = folder_source(data)
    assert source.read().classes == ("cat", "dog")
    assert source.read().labels.tolist() == [0, 0, 1]
    assert source.notes == (
        "1 of 3 images are links to files",
        "left out (links not followed): all, cat/back, cat/gone.png and 7 more",
        "left out (pipes, sockets, devices): dog/pipe.png, dog/socket.png",
    )


def test_unsupported_formats_are_named(tmp_path: Path) -> None:
    fill(tmp_path, "cat/1.png", "dog/1.png")
    (tmp_path / "cat" / "2.HEIC").touch()
    assert folder_source(tmp_path).notes == ("left out (unsupported image formats): cat/2.HEIC",)
    (tmp_path / "dog" / "1.png").rename(tmp_path / "dog" / "1.heic")
    with pytest.raises(DataError, match=r"dog: no images .*1 in unsupported formats"):
        folder_source(tmp_path)


def test_folders_deeper_than_the_recursion_limit_are_walked(tmp_path: Path) -> None:
    fill(tmp_path, f"cat/{'/'.join('d' * 300)}/1.png", "dog/1.png")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        source = folder_source(tmp_path)
    finally:
        sys.setrecursionlimit(limit)
    assert len(source.read().labels) == 2


@pytest.mark.slow  # timed, so without the cost of measuring coverage
def test_sixty_thousand_files_are_listed_in_seconds(tmp_path: Path) -> None:
    for k in range(10):
        folder = tmp_path / str(k)
        folder.mkdir()
        (folder / "0.png").touch()
        for i in range(1, 6000):
            os.link(folder / "0.png", folder / f"{i}.png")
    started = time.process_time()
    assert len(open_path(tmp_path).read().labels) == 60_000
    assert time.process_time() - started < 2


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
    with pytest.raises(DataError, match=r"found val/, test/ but no train/"):
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
    source = folder_source(tmp_path / "data")
    assert source.read().labels.tolist() == [0, 1]
    assert source.notes == ("followed links to folders elsewhere: b",)


def test_the_working_folder_is_a_folder_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "pets", "cat/1.png", "dog/1.png")
    monkeypatch.chdir(tmp_path / "pets")
    source = folder_source(Path())
    assert source.name == "pets"
    assert source.read().images == [Path("cat/1.png"), Path("dog/1.png")]
