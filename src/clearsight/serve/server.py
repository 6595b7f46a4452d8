"""The process of a service: it listens, answers, and ends when it is told to."""

import logging
import signal
from collections.abc import Callable
from contextlib import suppress

import uvicorn

from clearsight.bundle.predict import Predictor
from clearsight.errors import UsageError
from clearsight.serve.app import create_app
from clearsight.serve.settings import Settings

IDLE = 15  # seconds that a connection may stay open without a request


def serve(
    predictor: Predictor, settings: Settings, host: str, port: int, say: Callable[[str], None]
) -> None:
    """Serves until SIGTERM or Ctrl-C, then finishes what is in flight and returns.

    `port` 0 takes a free one; `say` is told the address. Raises `UsageError` where it is taken.
    """
    # It warns of every malformed body, which the answer says already.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    config = uvicorn.Config(
        create_app(predictor, settings), host=host, port=port, log_level="warning",
        access_log=False, server_header=False, date_header=False, ws="none", lifespan="on",
        timeout_keep_alive=IDLE, timeout_graceful_shutdown=int(settings.seconds) + 1,
    )  # fmt: skip
    try:
        sockets = [config.bind_socket()]
    except SystemExit:  # uvicorn has logged why
        raise UsageError(
            f"serve: can't listen at {host}, port {port}; choose another --port"
        ) from None
    name = f"[{host}]" if ":" in host else host
    say(f"http://{name}:{sockets[0].getsockname()[1]}/")
    # uvicorn handles signals itself, and raises them again when all is done: then there is
    # nothing left to interrupt.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=sockets)
    finally:
        signal.signal(signal.SIGTERM, before)
