"""Images of several requests computed together: a bounded queue, and what empties it."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from clearsight.bundle.engines import Answers, Run


class FullError(Exception):
    """The queue has no room for the images of a request."""


class Batcher:
    """Takes what waits, up to `most` images, and gives it to `run`; then what came meanwhile.

    At most `room` images wait. `observe` is called with the number of images of each batch.
    """

    def __init__(
        self, run: Run, *, most: int, room: int, observe: Callable[[int], object] = lambda n: None
    ) -> None:
        self._run, self._most, self._room, self._observe = run, most, room, observe
        self._waiting: asyncio.Queue[tuple[np.ndarray, asyncio.Future[Answers]]] = asyncio.Queue()

    @property
    def waiting(self) -> int:
        """Images in the queue."""
        return self._waiting.qsize()

    async def answers(self, images: Sequence[np.ndarray]) -> list[Answers]:
        """What the engine says of each image uint8 [S, S, 3]: [K], [D], and a number.

        Raises `FullError` where they don't all find room, and whatever the engine raises.
        """
        if self.waiting + len(images) > self._room:
            raise FullError
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in images]
        for image, future in zip(images, futures, strict=True):
            self._waiting.put_nowait((image, future))
        return await asyncio.gather(*futures)

    async def work(self) -> None:
        """Answers until it is cancelled."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, "engine") as engine:
            while True:
                taken = [await self._waiting.get()]
                while len(taken) < self._most and not self._waiting.empty():
                    taken.append(self._waiting.get_nowait())
                # A request that ran out of time has cancelled its own.
                taken = [(image, future) for image, future in taken if not future.done()]
                if not taken:
                    continue
                self._observe(len(taken))
                pixels = [image for image, _ in taken]
                try:
                    found = await loop.run_in_executor(engine, self._compute, pixels)
                except Exception as error:  # of the engine; it belongs to those who asked
                    for _, future in taken:
                        if not future.done():
                            future.set_exception(error)
                    continue
                for (_, future), one in zip(taken, found, strict=True):
                    if not future.done():
                        future.set_result(one)

    def _compute(self, pixels: Sequence[np.ndarray]) -> list[Answers]:
        found = self._run(np.stack(pixels))
        named = {name: part for name, part in found._asdict().items() if part is not None}
        return [
            Answers(**{name: part[row] for name, part in named.items()})
            for row in range(len(pixels))
        ]
