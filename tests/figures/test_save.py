"""Figures are saved whole and reproducibly."""

from pathlib import Path

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
