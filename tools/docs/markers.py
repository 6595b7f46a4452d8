"""Places in the documents that are filled in, never typed.

A number comes from the ledger, a reference from the code:

    <!-- results:NAME:accuracy -->94.06 ± 0.11 %<!-- /results -->
    <!-- generated:configuration -->…<!-- /generated -->

`NAME` is an entry of the ledger, or several with commas between, or `*` for all recorded runs; what
comes after the second colon is one of `FIELDS`. A benchmark's entry has its `table` ready.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from types import MappingProxyType
from typing import Any

from clearsight.errors import ClearsightError, UsageError
from clearsight.files import write_text
from clearsight.ledger import RESULTS, read_entries

Generators = Mapping[str, Callable[[], str]]
NO_GENERATORS: Generators = MappingProxyType({})
Entry = Mapping[str, Any]

_PLACE = re.compile(r"(<!-- results:([^:\s]+):([\w-]+) -->)(.*?)(<!-- /results -->)", re.DOTALL)
_GENERATED = re.compile(r"(<!-- generated:([\w-]+) -->)(.*?)(<!-- /generated -->)", re.DOTALL)
_OPENING = re.compile(r"<!-- (?:results|generated):")
_TTA = {"none": "no", "flip": "mirrored", "flip+shift": "mirrored and shifted"}


def render(text: str, results: Path = RESULTS, generators: Generators = NO_GENERATORS) -> str:
    """`text` with every place filled, from the ledger in the folder `results` or by a generator.

    Raises `UsageError` for a marker without its end, an unknown entry, field or generator.
    """
    entries = read_entries(results)
    benchmarks = read_entries(results, "benchmark")

    def fill(place: re.Match[str]) -> str:
        opening, names, field, _, closing = place.groups()
        _known(field)
        if names in benchmarks:
            if field not in _OF_BENCHMARKS:
                raise UsageError(
                    f"results entry {names!r}: a benchmark has no {field}, expected one of "
                    f"{', '.join(_OF_BENCHMARKS)}"
                )
            return opening + _OF_BENCHMARKS[field](benchmarks[names]) + closing
        return opening + _FIELDS[field](_named(names, entries, results)) + closing

    def generate(place: re.Match[str]) -> str:
        opening, name, _, closing = place.groups()
        if name not in generators:
            known = ", ".join(generators) or "none"
            raise UsageError(f"generated part {name!r}: no such part; there are {known}")
        return f"{opening}\n{generators[name]()}\n{closing}"

    places = len(_PLACE.findall(text)) + len(_GENERATED.findall(text))
    if places < len(_OPENING.findall(text)):
        raise UsageError(
            "found a marker that is not written as "
            "<!-- results:NAME:FIELD -->…<!-- /results --> or "
            "<!-- generated:NAME -->…<!-- /generated -->; mend it"
        )
    return _GENERATED.sub(generate, _PLACE.sub(fill, text))


def render_files(
    paths: Sequence[Path], results: Path = RESULTS, generators: Generators = NO_GENERATORS
) -> list[Path]:
    """Fills the places of Markdown files; returns the files that changed."""
    changed = []
    for path in paths:
        before, after = _both(path, results, generators)
        if after != before:
            write_text(path, after)
            changed.append(path)
    return changed


def check_places(
    paths: Sequence[Path], results: Path = RESULTS, generators: Generators = NO_GENERATORS
) -> list[str]:
    """A sentence per file whose places differ from their source, with the first such line."""
    problems = []
    for path in paths:
        before, after = _both(path, results, generators)
        if after == before:
            continue
        lines = enumerate(zip_longest(before.splitlines(), after.splitlines(), fillvalue=""), 1)
        number, (found, due) = next((n, pair) for n, pair in lines if pair[0] != pair[1])
        problems.append(
            f"{path}:{number}: found {found.strip()!r}, due is {due.strip()!r}; "
            "run `python -m tools.docs render`"
        )
    return problems


def read_page(path: Path) -> str:
    """The text of a Markdown file. Raises `UsageError` where it can't be read."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: can't be read ({error.strerror}); check the name") from error


