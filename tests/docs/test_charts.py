"""The tables that have a picture, and pictures that must show what the ledger says."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clearsight.errors import UsageError
from clearsight.files import read_json, write_json
from clearsight.ledger import read_entries
from tools.docs.budgets import budget_curves, budget_table
from tools.docs.charts import check_charts, draw_charts
from tools.docs.lesson import chart_rows, lesson_table
from tools.docs.scaling import scaling_panels, scaling_table


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


def budget_entry(recipe: str, minutes: float, values: list[float]) -> dict:
    mean = sum(values) / len(values)
    spread = {"mean": mean} | ({"sd": 0.01} if len(values) > 1 else {})
    runs = [{"accuracy": {"flip": {"value": v, "low": v - 0.02, "high": v + 0.02}}} for v in values]
    return {
        "kind": "runs", "recipe": recipe, "budget": 60 * minutes, "n": 1000, "tta": "flip",
        "runs": runs, "accuracy": {"flip": spread, "none": {"mean": mean - 0.01}},
    }  # fmt: skip


@pytest.fixture
def budgets(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    for recipe, minutes, values in (
        ("net", 10, [0.92]), ("net", 1.5, [0.80, 0.82]), ("big", 1.5, [0.75]),
    ):  # fmt: skip
        path = folder / f"budget-{recipe}-{60 * minutes:.0f}s.json"
        write_json(path, budget_entry(recipe, minutes, values))
    write_json(folder / "other.json", budget_entry("net", 3, [0.5]))
    return folder


def test_budgets_are_listed_by_recipe_and_time(budgets: Path) -> None:
    rows = budget_table(read_entries(budgets)).strip().splitlines()[2:]
    assert [row.split("|")[1:8] for row in rows] == [
        [" big ", " 1.5 min ", " 75.00 % ", " 74.00 % ", " 73.00–77.00 % ", " 1,000 ", " 1 "],
        [" net ", " 1.5 min ", " 81.00 ± 1.00 % ", " 80.00 % ", " 78.00–84.00 % ", " 1,000 ",
         " 2 "],
        [" net ", " 10 min ", " 92.00 % ", " 91.00 % ", " 90.00–94.00 % ", " 1,000 ", " 1 "],
    ]  # fmt: skip
    assert "No such run" in budget_table({})


def test_a_curve_has_the_mean_of_its_seeds_and_their_widest_interval(budgets: Path) -> None:
    big, net = budget_curves(read_entries(budgets))
    assert big["recipe"] == "big"
    assert [point["minutes"] for point in net["points"]] == [1.5, 10]
    assert net["points"][0] == pytest.approx(
        {"minutes": 1.5, "value": 0.81, "low": 0.78, "high": 0.84}
    )
    with pytest.raises(UsageError, match=r"no entry budget-…; run benchmarks/budget_curve\.py"):
        budget_curves({})


# Twice the images take twice the time, in memory with a constant part of 1 GiB.
SCALING = {
    "kind": "scaling",
    "rows": [
        {"images": n, "size": size, "seconds_per_step": 0.05, "timed_steps": 180,
         "seconds_per_epoch": n / 1000, "peak_memory": 2**30 * (1 + n // 10_000)}
        for n, size in ((10_000, 32), (20_000, 32), (200_000, 32), (10_000, 64))
    ],
    "fits": [
        {"of": "seconds_per_epoch", "against": "images", "fixed": "size", "at": 32,
         "slope": 0.001, "intercept": 0.0, "r2": 1.0, "exponent": 1.0, "linear": True},
        {"of": "peak_memory", "against": "pixels", "fixed": "images", "at": 10_000,
         "slope": 2**30 / 2, "intercept": 2**30, "r2": 0.5, "exponent": 2.0, "linear": False},
    ],
}  # fmt: skip


def test_the_growth_of_cost_has_a_row_per_configuration_and_a_line_per_fit() -> None:
    lines = scaling_table({"scaling": SCALING}).strip().splitlines()
    assert lines[2] == "| 10,000 | 32 px | 50.0 ms | 10.0 s | 1,000 | 2.00 GiB | 180 |"
    assert lines[4] == "| 200,000 | 32 px | 50.0 ms | 3.3 min | 1,000 | 21.00 GiB | 180 |"
    assert lines[-2:] == [
        "- time per epoch against images: linear, R² of a straight line 1.0000, exponent 1.00",
        "- peak memory against pixels: not linear, R² of a straight line 0.5000, exponent 2.00",
    ]
    assert "No such result" in scaling_table({})


def test_a_panel_shows_what_its_line_was_fitted_to() -> None:
    first, second = scaling_panels({"scaling": SCALING})
    assert first["points"] == [[10_000, 10.0], [20_000, 20.0], [200_000, 200.0]]
    assert (first["of"], first["slope"]) == ("time per epoch (s)", 0.001)
    assert second["points"] == [[1024, 2.0], [4096, 2.0]]
    assert (second["slope"], second["intercept"]) == (0.5, 1.0)
    with pytest.raises(UsageError, match=r"no scaling\.json; run benchmarks/scaling\.py"):
        scaling_panels({})


def test_charts_of_other_kinds_of_entries_are_drawn(budgets: Path, page: Path) -> None:
    write_json(budgets / "scaling.json", SCALING)
    names = ("budget", "scaling")
    page.write_text("\n".join(f"![it](figures/ledger/{n}.png)" for n in names), encoding="utf-8")
    assert [path.stem for path in draw_charts([page], budgets)] == list(names)
    assert check_charts([page], budgets) == []
    write_json(budgets / "scaling.json", SCALING | {"fits": SCALING["fits"][:1]})
    (problem,) = check_charts([page], budgets)
    assert "scaling.png: it does not show what the ledger says" in problem
