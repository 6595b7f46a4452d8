import pytest

from clearsight.wording import are_numbers, clock, counted, duration, interval, percent


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


def test_an_interval_has_one_unit() -> None:
    assert interval({"low": 0.93584, "high": 0.9451}) == "93.58–94.51 %"
    assert interval(None) == "–"


def test_count() -> None:
    assert [counted(n, "epoch") for n in (0, 1, 1200)] == ["0 epochs", "1 epoch", "1,200 epochs"]


def test_columns_of_numbers_are_told_from_text() -> None:
    assert are_numbers(["1,234", "5.5 %", "29.69%", "8.00e-03", "1 to 2", "–"])
    assert not are_numbers(["–", "–"])
    assert not are_numbers(["1", "two"])
