"""The process of a service: it listens, answers, and ends when it is told to."""

import logging
import signal
import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn

from clearsight.bundle.predict import Predictor
from clearsight.errors import UsageError, first_line
from clearsight.serve.app import create_app
from clearsight.serve.settings import Settings

LARGEST_PORT = 65535
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
    listening = _listening(host, port)
    name = f"[{host}]" if ":" in host else host
    say(f"http://{name}:{listening.getsockname()[1]}/")
    # uvicorn handles signals itself, and raises them again when all is done: then there is
    # nothing left to interrupt.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])
    finally:
        signal.signal(signal.SIGTERM, before)


def _listening(host: str, port: int) -> socket.socket:
    if not 0 <= port <= LARGEST_PORT:
        raise UsageError(f"serve: found --port {port}, expected 0 to {LARGEST_PORT}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise UsageError(
            f"serve: can't listen at {host}, port {port} ({first_line(error)}); choose another "
            "--port or --host"
        ) from error
