"""Places in the documents that are filled in, never typed.

A number comes from the ledger, a reference from the code:

    <!-- results:NAME:accuracy -->94.06 ± 0.11 %<!-- /results -->
    <!-- generated:configuration -->…<!-- /generated -->

`NAME` is an entry of the ledger, or several with commas between, or `*` for all recorded runs; what
comes after the second colon is one of `FIELDS`. A benchmark's entry has its `table` ready.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from types import MappingProxyType
from typing import Any

from clearsight.errors import UsageError
from clearsight.files import write_text
from clearsight.ledger import RESULTS, read_entries

Generators = Mapping[str, Callable[[], str]]
NO_GENERATORS: Generators = MappingProxyType({})
Entry = Mapping[str, Any]

_COMMENT = re.compile(r"<!--(.*?)-->", re.DOTALL)
_MARKER = re.compile(r"\s*(?:/|\w[\w-]*:)")  # any other comment is a remark
_OPENING = re.compile(r" (results):([^:\s]+):([\w-]+) | (generated):([\w-]+) ")
_CLOSING = re.compile(r" /(results|generated) ")
_FORM = (
    "expected <!-- results:NAME:FIELD -->…<!-- /results -->, "
    "<!-- generated:NAME -->…<!-- /generated --> or <!-- example: … -->"
)
_TTA = {"none": "no", "flip": "mirrored", "flip+shift": "mirrored and shifted"}


@dataclass(frozen=True)
class Place:
    """What stands between two markers: `text[start:end]`; `field` is empty where generated."""

    kind: str
    name: str
    field: str
    line: int
    start: int
    end: int


def find_places(text: str) -> tuple[list[Place], list[tuple[int, str]]]:
    """(places in their order, (line, problem) of every marker that opens or closes none)."""
    places: list[Place] = []
    problems: list[tuple[int, str]] = []
    opened: Place | None = None
    for comment in _COMMENT.finditer(text):
        line = text.count("\n", 0, comment.start()) + 1
        opening, closing = _OPENING.fullmatch(comment[1]), _CLOSING.fullmatch(comment[1])
        if opening:
            if opened:
                problems.append((line, f"marker inside the place that line {opened.line} opens"))
            kind, name, field = opening[1] or opening[4], opening[2] or opening[5], opening[3] or ""
            opened = Place(kind, name, field, line, comment.end(), comment.end())
        elif closing:
            if opened and opened.kind == closing[1]:
                places.append(replace(opened, end=comment.start()))
            else:
                wanted = f"line {opened.line} opens {opened.kind}" if opened else "none is open"
                problems.append((line, f"marker /{closing[1]} closes no place: {wanted}"))
            opened = None
        elif _MARKER.match(comment[1]) and not comment[1].startswith(" example: "):
            problems.append((line, f"marker {comment[0]}: {_FORM}"))
    if opened:
        problems.append((opened.line, f"marker {opened.kind}:{opened.name} is never closed"))
    return places, problems


def render(text: str, results: Path = RESULTS, generators: Generators = NO_GENERATORS) -> str:
    """`text` with every place filled, from the ledger in the folder `results` or by a generator.

    Raises `UsageError` for a marker without its other half, an unknown entry, field or generator.
    """
    places, problems = find_places(text)
    if problems:
        line, problem = problems[0]
        raise UsageError(f"line {line}: {problem}")
    content = _content(results, generators)
    return _filled(text, [(place, content(place)) for place in places])


def render_files(
    paths: Sequence[Path], results: Path = RESULTS, generators: Generators = NO_GENERATORS
) -> list[Path]:
    """Fills the places of Markdown files; returns the files that changed."""
    changed = []
    for path in paths:
        before = read_page(path)
        try:
            after = render(before, results, generators)
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from error
        if after != before:
            write_text(path, after)
            changed.append(path)
    return changed


def check_places(
    paths: Sequence[Path], results: Path = RESULTS, generators: Generators = NO_GENERATORS
) -> list[str]:
    """Markers that are wrong, and in a file without such the first line that differs from its due.

    Each problem is a sentence that begins with file and line.
    """
    content = _content(results, generators)
    found = []
    for path in paths:
        before = read_page(path)
        places, problems = find_places(before)
        due = []
        for place in places:
            try:
                due.append((place, content(place)))
            except UsageError as error:
                problems.append((place.line, str(error)))
        found += [f"{path}:{line}: {problem}" for line, problem in sorted(problems)]
        after = _filled(before, due)
        if problems or after == before:
            continue
        lines = enumerate(zip_longest(before.splitlines(), after.splitlines(), fillvalue=""), 1)
        number, (old, new) = next((n, pair) for n, pair in lines if pair[0] != pair[1])
        found.append(
            f"{path}:{number}: found {old.strip()!r}, due is {new.strip()!r}; "
            "run `python -m tools.docs render`"
        )
    return found


def blanked(text: str) -> str:
    """`text` with spaces in its places, line breaks kept."""
    return _filled(
        text,
        [(p, re.sub(r"[^\n]", " ", text[p.start : p.end])) for p in find_places(text)[0]],
    )


def read_page(path: Path) -> str:
    """The text of a Markdown file. Raises `UsageError` where it can't be read."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: can't be read ({error.strerror}); check the name") from error


def results_table(entries: Sequence[Entry]) -> str:
    """Markdown: a row per entry of the ledger."""
    head = ("result", "data", "test accuracy", "95 % interval", "test-time views", "one view", "n",
            "seeds", "training", "hardware", "date")  # fmt: skip
    rows = [
        (e["name"], e["data"], accuracy_text(e), interval_text(e), _TTA[e["tta"]],
         accuracy_text(e, "none"), f"{e['n']:,}", str(len(e["runs"])), _minutes(e), _hardware(e),
         e["recorded"])
        for e in entries
    ]  # fmt: skip
    return "\n" + table(head, rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, each line ended."""
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _content(results: Path, generators: Generators) -> Callable[[Place], str]:
    """A function that gives what is due in a place. It raises `UsageError` for unknown names."""
    entries = read_entries(results)
    benchmarks = read_entries(results, "benchmark")

    def content(place: Place) -> str:
        name, field = place.name, place.field
        if place.kind == "generated":
            if name not in generators:
                known = ", ".join(generators) or "none"
                raise UsageError(f"generated part {name!r}: no such part; there are {known}")
            return f"\n{generators[name]()}\n"
        _known(field)
        if name not in benchmarks:
            return _FIELDS[field](_named(name, entries, results))
        if field not in _OF_BENCHMARKS:
            raise UsageError(
                f"results entry {name!r}: a benchmark has no {field}, expected one of "
                f"{', '.join(_OF_BENCHMARKS)}"
            )
        return _OF_BENCHMARKS[field](benchmarks[name])

    return content


def _filled(text: str, contents: Sequence[tuple[Place, str]]) -> str:
    for place, content in reversed(contents):
        text = text[: place.start] + content + text[place.end :]
    return text


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
