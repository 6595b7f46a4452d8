"""Percentages that are typed: each is listed with its source in `docs/numbers.toml`.

    [[number]]
    text = "reached 48.9 %"            # as it stands in the page, over line breaks too
    files = ["README.md"]              # where it stands; without it: anywhere
    source = "the course project's own notebook"

Instead of `source`, `ledger = "NAME"` names an entry that must hold each percentage of the text.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from clearsight.files import read_json
from clearsight.ledger import RESULTS
from tools.docs.markdown import parse_page
from tools.docs.markers import blanked, read_page

LIST = Path("docs/numbers.toml")
_ONE = r"\d[\d,]*(?:\.\d+)?"
# The numbers before "to", "–" or "±" are percentages as well.
_PERCENTAGES = re.compile(rf"(?:{_ONE}\s*(?:–|-|±|to|and)\s*)*{_ONE}\s?%")
_READ_IN_FULL = ("text", "")  # of fenced blocks; in code a percent sign is an operator


def check_numbers(
    paths: Sequence[Path], *, results: Path = RESULTS, root: Path = Path()
) -> list[str]:
    """Typed percentages without a source in pages and TOML comments; sources that are wrong."""
    listed, problems = _read_list(root / LIST)
    used: dict[str, Mapping[str, Any]] = {}
    for path in paths:
        page = read_page(path)
        text = _comments(page) if path.suffix == ".toml" else _prose(page)
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
        for number in listed:
            if name not in number.get("files", [name]):
                continue
            words = [re.escape(word) for word in number["text"].split()]
            phrase = r"(?<![\d.,])" + r"\s+".join(words)
            text, found = re.subn(phrase, _blank, text)
            if found:
                used[number["text"]] = number
            elif "files" in number:
                problems.append(
                    f"{root / LIST}: {number['text']!r}: not found in {name}; correct the list"
                )
        for match in _PERCENTAGES.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            problems.append(
                f"{path}:{line}: the number {' '.join(match[0].split())} is typed; render it from "
                f"the ledger between markers, or list it with its source in {LIST}"
            )
    for text, number in used.items():
        problem = _source_problem(number, results)
        if problem:
            problems.append(f"{root / LIST}: {text!r}: {problem}")
    return problems


def _read_list(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """(entries that have a text, problems of the others)."""
    if not path.is_file():
        return [], []
    numbers = tomllib.loads(path.read_text(encoding="utf-8")).get("number", [])
    good = [n for n in numbers if _PERCENTAGES.search(str(n.get("text")))]
    bad = [n for n in numbers if n not in good]
    return good, [f"{path}: {n.get('text')!r}: expected a text with a percentage" for n in bad]


def _source_problem(number: Mapping[str, Any], results: Path) -> str | None:
    unknown = number.keys() - {"text", "files", "source", "ledger"}
    if unknown:
        return f"unknown key {min(unknown)!r}"
    if ("source" in number) == ("ledger" in number):
        return "expected either a source or an entry of the ledger"
    if "source" in number:
        return None if str(number["source"]).strip() else "the source is empty"
    path = results / f"{number['ledger']}.json"
    if not path.is_file():
        return f"the ledger has no entry {number['ledger']!r}"
    entry = read_json(path)
    for match in _PERCENTAGES.finditer(number["text"]):
        for one in re.findall(_ONE, match[0]):
            if not any(_says(value, one) for value in _leaves(entry)):
                return f"{path} does not hold {one} %"
    return None


def _says(value: Any, number: str) -> bool:
    """Whether a value of the ledger, a fraction or a text, reads `number` in percent."""
    if isinstance(value, str):
        return number in re.findall(_ONE, value)
    digits = len(number.partition(".")[2])
    return isinstance(value, float) and f"{100 * value:.{digits}f}" == number


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _leaves(inner)
    else:
        yield value


def _prose(page: str) -> str:
    """A page without what markers fill in and without code; lines keep their numbers."""
    lines = blanked(page).split("\n")
    for block in parse_page(page).blocks:
        if block.language not in _READ_IN_FULL:
            end = block.line - 1 + block.text.count("\n") + 1
            lines[block.line - 1 : end] = [""] * (end - block.line + 1)
    return "\n".join(lines)


def _comments(text: str) -> str:
    """The comments of a TOML file; lines keep their numbers."""
    found = (re.search(r"(?:^|\s)#(.*)", line) for line in text.split("\n"))
    return "\n".join(match[1] if match else "" for match in found)


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])
