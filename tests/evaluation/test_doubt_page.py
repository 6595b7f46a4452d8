"""The page of doubted labels, in a real browser."""

import csv
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from clearsight.config.schema import Config
from clearsight.data.images import ImageSet
from clearsight.data.relabelling import read_corrections, relabel
from clearsight.data.splits import manifest, split
from clearsight.evaluation.doubt import Doubts, from_margins, from_probabilities, ranked
from clearsight.evaluation.doubt_page import write_page
from clearsight.files import write_json
from clearsight.runs import Run, create_run
from tests.conftest import make_images

KINDS = {"train": "margins", "validation": "predictions", "test": "predictions"}


def doubts(images: ImageSet) -> Doubts:
    parts, draw = split(images, Config().data), np.random.default_rng(0)
    n, classes = len(parts.train), len(images.classes)
    rivals = (images.labels[parts.train] + 1) % classes
    found = [("train", parts.train, from_margins(draw.normal(0, 6, n), np.full(n, 3), rivals))]
    for name in ("validation", "test"):
        rows = getattr(parts, name)
        probabilities = draw.dirichlet(np.ones(classes), len(rows))
        found.append((name, rows, from_probabilities(images.labels[rows], probabilities)))
    return ranked(images, found)


def written(folder: Path, images: ImageSet, show: int = 20) -> Run:
    run = create_run(folder / "<b>run", Config(), {})
    write_json(run.split, manifest(images, split(images, Config().data), Config().data))
    write_page(run, doubts(images), KINDS, show)
    return run


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text))
    page.on("request", lambda request: problems.extend(re.findall(r"^(?:http|ws).*", request.url)))
    yield page
    context.close()
    assert problems == []


def opened(page: Page, run: Run) -> Page:
    page.goto(run.doubt_page.resolve().as_uri())
    return page


def saved(page: Page, folder: Path) -> Path:
    with page.expect_download() as download:
        page.get_by_role("button", name="Save relabelled.csv").click()
    assert download.value.suggested_filename == "relabelled.csv"
    download.value.save_as(folder / "relabelled.csv")
    return folder / "relabelled.csv"


def test_labels_are_corrected_by_keyboard_and_saved(page: Page, tmp_path: Path) -> None:
    images = make_images(60)
    found = doubts(images)
    opened(page, written(tmp_path, images))
    save = page.get_by_role("button", name="Save relabelled.csv")
    expect(save).to_be_disabled()
    expect(page.get_by_text("20 shown")).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Space")  # the second image: its suggestion
    expect(page.get_by_text("1 label changed")).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("Tab")  # the list of classes of the third
    third = images.classes[(int(images.labels[found.rows[2]]) + 2) % 3]
    page.keyboard.type(third)
    expect(page.get_by_text("2 labels changed")).to_be_visible()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("k")
    page.keyboard.press("k")
    page.keyboard.press("Space")
    page.keyboard.press("Space")  # the first image: taken back
    expect(page.get_by_text("2 labels changed")).to_be_visible()
    path = saved(page, tmp_path)
    corrected = relabel(images, read_corrections(path))
    changed = np.flatnonzero(corrected.labels != images.labels).tolist()
    assert sorted(changed) == sorted(found.rows[1:3].tolist())
    assert corrected.labels[found.rows[1]] == found.evidence.suggested[1]
    assert corrected.classes[corrected.labels[found.rows[2]]] == third


def test_ticks_survive_a_reload(page: Page, tmp_path: Path) -> None:
    run = written(tmp_path, make_images(60))
    opened(page, run).get_by_role("checkbox").first.check()
    opened(page, run)
    expect(page.get_by_text("1 label changed")).to_be_visible()
    expect(page.get_by_role("checkbox").first).to_be_checked()


