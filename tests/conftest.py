"""Shared fixtures: every test has its own cache, no data search path, one thread."""

import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clearsight.data.images import ImageSet, content_ids
from clearsight.data.records import Records
from tests.bundle.stand_in import TOKEN, Hub, running_hub


@pytest.fixture(autouse=True)
def isolated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache and no data search path, so that nothing of the user's is read or written.

    Runs are tracked in one MLflow database per process, for setting one up takes seconds.
    """
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.delenv("CLEARSIGHT_DATA", raising=False)
    database = tmp_path_factory.getbasetemp() / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
    return cache


@pytest.fixture
def images() -> ImageSet:
    """120 images of 3 classes, 32 px, that a small network can tell apart: a bright third each."""
    return make_images(120)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub on this machine that this process asks and that knows its token."""
    from huggingface_hub import constants

    with running_hub() as running:
        template = running.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", running.address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        # Xet has a protocol, and servers, of its own.
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield running


@pytest.fixture(scope="session")
def browser() -> Generator[Any]:
    """Chromium, as Playwright drives it; pages get their own context."""
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        # Without its sandbox, which a container's root user can't have.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


def make_images(n: int, size: int = 32, classes: int = 3, seed: int = 0) -> ImageSet:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 120, (n, size, size, 3), dtype=np.uint8)
    labels = np.arange(n, dtype=np.int64) % classes
    band = size // classes
    for image, label in zip(pixels, labels, strict=True):
        image[label * band : (label + 1) * band] += 120
    return ImageSet(
        images=pixels,
        labels=labels,
        classes=tuple(f"class{k}" for k in range(classes)),
        ids=content_ids(pixels),
        parts=np.full(n, "", dtype="U10"),
        name="bands",
    )


def stacked(records: Records) -> np.ndarray:
    """The pixels of records that hold arrays of one shape, in one array."""
    return np.stack([np.asarray(image) for image in records.images])


def fill(folder: Path, *names: str) -> None:
    """Small images of those names in `folder`, each of another grey."""
    for value, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), value).save(path)
