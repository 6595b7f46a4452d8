"""Figures are saved whole and reproducibly."""

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from clearsight.errors import FileError
from clearsight.figures.save import save
from clearsight.figures.style import DPI, new_figure, styled


def line() -> Figure:
    with styled():
        figure = new_figure(3, 2)
        figure.add_subplot().plot([1, 2, 3])
        return figure


def test_saves_a_png_of_the_stated_size(tmp_path: Path) -> None:
    save(line(), tmp_path / "figures" / "line.png")
    with Image.open(tmp_path / "figures" / "line.png") as image:
        assert image.format == "PNG"
        assert image.size == (3 * DPI, 2 * DPI)
        assert "Software" not in image.info


def test_same_figure_same_bytes(tmp_path: Path) -> None:
    save(line(), tmp_path / "a.png")
    save(line(), tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_refused_by_the_disk_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    (tmp_path / "a.png" / "x").touch()
    with pytest.raises(FileError, match=r"a\.png"):
        save(line(), tmp_path / "a.png")
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_says_where_its_pictures_are(tmp_path: Path) -> None:
    with styled():
        figure = new_figure(4, 2)
        first, second = figure.subplots(1, 2)
        first.imshow(np.zeros((8, 8, 3), np.uint8))
        second.imshow(np.zeros((8, 8)))  # values on a colour map, no picture
    save(figure, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        ((left, top, right, bottom),) = json.loads(image.info["photos"])
        black = np.asarray(image.convert("L"))[:, : 2 * DPI] < 5
        rows, columns = np.flatnonzero(black.sum(1) > 50), np.flatnonzero(black.sum(0) > 50)
    assert abs(right - left - (bottom - top)) <= 1
    assert abs(left - columns[0]) <= 2
    assert abs(bottom - 1 - rows[-1]) <= 2
