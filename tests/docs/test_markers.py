from pathlib import Path

import pytest

from clearsight.errors import UsageError
from clearsight.files import write_json
from tools.docs.markers import FIELDS, check_places, render, render_files


def entry(name: str, **changes: object) -> dict:
    return {
        "name": name, "kind": "runs", "recorded": "2025-01-02", "data": "cifar10", "n": 10000,
        "tta": "flip", "runs": [{"accuracy": {"flip": {"value": 0.9406, "low": 0.9358,
        "high": 0.9451}}}], "accuracy": {"flip": {"mean": 0.9406}, "none": {"mean": 0.93}},
        "seconds": {"mean": 240.0}, "hardware": {"cores": 2, "cpu": "Chip", "device": "cpu",
        "precision": "fp32"},
    } | changes  # fmt: skip


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    write_json(folder / "one.json", entry("one"))
    seeds = {"flip": {"mean": 0.95, "sd": 0.0011}, "none": {"mean": 0.94, "sd": 0.002}}
    runs = [
        {"accuracy": {"flip": {"value": value, "low": value - 0.01, "high": value + 0.01}}}
        for value in (0.94, 0.96)
    ]
    write_json(folder / "two.json", entry("two", accuracy=seeds, runs=runs))
    return folder


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("one:accuracy", "94.06 %"),
        ("two:accuracy", "95.00 ± 0.11 %"),
        ("one:accuracy-without-tta", "93.00 %"),
        ("one:interval", "93.58–94.51 %"),
        ("two:interval", "93.00–97.00 %"),
        ("one:n", "10,000"),
        ("two:seeds", "2"),
        ("one:time", "4.0 min"),
        ("one:hardware", "2 cores (Chip, fp32)"),
        ("one,two:date", "2025-01-02, 2025-01-02"),
    ],
)
def test_places_are_filled(results: Path, place: str, text: str) -> None:
    before = f"we reach <!-- results:{place} -->old<!-- /results --> here"
    after = f"we reach <!-- results:{place} -->{text}<!-- /results --> here"
    assert render(before, results) == after
    assert render(after, results) == after


def test_a_table_has_a_row_per_entry(results: Path) -> None:
    text = render("<!-- results:*:table --><!-- /results -->", results)
    head, rule, one, two = [line for line in text.splitlines() if line.startswith("|")]
    assert head.count("|") == rule.count("|") == one.count("|") == two.count("|")
    assert "94.06 %" in one
    assert "95.00 ± 0.11 %" in two


def test_text_outside_the_places_is_left_alone(results: Path) -> None:
    text = "# A page\n\n94.06 % <!-- a comment -->\n"
    assert render(text, results) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- results:nine:accuracy -->x<!-- /results -->", "'nine': not in .*one, two"),
        ("<!-- results:one:speed -->x<!-- /results -->", "'speed': expected one of accuracy"),
        ("\n<!-- results:one:accuracy -->94.06 %", "line 2: marker results:one is never closed"),
        ("<!-- results:one -->94.06 %<!-- /results -->", "expected <!-- results:NAME:FIELD -->"),
        (
            "<!-- result:one:n -->x<!-- /result -->",
            "line 1: marker <!-- result:one:n -->: expected",
        ),
        ("<!--results:one:n -->x<!-- /results -->", "expected <!-- results:NAME:FIELD -->"),
        ("94.06 %<!-- /results -->", "line 1: marker /results closes no place: none is open"),
        (
            "<!-- results:one:n -->x\n<!-- /generated -->",
            "line 2: marker /generated closes no place: line 1 opens results",
        ),
        (
            "<!-- results:one:n -->\n<!-- results:two:n -->x<!-- /results --><!-- /results -->",
            "line 2: marker inside the place that line 1 opens",
        ),
    ],
)
def test_a_wrong_place_is_refused(results: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        render(text, results)


def test_every_field_can_be_rendered(results: Path) -> None:
    for field in FIELDS:
        assert "><" not in render(f"<!-- results:one:{field} --><!-- /results -->", results)


def test_check_finds_a_number_edited_by_hand_with_file_and_line(
    results: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n<!-- results:one:accuracy -->?<!-- /results -->\n", "utf-8")
    assert render_files([page], results) == [page]
    assert check_places([page], results) == []
    assert render_files([page], results) == []
    page.write_text(page.read_text("utf-8").replace("94.06", "98.06"), "utf-8")
    [problem] = check_places([page], results)
    assert problem.startswith(f"{page}:3: found")
    assert "98.06" in problem
    assert "94.06" in problem


def test_check_names_every_wrong_marker_with_its_line(results: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- results:nine:n -->1<!-- /results -->\n\n<!-- /results -->\n"
        "<!-- results:one:speed -->1<!-- /results --> <!-- generated:weather -->",
        "utf-8",
    )
    found = check_places([page], results)
    assert [problem.removeprefix(f"{page}:")[0] for problem in found] == ["1", "3", "4", "4"]
    assert "'nine': not in" in found[0]
    assert "'speed': expected one of" in "".join(found)
    assert "generated:weather is never closed" in "".join(found)


def test_check_names_the_first_line_where_a_table_has_lost_its_rows(
    results: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- results:*:table -->\n<!-- /results -->\n", "utf-8")
    [problem] = check_places([page], results)
    assert problem.startswith(f"{page}:2: found")


def test_a_missing_page_is_named(results: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.md: can't be read"):
        check_places([Path("nowhere.md")], results)


def test_a_benchmark_brings_its_own_table(results: Path) -> None:
    write_json(
        results / "bench.json",
        {
            "kind": "benchmark", "recorded": "2025-03-04",
            "environment": {"cores": 2, "cpu": "Chip", "device": "cpu", "precision": "bf16"},
            "table": {"head": ["what", "seconds"], "rows": [["ours", "1.5"], ["theirs", "3.0"]]},
        },
    )  # fmt: skip
    text = render("<!-- results:bench:table --><!-- /results -->", results)
    assert [line for line in text.splitlines() if line.startswith("|")] == [
        "| what | seconds |", "| --- | --- |", "| ours | 1.5 |", "| theirs | 3.0 |",
    ]  # fmt: skip
    assert ">2 cores (Chip, bf16)<" in render(
        "<!-- results:bench:hardware -->?<!-- /results -->", results
    )
    with pytest.raises(UsageError, match="a benchmark has no accuracy"):
        render("<!-- results:bench:accuracy --><!-- /results -->", results)
    assert "bench" not in render("<!-- results:*:table --><!-- /results -->", results)
