import pytest

from clearsight.wording import clock, duration, percent


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (65.4, "1:05"), (3600, "1:00:00"), (-2, "0:00")]
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(7.5, "7.5 s"), (59.99, "60 s"), (200.4, "3 min 20 s"), (3599.6, "1 h 00 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_percent() -> None:
    assert percent(0.94061) == "94.06 %"
    assert percent(0.5, 0) == "50 %"
    assert percent(None) == "–"
