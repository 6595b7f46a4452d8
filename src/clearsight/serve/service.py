"""A loaded bundle at work for requests: reads their images, computes, and says what is found."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import numpy as np
from fastapi import Request

from clearsight.bundle.engines import Answers, batch_size, cores
from clearsight.bundle.predict import Asked, Predictor
from clearsight.errors import DataError
from clearsight.serve.batching import Batcher, FullError
from clearsight.serve.explaining import Heatmaps
from clearsight.serve.metrics import Metrics
from clearsight.serve.problems import ProblemError, overloaded
from clearsight.serve.settings import Settings
from clearsight.serve.uploads import Upload, fitted, uploads


class Seen(NamedTuple):
    """An image of a request: its pixels as the model gets them, or why it can't be used."""

    upload: Upload
    pixels: np.ndarray | None
    error: str | None


class Service:
    """What the routes share."""

    def __init__(self, predictor: Predictor, settings: Settings) -> None:
        self.bundle, self.settings, self.metrics = predictor.bundle, settings, Metrics()
        self.heatmaps = Heatmaps(self.bundle)
        self.ready = False
        self._decoders = ThreadPoolExecutor(cores(), "decoder")
        self._batcher = Batcher(
            predictor.run, most=batch_size(self.bundle.size), room=settings.queue,
            observe=self.metrics.batches.observe,
        )  # fmt: skip
        self.metrics.watch(lambda: self._batcher.waiting)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Answers requests inside the block, from when the model has computed one image."""
        worker = asyncio.create_task(self._batcher.work())
        size = self.bundle.size
        await self._batcher.answers([np.zeros((size, size, 3), np.uint8)])
        self.ready = True
        try:
            yield
        finally:
            self.ready = False
            worker.cancel()
            with suppress(asyncio.CancelledError):
                await worker
            self._decoders.shutdown(cancel_futures=True)
            self.heatmaps.close()

    @asynccontextmanager
    async def in_time(self) -> AsyncGenerator[None]:
        """Lasts as long as a request may take. Raises `ProblemError` when that is over."""
        try:
            async with asyncio.timeout(self.settings.seconds):
                yield
        except TimeoutError as error:
            raise overloaded(
                f"not done within {self.settings.seconds:g} seconds; try again, or with less"
            ) from error

    async def seen(self, request: Request) -> list[Seen]:
        """The images of a request. Raises `ProblemError` where the request or all are no use."""
        given = await uploads(request, self.settings)
        found = await asyncio.gather(*(self._seen(upload) for upload in given))
        failures = [each.error for each in found if each.error]
        self.metrics.unusable.inc(len(failures))
        if len(failures) == len(found):
            rest = f" (and {len(found) - 1:,} more that can't be used)" if len(found) > 1 else ""
            raise ProblemError(422, f"{given[0].name or 'image'}: {failures[0]}{rest}")
        return found

    async def one(self, request: Request) -> tuple[Upload, np.ndarray]:
        """The only image of a request. Raises `ProblemError` for several."""
        found = await self.seen(request)
        if len(found) > 1:
            raise ProblemError(400, f"body: has {len(found):,} images; send one")
        assert found[0].pixels is not None
        return found[0].upload, found[0].pixels

    async def answers(self, images: Sequence[Seen]) -> list[tuple[Seen, Answers | None]]:
        """What the engine says of each image, None of those that can't be used."""
        usable = [each.pixels for each in images if each.pixels is not None]
        try:
            found = iter(await self._batcher.answers(usable))
        except FullError:
            raise overloaded("the queue of images is full; try again in a second") from None
        return [(each, None if each.pixels is None else next(found)) for each in images]

    def asked(self, sure: float | None, coverage: float | None, *, familiar: bool) -> Asked:
        """The bundle's thresholds. Raises `ProblemError` for a promise that it does not make."""
        promises = self.bundle.calibration or {}
        unlike = promises.get("unlike", {}).get("threshold")
        if familiar and unlike is None:
            raise ProblemError(422, "familiar: this bundle has no threshold for it")
        return Asked(
            _promised("sure", "accuracy", promises.get("sure", ()), sure),
            _promised("coverage", "coverage", promises.get("sets", ()), coverage),
            unlike if familiar else None,
        )

    async def _seen(self, upload: Upload) -> Seen:
        loop = asyncio.get_running_loop()
        try:
            pixels = await loop.run_in_executor(
                self._decoders, fitted, upload, self.bundle, self.settings.megapixels
            )
        except DataError as error:
            return Seen(upload, None, str(error))
        return Seen(upload, pixels, None)


def _promised(
    name: str, key: str, promises: Sequence[dict[str, Any]], value: float | None
) -> float | None:
    """The threshold of the promise `value`, which stands in the bundle under `key`."""
    if value is None:
        return None
    found = {each[key]: each["probability"] for each in promises}
    if value not in found:
        there = ", ".join(f"{each:g}" for each in found) or "none, for it has no calibration"
        raise ProblemError(422, f"{name}: found {value:g}, but this bundle promises {there}")
    return found[value]
