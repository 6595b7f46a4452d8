"""Waiting for what may fall silent, such as a server."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

Result = TypeVar("Result")


class SilenceError(Exception):
    """Nothing was heard for as long as one is willing to wait."""


def with_patience(work: Callable[[Callable[[], None]], Result], patience: float) -> Result:
    """What `work` returns or raises. It gets a function to call whenever it has come further.

    Raises `SilenceError` where `patience` seconds pass without such a call. `work` runs in a thread
    and is then left to itself: looking a name up knows no time limit, and time-outs of several
    addresses add up.
    """
    future: Future[Result] = Future()
    heard = time.monotonic()

    def hear() -> None:
        nonlocal heard
        heard = time.monotonic()

    def run() -> None:
        try:
            future.set_result(work(hear))
        except Exception as error:  # raised below, in the thread that waits
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    while not wait([future], timeout=max(0.0, heard + patience - time.monotonic())).done:
        if time.monotonic() >= heard + patience:
            raise SilenceError(f"no answer in {patience:g} seconds")
    return future.result()
