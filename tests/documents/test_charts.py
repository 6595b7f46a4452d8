"""The lesson's table, and pictures that must show what the ledger says."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clearsight.documents.charts import check_charts, draw_charts
from clearsight.documents.lesson import chart_rows, lesson_table
from clearsight.errors import UsageError
from clearsight.ledger import read_entries
from clearsight.runs import read_json, write_json


def entry(size: int, phases: int, value: float, *, twice: bool) -> dict:
    accuracy = {"value": value, "low": value - 0.01, "high": value + 0.01, "n": 100}
    return {
        "kind": "runs",
        "config": {
            "model": {
                "name": "net", "size": size, "preprocess": "double-scaled" if twice else "weights",
            },
            "phases": [{}] * phases,
        },
        "n": 100, "tta": "none", "runs": [{"accuracy": {"none": accuracy}}],
        "accuracy": {"none": {"mean": value}},
    }  # fmt: skip


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    write_json(folder / "lesson-a.json", entry(224, 2, 0.9, twice=False))
    write_json(folder / "lesson-b.json", entry(224, 2, 0.4, twice=True))
    write_json(folder / "lesson-c.json", entry(32, 1, 0.5, twice=False))
    write_json(folder / "lesson-d.json", entry(32, 1, 0.1, twice=True))
    write_json(folder / "other.json", entry(32, 1, 0.7, twice=True))
    return folder


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "docs" / "page.md"
    path.parent.mkdir()
    path.write_text("# Page\n\n![it](figures/ledger/lesson.png)\n", encoding="utf-8")
    return path


def test_the_lesson_has_a_row_per_run_the_mistake_first(results: Path) -> None:
    rows = lesson_table(read_entries(results)).strip().splitlines()[2:]
    assert [row.split("|")[1:6] for row in rows] == [
        [" net ", " 32 px ", " head ", " twice ", " 10.00 % "],
        [" net ", " 32 px ", " head ", " once ", " 50.00 % "],
        [" net ", " 224 px ", " head, then last stage ", " twice ", " 40.00 % "],
        [" net ", " 224 px ", " head, then last stage ", " once ", " 90.00 % "],
    ]


def test_a_run_without_its_pair_is_named(results: Path) -> None:
    (results / "lesson-b.json").unlink()
    with pytest.raises(UsageError, match="224 px, head, then last stage only with pixels scaled o"):
        chart_rows(read_entries(results))


def test_a_chart_is_drawn_once_and_then_true(results: Path, page: Path) -> None:
    assert "not drawn yet" in check_charts([page], results)[0]
    picture = page.parent / "figures" / "ledger" / "lesson.png"
    assert draw_charts([page], results) == [picture]
    assert check_charts([page], results) == []
    assert draw_charts([page], results) == []
    with Image.open(picture) as image:
        assert np.asarray(image.convert("L")).std() > 10  # something is on it


def test_a_chart_of_other_numbers_is_noticed(results: Path, page: Path) -> None:
    draw_charts([page], results)
    changed = read_json(results / "lesson-a.json")
    changed["runs"][0]["accuracy"]["none"]["value"] = 0.91
    write_json(results / "lesson-a.json", changed)
    (problem,) = check_charts([page], results)
    assert problem.startswith(f"{page}:3: figure")
    assert "not show what the ledger says" in problem


def test_a_chart_touched_by_hand_is_noticed(results: Path, page: Path) -> None:
    (picture,) = draw_charts([page], results)
    with Image.open(picture) as image:
        pixels, about = image.convert("RGB"), image.info["clearsight"]
    from PIL.PngImagePlugin import PngInfo

    kept = PngInfo()
    kept.add_text("clearsight", about)
    pixels.putpixel((200, 50), (1, 2, 3))
    pixels.save(picture, pnginfo=kept)
    assert len(check_charts([page], results)) == 1


def test_an_unknown_chart_is_an_error_with_its_line(results: Path, page: Path) -> None:
    page.write_text("![it](figures/ledger/lessons.png)\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"page\.md:1: figure .* expected one of lesson"):
        check_charts([page], results)
