import threading
import time
from collections.abc import Callable

import pytest

from clearsight.runtime.patience import SilenceError, with_patience


def test_gives_what_the_work_returns_and_raises_what_it_raises() -> None:
    assert with_patience(lambda _: 3, 5) == 3
    with pytest.raises(TimeoutError, match="its own"):
        with_patience(lambda _: _raise(TimeoutError("its own")), 5)


def test_silence_ends_the_wait_and_signs_of_life_prolong_it() -> None:
    never = threading.Event()
    with pytest.raises(SilenceError, match=r"no answer in 0\.05 seconds"):
        with_patience(lambda _: never.wait(), 0.05)

    def slow(hear: Callable[[], None]) -> str:
        for _ in range(6):
            time.sleep(0.2)
            hear()
        return "done"

    assert with_patience(slow, 1) == "done"
    never.set()


def _raise(error: Exception) -> None:
    raise error
