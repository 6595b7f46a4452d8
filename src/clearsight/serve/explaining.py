"""Heatmaps for the service: torch is loaded at the first, and computes one at a time."""

import asyncio
import io
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
from PIL import Image

from clearsight.bundle.format import Bundle

if TYPE_CHECKING:
    from clearsight.models.classifier import Classifier

Drawn = Literal["overlay", "layer"]
Form = Literal["overlay", "layer", "map"]
T = TypeVar("T")
WAITING = 8  # heatmaps, that at work included


class BusyError(Exception):
    """Enough heatmaps are waited for."""


class Heatmaps:
    """Evidence for a class in an image, by the torch model of a bundle."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle, self._waiting = bundle, 0
        self._pool = ThreadPoolExecutor(1, "heatmaps")
        self._model: Callable[[], Classifier] = cache(bundle.classifier)

    async def methods(self) -> dict[str, str]:
        """Titles of the methods, by name. Raises `BusyError`."""
        return await self._later(_methods)

    async def heatmap(self, image: np.ndarray, target: int, method: str) -> np.ndarray:
        """What speaks for class `target`, float32 [S, S], 0–1, in an image uint8 [S, S, 3].

        Raises `BusyError`, and `UsageError` for an unknown method or a model it can't explain.
        """
        return await self._later(lambda: self._heatmap(image, target, method))

    async def picture(self, image: np.ndarray, target: int, method: str, form: Drawn) -> bytes:
        """`heatmap` drawn, as a PNG file; see `drawn`."""
        return await self._later(lambda: drawn(image, self._heatmap(image, target, method), form))

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _heatmap(self, image: np.ndarray, target: int, method: str) -> np.ndarray:
        from clearsight.explanation.heatmaps import heatmaps
        from clearsight.explanation.methods import check_method, explainer

        check_method(method)
        explain = explainer(self._model(), image.shape, method=method)
        (found,) = heatmaps(explain(image[None], np.array([target]))).cpu().numpy()
        return found

    async def _later(self, work: Callable[[], T]) -> T:
        if self._waiting >= WAITING:
            raise BusyError
        self._waiting += 1
        # Counted until the work ends, which may be after the request has run out of time.
        future = self._pool.submit(work)
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda done: loop.call_soon_threadsafe(self._done, done))
        return await asyncio.wrap_future(future)

    def _done(self, _: "Future[object]") -> None:
        self._waiting -= 1


def drawn(image: np.ndarray, found: np.ndarray, form: Drawn) -> bytes:
    """A heatmap float32 [S, S], 0–1, as PNG of the image's size.

    `overlay`: over the image in grey; `layer`: alone, to be laid over the image.
    """
    from matplotlib import colormaps

    from clearsight.figures.heatmaps import CAM_COLOURS, overlaid

    colours = overlaid(image, found) if form == "overlay" else colormaps[CAM_COLOURS](found)
    return as_png((255 * colours[..., :3]).round().astype(np.uint8))


def as_png(pixels: np.ndarray) -> bytes:
    """uint8 [H, W, 3] as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _methods() -> dict[str, str]:
    from clearsight.explanation.methods import METHODS

    return {name: method.title for name, method in METHODS.items()}
