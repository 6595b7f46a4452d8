import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clearsight.config.schema import Config
from clearsight.errors import FileError
from clearsight.evaluation.explorer import choose, content
from clearsight.evaluation.predictions import Predictions
from clearsight.evaluation.report import write_report
from clearsight.files import write_json
from clearsight.runs import create_run

RANDOM = np.random.default_rng(0)
CLASSES = ("cat", "</script><b>dog", "fox")


def predictions(n: int = 30, classes: tuple[str, ...] = CLASSES) -> Predictions:
    probabilities = RANDOM.dirichlet(np.ones(len(classes)), n).astype(np.float32)
    return Predictions(
        ids=np.array([f"{i:064x}" for i in range(n)]),
        files=np.array([f"{i}.png" for i in range(n)]),
        labels=RANDOM.integers(len(classes), size=n),
        probabilities=probabilities,
        classes=classes,
    )


def explored(found: Predictions, side: int = 8, **changes: Any) -> dict[str, Any]:
    n = len(found.labels)
    shown = choose(found.labels, found.probabilities, side)
    images = RANDOM.integers(256, size=(len(shown), side, side, 3), dtype=np.uint8)
    neighbours = {
        "indices": np.zeros((len(shown), 3), np.int64),
        "images": images[:1],
        "labels": np.array([1]),
        "files": np.array(["near.png"]),
        "doubted": np.array([True]),
        "duplicates": np.where(np.arange(len(shown)) % 7 == 0, 0, -1),
    }
    bright, dark = np.arange(0, n, 3), np.arange(1, n, 3)  # a third is in neither
    slices = [
        ("brightness", "brightness up to 80", dark), ("brightness", "brightness over 80", bright),
        ("near duplicates", "images without one", np.arange(1, n)),
    ]  # fmt: skip
    mapped = np.concatenate([shown, np.setdiff1d(np.arange(n), shown)])
    given: dict[str, Any] = {
        "part": "test", "maps": RANDOM.random((len(shown), side, side)), "mapped": mapped,
        "features": RANDOM.random((n, 5)), "neighbours": neighbours, "scores": {},
        "slices": slices,
    }  # fmt: skip
    return content(found, shown, images, **(given | changes))


def test_mistakes_come_first_then_right_ones_of_every_class_by_turns() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 1])
    confidence = np.array([0.9, 0.8, 0.6, 0.7, 0.9, 0.7, 0.8])
    predicted = np.array([0, 0, 0, 1, 1, 1, 0])
    probabilities = np.where(
        np.eye(2)[predicted] == 1, confidence[:, None], 1 - confidence[:, None]
    )
    assert choose(labels, probabilities, 1000).tolist()[:2] == [6, 3]
    # Least sure, then surest, of class 0: 2, 0, 1; of class 1: 5, 4.
    assert choose(labels, probabilities, 1000).tolist()[2:] == [2, 5, 0, 4, 1]


def test_there_is_room_for_right_ones_beside_thousands_of_mistakes() -> None:
    labels = np.zeros(20_000, np.int64)
    probabilities = np.tile(np.array([[0.3, 0.7]]), (20_000, 1))
    probabilities[::4] = [0.8, 0.2]
    shown = choose(labels, probabilities, 32)
    right = probabilities[shown].argmax(1) == 0
    assert len(shown) == 6_000_000 // (4 * 32 * 32)
    assert right.sum() >= len(shown) // 10
    assert len(np.unique(shown)) == len(shown)


def test_images_that_come_first_have_a_picture_whatever_else_there_is() -> None:
    labels = np.zeros(20_000, np.int64)
    probabilities = np.tile(np.array([[0.3, 0.7]]), (20_000, 1))
    probabilities[::4] = [0.8, 0.2]
    first = np.arange(100, 200)
    shown = choose(labels, probabilities, 32, first)
    assert set(first) <= set(shown)
    assert len(shown) == len(np.unique(shown)) == 6_000_000 // (4 * 32 * 32)
    # A tenth of the room at most, and a tenth is left for right ones.
    shown = choose(labels, probabilities, 32, np.arange(1000))
    assert np.isin(np.arange(1000), shown).sum() < 1000
    assert (probabilities[shown].argmax(1) == 0).sum() >= len(shown) // 10


