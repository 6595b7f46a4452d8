"""The explorer as its reader uses it, in Chromium."""

from collections.abc import Generator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest

from clearsight.config.schema import Config
from clearsight.evaluation.report import write_report
from clearsight.files import write_json
from clearsight.runs import create_run
from tests.evaluation.test_explorer import explored, predictions

pytestmark = pytest.mark.slow
FOUND = predictions(3000)
PREDICTED = FOUND.probabilities.argmax(1)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = create_run(tmp_path_factory.mktemp("explorer") / "run", Config(), {})
    write_json(run.explorer, explored(FOUND, side=32))
    return write_report(run)


@pytest.fixture
def page(browser: Any, report: Path, request: pytest.FixtureRequest) -> Generator[Any]:
    width, scheme = getattr(request, "param", (1200, "light"))
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
    )
    page, errors = context.new_page(), []
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(report.as_uri())
    yield page
    assert errors == []
    context.close()


def count(page: Any) -> int:
    return int(page.inner_text("#explorer-count").split()[0].replace(",", ""))


def test_a_cell_of_the_matrix_shows_its_images_and_a_picture_its_probabilities(page: Any) -> None:
    mistakes = count(page)
    assert mistakes == page.evaluate(
        "const data = JSON.parse(document.getElementById('explorer-data').textContent).images;"
        "data.top.filter((top, i) => top[0] !== data.label[i]).length"
    )
    page.click("#explorer-matrix [data-t='0'][data-p='2']")
    both = int(((FOUND.labels == 0) & (PREDICTED == 2)).sum())
    assert 0 < count(page) < mistakes
    assert f"of {both} images of cat predicted as fox" in page.inner_text("#explorer-count")
    first = page.locator("#explorer-tiles button").first
    assert "predicted fox" in first.get_attribute("aria-label")
    first.click()
    assert page.locator("#explorer-detail").is_visible()
    assert page.locator("#explorer-bars tr").count() == 3
    row = int(page.inner_text("#explorer-title").partition(".")[0])
    shown = page.locator("#explorer-bars tr td.n").first.inner_text()
    assert shown == f"{100 * FOUND.probabilities[row].max():.1f}\u00a0%"
    page.keyboard.press("Escape")
    assert not page.locator("#explorer-detail").is_visible()


def test_sorting_and_the_map_narrow_what_is_shown(page: Any) -> None:
    everything = count(page)
    page.select_option("#explorer-order", "unsurest")
    words = page.locator("#explorer-tiles .words").all_inner_texts()
    sure = [float(text.replace("\u00a0", " ").split(" %")[0].split()[-1]) for text in words]
    assert sure == sorted(sure)
    box = page.locator("#explorer-map").bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    assert 0 < count(page) < everything
    assert "inside the selection" in page.inner_text("#explorer-count")
    page.click("#explorer-unbrush")
    assert count(page) == everything


def test_a_slice_narrows_what_is_shown_and_says_its_accuracy(page: Any) -> None:
    groups = page.eval_on_selector_all("#explorer-slice optgroup", "all => all.map(g => g.label)")
    assert groups == ["brightness", "near duplicates"]
    page.select_option("#explorer-kind", "all")
    everything = count(page)
    page.select_option("#explorer-slice", label="brightness over 80")
    assert 0 < count(page) < everything
    right = 100 * (FOUND.labels == PREDICTED)[::3].mean()
    text = page.inner_text("#explorer-count").replace("\u00a0", " ")
    assert text.endswith(f"; brightness over 80: 1,000 images, {right:.1f} % right")
    page.locator("#explorer-tiles button").first.click()
    assert int(page.inner_text("#explorer-title").partition(".")[0]) % 3 == 0
    page.keyboard.press("Escape")
    page.click("#explorer-reset")
    assert page.input_value("#explorer-slice") == ""


def test_doubt_about_labels_sorts_and_filters(page: Any) -> None:
    kinds = page.eval_on_selector_all("#explorer-kind option", "all => all.map(o => o.value)")
    assert kinds == ["mistakes", "right", "all", "doubted"], "and nothing that no picture is"
    page.select_option("#explorer-kind", "doubted")
    page.select_option("#explorer-order", "doubt")
    assert count(page) > 2
    own = FOUND.probabilities[np.arange(3000), FOUND.labels]
    seen = []
    page.locator("#explorer-tiles button").first.click()
    for _ in range(3):
        seen.append(own[int(page.inner_text("#explorer-title").partition(".")[0])])
        assert "in doubt)" in page.inner_text("#explorer-facts")
        page.keyboard.press("ArrowRight")
    assert seen == sorted(seen)


def test_a_near_duplicate_in_training_is_shown_with_its_label(page: Any) -> None:
    page.select_option("#explorer-kind", "all")
    duplicates = page.evaluate(
        "JSON.parse(document.getElementById('explorer-data').textContent).neighbours.duplicate"
    )
    page.locator("#explorer-tiles button").first.click()
    shown = set()
    for _ in range(8):
        title = page.inner_text("#explorer-title")
        place = page.evaluate(
            "title => JSON.parse(document.getElementById('explorer-data').textContent)"
            ".images.file.indexOf(title)", title,
        )  # fmt: skip
        visible = page.locator("#explorer-duplicate").is_visible()
        assert visible == (duplicates[place] >= 0)
        if visible:
            words = page.inner_text("#explorer-duplicate-list")
            assert words == "</script><b>dog, label in doubt"
        shown.add(visible)
        page.keyboard.press("ArrowRight")
    assert shown == {True, False}


def test_everything_is_reached_by_keyboard(page: Any) -> None:
    page.focus("#explorer-matrix button")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.input_value("#explorer-predicted") == "1"
    page.focus("#explorer-tiles button")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.inner_text("#explorer-place").startswith("2 of")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#explorer-place").startswith("3 of")
    page.keyboard.press("Escape")
    page.focus("#explorer-map")
    for _ in range(3):
        page.keyboard.press("Shift+ArrowRight")
    assert "inside the selection" in page.inner_text("#explorer-count")
    page.keyboard.press("Escape")
    assert "inside the selection" not in page.inner_text("#explorer-count")


def test_a_click_is_answered_at_once(page: Any) -> None:
    script = (
        "(cell) => { const start = performance.now(); cell.click(); "
        "document.getElementById('explorer-tiles').getBoundingClientRect(); "
        "return performance.now() - start }"
    )
    cells = page.locator("#explorer-matrix button").all()
    assert median(cell.evaluate(script) for cell in cells) < 100


@pytest.mark.parametrize("page", [(390, "light")], indirect=True)
def test_a_phone_shows_it_without_scrolling_sideways(page: Any) -> None:
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
    page.locator("#explorer-tiles button").first.click()
    box = page.locator("#explorer-detail").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390


@pytest.mark.parametrize("page", [(1200, "light"), (390, "dark")], indirect=True)
@pytest.mark.parametrize("opened", [False, True])
def test_axe_finds_nothing_serious(page: Any, opened: bool) -> None:
    from axe_playwright_python.sync_playwright import Axe

    if opened:
        page.locator("#explorer-tiles button").first.click()
    violations = Axe().run(page).response["violations"]
    serious = [v for v in violations if v["impact"] in ("serious", "critical")]
    assert [(v["id"], v["nodes"][0]["html"][:200]) for v in serious] == []


def test_the_first_paint_comes_within_a_second(page: Any) -> None:
    painted = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    times = []
    for _ in range(3):
        page.reload()
        times.append(page.evaluate(painted))
    assert np.median(times) < 1000