def results_table(entries: Sequence[Entry]) -> str:
    """Markdown: a row per entry of the ledger."""
    head = ("result", "data", "test accuracy", "95 % interval", "n", "seeds", "test-time views",
            "training", "hardware", "date")  # fmt: skip
    rows = [
        (e["name"], e["data"], accuracy_text(e), interval_text(e), f"{e['n']:,}",
         str(len(e["runs"])), _TTA[e["tta"]], _minutes(e), _hardware(e), e["recorded"])
        for e in entries
    ]  # fmt: skip
    return "\n" + table(head, rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, each line ended."""
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _both(path: Path, results: Path, generators: Generators) -> tuple[str, str]:
    """(the file as it is, as it should be)."""
    before = read_page(path)
    try:
        return before, render(before, results, generators)
    except ClearsightError as error:
        raise UsageError(f"{path}: {error}") from error


def _known(field: str) -> None:
    if field not in _FIELDS:
        raise UsageError(f"results field {field!r}: expected one of {', '.join(_FIELDS)}")


def _named(names: str, entries: Mapping[str, Entry], results: Path) -> list[Entry]:
    if names == "*":
        return list(entries.values())
    for name in names.split(","):
        if name not in entries:
            raise UsageError(
                f"results entry {name!r}: not in {results}, which has "
                f"{', '.join(entries) or 'none'}; record it with `clearsight record`"
            )
    return [entries[name] for name in names.split(",")]


def accuracy_text(entry: Entry, tta: str | None = None) -> str:
    """Mean ± standard deviation of the seeds, or a single run's value; `tta`: which views."""
    tta = entry["tta"] if tta is None else tta
    if tta not in entry["accuracy"]:
        raise UsageError(f"results entry {entry['name']!r}: has no accuracy with {tta!r} views")
    values = entry["accuracy"][tta]
    deviation = f" ± {values['sd']:.2%}".rstrip("%") if "sd" in values else ""
    return f"{values['mean']:.2%}".rstrip("%") + deviation + " %"


def interval_text(entry: Entry) -> str:
    """The 95 % interval of the accuracy; over several runs, from the lowest to the highest."""
    runs = [run["accuracy"][entry["tta"]] for run in entry["runs"]]
    low, high = min(run["low"] for run in runs), max(run["high"] for run in runs)
    return f"{100 * low:.2f}–{100 * high:.2f} %"


def _minutes(entry: Entry) -> str:
    seconds = entry["seconds"]["mean"]
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def _hardware(entry: Entry) -> str:
    machine = entry["hardware"] if "hardware" in entry else entry["environment"]
    device = f"{machine['cores']} cores" if machine["device"] == "cpu" else machine["device"]
    return f"{device} ({machine['cpu']}, {machine['precision']})"


def _each(one: Callable[[Entry], str]) -> Callable[[Sequence[Entry]], str]:
    return lambda entries: ", ".join(one(entry) for entry in entries)


_FIELDS: dict[str, Callable[[Sequence[Entry]], str]] = {
    "accuracy": _each(accuracy_text),
    "accuracy-without-tta": _each(lambda entry: accuracy_text(entry, "none")),
    "interval": _each(interval_text),
    "n": _each(lambda entry: f"{entry['n']:,}"),
    "seeds": _each(lambda entry: str(len(entry["runs"]))),
    "time": _each(_minutes),
    "hardware": _each(_hardware),
    "date": _each(lambda entry: entry["recorded"]),
    "table": results_table,
}
FIELDS = tuple(_FIELDS)
_OF_BENCHMARKS: dict[str, Callable[[Entry], str]] = {
    "hardware": _hardware,
    "date": lambda entry: entry["recorded"],
    "table": lambda entry: "\n" + table(entry["table"]["head"], entry["table"]["rows"]),
}