def test_slices_say_how_many_are_right_and_where_each_picture_is() -> None:
    found = predictions()
    by, near = explored(found)["slices"]
    assert (by["property"], by["images"]) == (
        "brightness", ["brightness up to 80", "brightness over 80"],
    )  # fmt: skip
    right = found.probabilities.argmax(1) == found.labels
    assert by["n"] == [10, 10]
    assert by["right"] == [int(right[1::3].sum()), int(right[::3].sum())]
    rows = choose(found.labels, found.probabilities, 8)
    assert by["of"] == [{0: 1, 1: 0, 2: -1}[int(row) % 3] for row in rows]
    assert near["of"] == [-1 if row == 0 else 0 for row in rows]


def test_a_label_and_its_doubt_are_those_of_the_predictions() -> None:
    found = predictions()
    data = explored(found)["images"]
    for place, row in enumerate(choose(found.labels, found.probabilities, 8)):
        own = found.probabilities[row, found.labels[row]]
        assert data["scores"]["label"][place] == pytest.approx(own, abs=1e-4)
    assert set(data["scores"]["doubted"]) == {0, 1}


def test_each_picture_stands_in_its_place_of_the_atlas() -> None:
    found = predictions(100)
    n = len(choose(found.labels, found.probabilities, 8))
    flat = np.arange(n, dtype=np.uint8)[:, None, None, None].repeat(8, 1).repeat(8, 2).repeat(3, 3)
    data = content(
        found, choose(found.labels, found.probabilities, 8), flat, part="test", maps=None,
        mapped=np.arange(100), features=RANDOM.random((100, 4)), scores={}, slices=[],
        neighbours={"indices": np.zeros((n, 1), int), "images": flat[:1], "labels": np.array([0]),
                    "files": np.array(["a"]), "doubted": np.zeros(1, bool),
                    "duplicates": np.full(n, -1)},
    )  # fmt: skip
    encoded = base64.b64decode(data["pictures"].partition(",")[2])
    with Image.open(io.BytesIO(encoded)) as file:
        atlas = np.asarray(file, np.int64)
    for index in (0, 39, 40, n - 1):
        x, y = index % data["columns"], index // data["columns"]
        assert abs(atlas[8 * y + 4, 8 * x + 4] - index).max() <= 2
    assert data["heatmaps"] is None


def test_the_page_holds_the_explorer_and_runs_no_script_but_its_own(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", Config(), {})
    write_json(run.explorer, explored(predictions()))
    page = write_report(run).read_text(encoding="utf-8")
    assert page.count("<script") == 2
    assert "<b>dog" not in page
    assert re.search(r"script-src 'sha256-[\w+/]+='", page)
    assert not re.search(r"(?:src|href)=[\"']?https?:", page)


def test_thousands_of_classes_and_large_images_stay_small() -> None:
    names = tuple(f"class {k}" for k in range(1000))
    data = explored(predictions(4000, names), side=64)
    assert data["confusion"] is None
    assert sum(len(str(value)) for value in data.values()) < 9_000_000


def test_a_damaged_file_is_refused_by_name(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", Config(), {})
    write_json(run.explorer, explored(predictions()) | {"pictures": "https://example.org/x.jpg"})
    with pytest.raises(FileError, match=r"explorer\.json: pictures"):
        write_report(run)


def test_a_file_name_in_any_bytes_is_written(tmp_path: Path) -> None:
    found = predictions()
    shown = len(choose(found.labels, found.probabilities, 8))
    neighbours = {
        "indices": np.zeros((shown, 1), int), "duplicates": np.full(shown, -1),
        "images": np.zeros((1, 8, 8, 3), np.uint8), "labels": np.array([0]),
        "files": np.array(["caf\udce9.png"]), "doubted": np.zeros(1, bool),
    }  # fmt: skip
    run = create_run(tmp_path / "run", Config(), {})
    write_json(run.explorer, explored(found, neighbours=neighbours))
    assert "caf\\\\udce9.png" in run.explorer.read_text(encoding="utf-8")
