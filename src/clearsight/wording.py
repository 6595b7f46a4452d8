"""Numbers as screen, report and messages word them."""

import re
from collections.abc import Mapping, Sequence


def percent(fraction: float | None, digits: int = 2) -> str:
    """`94.06 %`, or a dash where there is none."""
    return "–" if fraction is None else f"{100 * fraction:.{digits}f} %"


def interval(accuracy: Mapping[str, float] | None) -> str:
    """`93.58–94.51 %`, or a dash where there is none."""
    return "–" if not accuracy else f"{100 * accuracy['low']:.2f}–{percent(accuracy['high'])}"


def counted(number: int, thing: str) -> str:
    """`1 row`, `1,200 rows`."""
    return f"{number:,} {thing}{'s' * (number != 1)}"


def duration(seconds: float) -> str:
    """`7.5 s`, `3 min 20 s` or `1 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def clock(seconds: float) -> str:
    """A duration that changes as one looks, in a fixed form: `m:ss`, from an hour on `h:mm:ss`."""
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def are_numbers(cells: Sequence[str]) -> bool:
    """Whether a column is of numbers, or of two with a dash or "to" between, and of dashes."""
    number = r"[+−-]?\d[\d,.:]*(e[+-]\d+)?"
    some = [cell for cell in cells if cell != "–"]
    return bool(some) and all(
        re.fullmatch(rf"{number}((–| to ){number})?( ?%| MiB)?", cell) for cell in some
    )
