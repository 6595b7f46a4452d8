"""Sizes of the files that images came from."""

from pathlib import Path

import numpy as np
from PIL import Image

from clearsight.data.originals import file_properties


def test_sizes_of_files_and_pictures(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    found = file_properties(tmp_path, ["a.png", "b.png", "missing.png"])
    assert found["file size"][0] == (tmp_path / "a.png").stat().st_size / 1000
    assert found["original size"][0] == 30
    assert np.isnan(found["original size"][1:]).all()
    assert np.isnan(found["file size"][1:]).all()


def test_what_no_image_has_is_left_out(tmp_path: Path) -> None:
    assert file_properties(tmp_path, ["", "missing.png"]) == {}
    assert file_properties(tmp_path / "elsewhere", ["a.png"]) == {}
    assert file_properties(tmp_path, []) == {}
