"""What a service counts, in Prometheus' text format."""

import time
from collections.abc import Callable, Collection

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MEDIA_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 100)


class Metrics:
    """Counters of one service, apart from those of others in the process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.requests = Counter(
            "clearsight_requests", "Answered requests.", ["path", "status"], registry=self._registry
        )
        self.seconds = Histogram(
            "clearsight_request_seconds", "Time to answer a request.", ["path"],
            buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self.batches = Histogram(
            "clearsight_batch_images", "Images computed at once.",
            buckets=_SIZES, registry=self._registry,
        )  # fmt: skip
        self.unusable = Counter(
            "clearsight_unusable_images", "Images that can't be used.", registry=self._registry
        )
        self._waiting = Gauge(
            "clearsight_waiting_images", "Images that wait for the model.", registry=self._registry
        )

    def watch(self, waiting: Callable[[], float]) -> None:
        """Asks `waiting` for the length of the queue whenever the metrics are read."""
        self._waiting.set_function(waiting)

    def text(self) -> bytes:
        return generate_latest(self._registry)


class Counted:
    """ASGI middleware that counts requests by path, one of `paths` or `other`, and status."""

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: Collection[str]) -> None:
        self._app, self._metrics, self._paths = app, metrics, frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"] if scope["path"] in self._paths else "other"
        start, status = time.perf_counter(), 500

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, counted)
        finally:
            self._metrics.requests.labels(path, status).inc()
            self._metrics.seconds.labels(path).observe(time.perf_counter() - start)
