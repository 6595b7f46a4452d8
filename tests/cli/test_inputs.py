import io
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
    names = list(image_names(["first.png", str(tmp_path), "-"], stdin))
    inside = [str(tmp_path / name) for name in ("a.JPG", "b.png", "sub/c.webp")]
    assert names == ["first.png", *inside, "x.png", "y z.png"]


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match="found no images"):
        list(image_names([str(tmp_path)], io.StringIO()))


def test_stdin_without_names_is_refused() -> None:
    with pytest.raises(DataError, match="no names on stdin"):
        list(image_names(["-"], io.StringIO("\n")))


def test_a_misspelt_option_is_not_taken_for_a_file() -> None:
    with pytest.raises(UsageError, match=r"--jsn.*\./--jsn"):
        list(image_names(["a.png", "--jsn"], io.StringIO()))
