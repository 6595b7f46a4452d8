"""The page of the service as its visitor uses it, in Chromium."""

import base64
import csv
import re
import shutil
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from clearsight.bundle.predict import load
from clearsight.files import read_cells
from tests.serve.process import BUNDLE, served
from tests.serve.test_service import TOKEN, png

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def site(kept: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    samples = tmp_path_factory.mktemp("samples")
    (samples / "broken.png").write_bytes(b"no image")
    (samples / "one & more.png").write_bytes(png(20))
    with served("--keep", str(kept), "--samples", str(samples)) as (_, address):
        yield address


def open_page(browser: Any, site: str, **options: Any) -> tuple[Any, list[str], list[str]]:
    """The page when it is ready, what it says on the console, and the addresses it asks."""
    page, told, asked = browser.new_context(**options).new_page(), [], []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{site}/")
    page.wait_for_selector("#files:enabled", state="attached")
    return page, told, asked


def choose(page: Any, files: dict[str, bytes]) -> None:
    given = [
        {"name": n, "mimeType": "image/png", "buffer": content} for n, content in files.items()
    ]
    page.set_input_files("#files", given)
    page.locator("#status", has_text=re.compile("classified|:")).wait_for()


@pytest.mark.parametrize(("width", "scheme"), [(1100, "light"), (1100, "dark"), (360, "light")])
def test_the_page_says_what_the_bundle_says(
    browser: Any, site: str, tmp_path: Path, width: int, scheme: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page, told, asked = open_page(
        browser, site, viewport={"width": width, "height": 800}, color_scheme=scheme
    )
    assert "10 classes" in page.inner_text("#about")
    files = {f"{k} <b>name.png": png(k) for k in range(6)}
    choose(page, files | {"broken.png": b"no image"})
    page.locator("#status", has_text="broken.png: is no PNG").wait_for()
    cards = page.locator("#answers > li")
    assert cards.count() == 6  # one good picture is never lost for a bad one
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    expected = load(BUNDLE).predict([tmp_path / name for name in files])
    promise = load(BUNDLE).bundle.calibration["sure"][0]  # ty: ignore[not-subscriptable]
    for prediction in expected:
        one = cards.filter(has_text=Path(prediction.file or "").name)
        assert one.locator("h2").inner_text() == prediction.label
        shares = one.locator("td.n").all_inner_texts()
        assert float(shares[0].split()[0]) == pytest.approx(100 * prediction.probability, abs=0.1)
    order = cards.locator(".file").all_inner_texts()
    assert order == list(files)[::-1]  # the newest first
    page.select_option("#sure", "0")
    for prediction in expected:
        sure = prediction.probability > promise["probability"]
        shown = cards.filter(has_text=Path(prediction.file or "").name).locator("h2").inner_text()
        assert shown == (prediction.label if sure else "unsure")
    first = cards.first
    assert first.locator("figure img").first.evaluate("image => image.naturalWidth") == 32
    first.locator("select.target").select_option("=3")
    heat = first.locator("img.heat")
    heat.wait_for()
    page.select_option("#method", "grad-cam")
    first.get_by_alt_text("heatmap: where grad-cam finds 3").wait_for()
    page.locator("#opacity").fill("20")
    assert heat.evaluate("image => image.style.opacity") == "0.2"
    page.locator("#card summary").click()
    page.locator("#card-text", has_text="What it does").wait_for()
    with page.expect_download() as download:
        page.click("#csv")
    with Path(download.value.path()).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["file"]: row["label"] for row in rows} == {
        Path(each.file or "").name: each.label for each in expected
    }
    assert all(url.startswith((site, f"blob:{site}", "data:")) for url in asked)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    found = Axe().run(page).response["violations"]
    assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
    # The browser itself says that the broken file was refused.
    assert all("422" in line for line in told), told
    page.context.close()


def test_a_wrong_answer_is_kept_by_keyboard(browser: Any, site: str, kept: Path) -> None:
    page, told, _ = open_page(browser, site)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "files"
    page.evaluate(
        """(content) => {
             const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
             const transfer = new DataTransfer();
             transfer.items.add(new File([bytes], "dropped.png", { type: "image/png" }));
             dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, cancelable: true }));
           }""",
        base64.b64encode(png(9)).decode(),
    )
    page.locator("#status", has_text="1 image classified").wait_for()
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Wrong":
            break
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    wanted = page.evaluate("document.activeElement.value")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.locator("#status", has_text=f"dropped.png: kept as {wanted}").wait_for()
    (row,) = read_cells(kept / "labels.csv")
    assert row["label"] == wanted
    assert (kept / row["file"]).read_bytes() == png(9)
    assert told == []
    page.context.close()


def test_a_sample_is_tried_by_a_click(browser: Any, site: str) -> None:
    page, told, _ = open_page(browser, site)
    page.get_by_alt_text("try one & more.png").click()
    page.locator("#answers .file", has_text="one & more.png").wait_for()
    assert page.locator("#samples img").count() == 1
    assert told == []
    page.context.close()


def test_the_page_asks_for_the_token(browser: Any) -> None:
    with served(CLEARSIGHT_TOKEN=TOKEN) as (_, address):
        page = browser.new_page()
        page.goto(f"{address}/")
        page.wait_for_selector("#login:not([hidden])")
        for token, said in (("wrong", "not the token"), (TOKEN, "10 classes")):
            page.fill("#token", token)
            page.keyboard.press("Enter")
            page.locator("#about", has_text=said).wait_for()
        choose(page, {"a.png": png()})
        assert page.locator("#answers > li").count() == 1
        page.close()


def test_pictures_come_from_the_camera(browser: Any) -> None:
    program = browser.browser_type.launch(
        executable_path=next(filter(None, map(shutil.which, CHROMIUM))),
        args=[
            "--no-sandbox",
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
        ],
    )
    with served() as (_, address):
        page, told, _ = open_page(program, address, permissions=["camera"])
        page.click("#camera")
        while not page.evaluate("document.getElementById('video').videoWidth"):
            time.sleep(0.02)
        page.click("#shoot")
        page.locator("#answers .file", has_text="camera-1.png").wait_for()
        assert page.evaluate("document.getElementById('video').srcObject") is None
        assert told == []
    program.close()
