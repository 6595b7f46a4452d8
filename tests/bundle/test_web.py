"""`export --to web`: the page as its visitor uses it, in Chromium, and what npm may bring."""

import base64
import functools
import http.server
import io
import json
import stat
import tarfile
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image

from clearsight.bundle.conversion import web
from clearsight.bundle.conversion.convert import convert
from clearsight.bundle.engines import onnx_engine
from clearsight.bundle.format import Bundle
from clearsight.bundle.predict import load
from clearsight.data.images import Fit, fit_image
from clearsight.errors import BundleError
from tests.bundle.test_conversion import CLASSES, SIZE, bundle, pixels

__all__ = ["bundle"]  # the fixture

SIZES = [(24, 24), (7, 5), (5, 31), (31, 24), (100, 33), (65, 200), (1, 1), (48, 48)]


@pytest.fixture
def served(tmp_path: Path) -> Generator[tuple[Path, str]]:
    """An empty folder and the address where its files are served."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_the_page_fits_images_as_training_does(browser: Any, served: tuple[Path, str]) -> None:
    folder, address = served
    (folder / "fit.js").write_bytes((web.PAGE / "fit.js").read_bytes())
    (folder / "index.html").write_text("<!doctype html>")
    page = browser.new_page()
    page.goto(f"{address}/index.html")
    rng = np.random.default_rng(0)
    for width, height in SIZES:
        # Smooth, for Pillow and the page clip values above 255 after other passes.
        coarse = Image.fromarray(rng.integers(64, 192, (4, 4, 3), dtype=np.uint8))
        given = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
        for fit in get_args(Fit):
            found = page.evaluate(
                """async ([pixels, width, height, size, fit]) => {
                     const { fitImage } = await import("./fit.js");
                     return [...fitImage({ pixels, width, height }, size, fit)];
                   }""",
                [given.ravel().tolist(), width, height, SIZE, fit],
            )
            expected = fit_image(Image.fromarray(given), SIZE, fit)
            difference = np.abs(np.array(found) - expected.ravel())
            # Versions of Pillow differ as much, by which side they resample first.
            assert difference.max() <= 1, (width, height, fit)
            assert (difference > 0).mean() < 0.2, (width, height, fit)
    page.close()


def fake_npm(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs that the export finds: this `npm`, and the real Node.js."""
    npm = folder / "npm"
    npm.write_text(f"#!/bin/sh\n{script}\n")
    npm.chmod(npm.stat().st_mode | stat.S_IXUSR)
    real = web._program
    monkeypatch.setattr(web, "_program", lambda name: str(npm) if name == "npm" else real(name))


def test_another_library_than_the_tried_one_is_refused(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, isolated: Path
) -> None:
    other = tmp_path / "other.tgz"
    with tarfile.open(other, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("package/dist/ort.wasm.min.mjs"), io.BytesIO())
    fake_npm(tmp_path, f"cp {other} onnxruntime-web-{web.VERSION}.tgz", monkeypatch)
    with pytest.raises(BundleError, match=r"npm gave another onnxruntime-web.*registry npm"):
        convert(bundle, "web", tmp_path / "out", pixels(2))
    assert not (tmp_path / "out").exists()
    assert not list(isolated.rglob("*.mjs"))


def test_npm_that_fails_is_quoted(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_npm(tmp_path, "echo 'npm error network is down' >&2; exit 1", monkeypatch)
    with pytest.raises(BundleError, match=r"can't fetch .* \(npm error network is down\)"):
        convert(bundle, "web", tmp_path / "out", pixels(2))
    assert not (tmp_path / "out").exists()


def picture(seed: int, mode: str = "RGB") -> bytes:
    size = (40, 25, 4) if mode == "RGBA" else (40, 25, 3)
    noise = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def site(bundle: Bundle, served: tuple[Path, str]) -> str:
    """The address of an exported page; fetches the library by npm once per test run."""
    folder, address = served
    folder.rmdir()
    convert(bundle, "web", folder, pixels(20))
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    assert about["parity"]["n"] == 20
    assert about["converter"] == f"onnxruntime-web {web.VERSION}"
    return address


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1100, "light"), (1100, "dark"), (360, "light")])
def test_the_page_answers_as_the_bundle_does(
    browser: Any, site: str, bundle: Bundle, tmp_path: Path, width: int, scheme: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, accept_downloads=True
    )
    page, told, asked = context.new_page(), [], []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{site}/index.html")
    page.wait_for_selector("#files:enabled", state="attached")
    assert "3 classes" in page.inner_text("#about")
    files = {f"{k} name.png": picture(k) for k in range(3)}
    files |= {"=1+1.png": picture(3), "broken.png": b"no image"}
    given = [
        {"name": name, "mimeType": "image/png", "buffer": content}
        for name, content in files.items()
    ]
    page.set_input_files("#files", given)
    page.locator("#status", has_text="broken.png: not an image").wait_for()
    cards = page.locator("#answers > li")
    assert cards.count() == 4  # one good picture is never lost for a bad one
    for name in list(files)[:3]:
        (tmp_path / name).write_bytes(files[name])
    expected = load(bundle.path).predict([tmp_path / name for name in list(files)[:3]])
    for prediction in expected:
        card = cards.filter(has_text=Path(prediction.file or "").name)
        assert card.locator("h2").inner_text() == prediction.label
        shares = card.locator("td.n").all_inner_texts()
        assert float(shares[0].split()[0]) == pytest.approx(100 * prediction.probability, abs=0.5)
    # Held back by the promise of the bundle, above a probability of 0.5.
    page.select_option("#sure", "0")
    for prediction in expected:
        shown = cards.filter(has_text=Path(prediction.file or "").name).locator("h2").inner_text()
        assert shown == (prediction.label if prediction.probability > 0.5 else "unsure")
    with page.expect_download() as download:
        page.click("#csv")
    rows = Path(download.value.path()).read_text(encoding="utf-8").splitlines()
    assert len(rows) == 5
    assert any(row.startswith('"\'=1+1.png"') for row in rows)  # no formula to a spreadsheet
    assert rows[0].startswith('"file","label"')
    assert all(url.startswith((site, "blob:", "data:")) for url in asked)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    found = Axe().run(page).response["violations"]
    assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
    assert told == []
    context.close()


@pytest.mark.slow
def test_dropped_and_by_keyboard(browser: Any, site: str, bundle: Bundle) -> None:
    page = browser.new_page()
    page.goto(f"{site}/index.html")
    page.wait_for_selector("#files:enabled", state="attached")
    page.evaluate(
        """async (content) => {
             const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
             const transfer = new DataTransfer();
             transfer.items.add(new File([bytes], "dropped.png", { type: "image/png" }));
             const event = new DragEvent("drop", { dataTransfer: transfer, cancelable: true });
             dispatchEvent(event);
           }""",
        base64.b64encode(picture(9)).decode(),
    )
    page.wait_for_selector("#answers h2")
    fitted = fit_image(Image.open(io.BytesIO(picture(9))), SIZE, "crop")
    answers = onnx_engine(bundle.onnx.read_bytes(), "model.onnx")(fitted[None])
    assert page.inner_text("#answers h2") == CLASSES[answers.probabilities[0].argmax()]
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "files"
    for expected in ("sure", "csv", "clear"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == expected
    page.keyboard.press("Enter")
    assert page.locator("#answers > li").count() == 0
    page.close()
