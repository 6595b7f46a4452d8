import io
import os
from pathlib import Path

import pytest

from clearsight.cli.inputs import image_names
from clearsight.errors import DataError, UsageError


def test_files_folders_and_stdin_in_the_order_given(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "notes.txt", ".hidden.png", "sub/c.webp", ".git/d.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    stdin = io.StringIO("x.png\n\ny z.png\r\n")
    names = list(image_names(["first.png", str(tmp_path), "-"], stdin, io.StringIO()))
    inside = [str(tmp_path / name) for name in ("a.JPG", "b.png", "sub/c.webp")]
    assert names == ["first.png", *inside, "x.png", "y z.png"]


def test_a_folder_without_images_is_named_in_its_place_and_the_rest_goes_on(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    stderr = io.StringIO()
    names = list(image_names(["a.png", str(tmp_path), "b.png"], io.StringIO(), stderr))
    assert names == ["a.png", str(tmp_path), "b.png"]
    assert stderr.getvalue() == f"{tmp_path}: passed over 1 other file (.txt)\n"


def test_stdin_without_names_is_refused() -> None:
    with pytest.raises(DataError, match="no names on stdin"):
        list(image_names(["-"], io.StringIO("\n"), io.StringIO()))


def test_a_misspelt_option_is_not_taken_for_a_file() -> None:
    with pytest.raises(UsageError, match=r"--jsn.*\./--jsn"):
        list(image_names(["a.png", "--jsn"], io.StringIO(), io.StringIO()))


def test_what_a_folder_holds_besides_images_is_counted(tmp_path: Path) -> None:
    for name in ("a.png", "b.HEIC", "c.heic", "d.psd", "notes.txt", "labels.csv", ".DS_Store",
                 "Thumbs.db", "@eaDir/x.png", "runs/1/recipe.toml", "runs/1/environment.json",
                 "runs/1/figures/x.png"):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "linked").symlink_to(tmp_path)
    (tmp_path / "loop.png").symlink_to("loop.png")
    os.mkfifo(tmp_path / "pipe.png")
    stderr = io.StringIO()
    names = list(image_names([str(tmp_path)], io.StringIO(), stderr))
    assert names == [str(tmp_path / "a.png")]
    assert stderr.getvalue() == (
        f"{tmp_path}: passed over 3 images of unsupported format (.heic, .psd), 2 links to folders "
        "or nothing, 1 folder that clearsight wrote, 1 pipe, socket or device, "
        "2 other files (.csv, .txt)\n"
    )


def test_a_folder_of_images_alone_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    stderr = io.StringIO()
    assert len(list(image_names([str(tmp_path)], io.StringIO(), stderr))) == 1
    assert stderr.getvalue() == ""


def test_a_folder_of_unsupported_images_says_which(tmp_path: Path) -> None:
    (tmp_path / "a.heic").touch()
    stderr = io.StringIO()
    assert list(image_names([str(tmp_path)], io.StringIO(), stderr)) == [str(tmp_path)]
    assert "1 image of unsupported format (.heic)" in stderr.getvalue()


def test_names_on_stdin_in_any_bytes_and_after_a_byte_order_mark() -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbfa.png\r\ncaf\xe9.png\n"), encoding="utf-8")
    assert list(image_names(["-"], stdin, io.StringIO())) == ["a.png", "caf\udce9.png"]