def test_images_are_filtered_by_part_and_class(page: Page, tmp_path: Path) -> None:
    images = make_images(60)
    opened(page, written(tmp_path, images, show=60))
    page.get_by_label("Part").select_option("test")
    expect(page.get_by_text("6 shown")).to_be_visible()
    page.get_by_label("Given label").select_option("class1")
    shown = page.locator("li:visible h2").all_inner_texts()
    assert shown
    assert {*shown} == {"class1"}


def test_the_corrections_of_the_run_stay_in_the_file(page: Page, tmp_path: Path) -> None:
    images = make_images(60)
    first, second = (images.ids[k].decode() for k in (30, 31))
    path = tmp_path / "before.csv"
    path.write_text(f"id,label\n{first},class2\n{second},class0\n", encoding="utf-8")
    images = relabel(images, read_corrections(path))
    run = written(tmp_path, images, show=60)
    opened(page, run)
    expect(page.get_by_text("besides 2 that this run was trained with")).to_be_visible()
    card = page.locator("li").nth(int(np.flatnonzero(doubts(images).rows == 30)[0]))
    card.get_by_role("combobox").focus()
    card.get_by_role("combobox").select_option("class1")  # corrected once more
    with saved(page, tmp_path).open(encoding="utf-8", newline="") as file:
        rows = {row["id"]: (row["given"], row["label"]) for row in csv.DictReader(file)}
    assert rows == {first: ("class0", "class1"), second: ("class1", "class0")}


def test_a_list_has_all_of_a_thousand_classes_only_where_one_looks(
    page: Page, tmp_path: Path
) -> None:
    names = ('<i>"0"</i>, \u00e4', *(f"class {k}" for k in range(1, 1000)))
    images = replace(make_images(30), classes=names)
    # Every class needs a training image for a split, so there is none.
    run = create_run(tmp_path / "run", Config(), {})
    write_json(run.split, {"hash": "0"})
    evidence = from_margins(np.arange(30) - 9.0, np.full(30, 1), np.full(30, 5))
    write_page(run, ranked(images, [("train", np.arange(30), evidence)]), KINDS, 30)
    opened(page, run)
    first = page.get_by_role("combobox", name="Label of image 1", exact=True)
    assert first.locator("option").count() == 2
    first.focus()
    assert first.locator("option").count() == 1000
    first.select_option("class 999")
    with saved(page, tmp_path).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["given"], row["label"]) for row in rows] == [(names[0], "class 999")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_can_be_read_in_light_and_dark(
    browser: Browser, tmp_path: Path, scheme: Literal["light", "dark"]
) -> None:
    context = browser.new_context(
        viewport={"width": 360, "height": 640}, color_scheme=scheme, has_touch=True
    )
    page = opened(context.new_page(), written(tmp_path, make_images(60)))
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.get_by_role("checkbox").first.tap()
    colours = page.evaluate(
        "[...document.querySelectorAll('body, li.changed p, .save p, #save')].map(e => {"
        "let b = e; while (getComputedStyle(b).backgroundColor === 'rgba(0, 0, 0, 0)') "
        "b = b.parentElement; return [getComputedStyle(e).color, getComputedStyle(b)"
        ".backgroundColor]})"
    )
    assert len(colours) == 4
    for text, ground in colours:
        assert contrast(text, ground) >= 4.5, (text, ground)
    boxes = page.locator("li label").all()
    assert all((box.bounding_box() or {})["height"] >= 24 for box in boxes)
    context.close()


def contrast(a: str, b: str) -> float:
    """WCAG 2's contrast of two CSS colours."""
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    channels = np.array([int(c) for c in re.findall(r"\d+", colour)[:3]]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_it_names_no_outside_address_and_shows_names_as_text(tmp_path: Path) -> None:
    text = written(tmp_path, make_images(60)).doubt_page.read_text(encoding="utf-8")
    assert not re.search(r"(?:https?:)?//[\w.-]+\.\w", re.sub(r"base64,[\w+/=]+", "", text))
    assert "<b>run" not in text
    assert "&lt;b&gt;run" in text
