"""What has drifted: numbers, recipes, figures, commands and links that are no longer true.

Every problem is one sentence that begins with file and line.
"""

import hashlib
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

from clearsight.ledger import RESULTS, read_entries, shipped_hash
from tools.docs.charts import FOLDER, check_charts
from tools.docs.markdown import CODE, anchors, links, shell_commands, split_page
from tools.docs.markers import NO_GENERATORS, Generators, check_places, read_page

CommandCheck = Callable[[Sequence[str], bool], str | None]

_REPOSITORY = re.compile(r"(?:src|tests|docs|results|benchmarks|notebooks|\.ci)/[\w./-]*")
_TARGET = re.compile(r"\bmake ([a-z][a-z-]*)")
_ENDS = {"|", "||", "&&", ";", ">", ">>", "<", "2>"}


def check_documents(
    paths: Sequence[Path],
    *,
    results: Path = RESULTS,
    root: Path = Path(),
    generators: Generators = NO_GENERATORS,
    command_problem: CommandCheck,
) -> list[str]:
    """Every problem of Markdown files, in the order of the kinds below; empty where all is true.

    `root` is the repository's folder, where `make` runs; `command_problem` says what is wrong with
    the words after `clearsight`, the second argument being whether they are a whole command.
    """
    problems = check_places(paths, results, generators) + check_recipes(results)
    problems += check_charts(paths, results)
    for path in paths:
        page = read_page(path)
        problems += check_figures(path, page, results)
        problems += check_commands(path, page, command_problem)
        problems += check_targets(path, page, root)
        problems += check_links(path, page, root)
    return problems


def check_recipes(results: Path = RESULTS) -> list[str]:
    """Entries of a shipped recipe that has another hash by now."""
    problems = []
    for name, entry in read_entries(results).items():
        now = shipped_hash(entry["recipe"])
        if entry.get("shipped_recipe") and entry["recipe_hash"] != now:
            path = results / f"{name}.json"
            lines = path.read_text(encoding="utf-8").splitlines()
            line = next(n for n, text in enumerate(lines, 1) if '"recipe_hash"' in text)
            state = f"has the hash {now} now" if now else "is no longer shipped"
            problems.append(
                f"{path}:{line}: the recipe {entry['recipe']!r} {state}; "
                "run it again and record that, or take the entry out"
            )
    return problems


def check_figures(path: Path, page: str, results: Path = RESULTS) -> list[str]:
    """Pictures `figures/NAME/FILE` that are not the file recorded by the entry `NAME`."""
    problems, entries = [], read_entries(results)
    for line, target in links(page):
        place = path.parent / unquote(target)
        if place.parent.parent.name != "figures" or not place.is_file():
            continue  # a file that is not there is a broken link
        name = place.parent.name
        if name == FOLDER:
            continue  # drawn from the ledger: `check_charts`
        if name not in entries:
            problem = f"the ledger has no entry {name!r}"
        else:
            digest = hashlib.sha256(place.read_bytes()).hexdigest()
            recorded = [run.get("figures", {}).get(place.name) for run in entries[name]["runs"]]
            if digest in recorded:
                continue
            problem = f"it is not the file of that name that {results / name}.json recorded"
        problems.append(
            f"{path}:{line}: figure {target}: {problem}; copy it from the run's figures"
        )
    return problems


def check_commands(path: Path, page: str, command_problem: CommandCheck) -> list[str]:
    """Commands and flags of clearsight, in shell blocks and in `code`, that do not exist."""
    blocks, prose = split_page(page)
    found: list[tuple[int, list[str], bool]] = []
    for block in blocks:
        if block.language == "sh":
            for offset, command in shell_commands(block.text):
                words = shlex.split(command, comments=True)
                found += [(block.line + offset, each, True) for each in _clearsight(words)]
    for line, text in prose:
        for code in CODE.findall(text):
            if code.startswith("clearsight "):
                found += [(line, each, False) for each in _clearsight(code.split())]
    problems = []
    for line, words, whole in found:
        problem = command_problem(words, whole)
        if problem:
            problems.append(f"{path}:{line}: `clearsight {' '.join(words)}`: {problem}")
    return problems


def check_targets(path: Path, page: str, root: Path) -> list[str]:
    """`make TARGET` in shell blocks and in `code` without such a target."""
    makefile = root / "Makefile"
    targets = set(
        re.findall(r"^([a-z][a-z-]*):", makefile.read_text(encoding="utf-8"), re.MULTILINE)
        if makefile.is_file() else ()
    )  # fmt: skip
    blocks, prose = split_page(page)
    texts = [(line, code) for line, text in prose for code in CODE.findall(text)]
    for block in blocks:
        if block.language == "sh":
            texts += enumerate((c.split("#")[0] for c in block.text.splitlines()), block.line)
    return [
        f"{path}:{line}: `make {target}`: the Makefile has no such target"
        for line, text in texts
        for target in _TARGET.findall(text)
        if target not in targets
    ]


def check_links(path: Path, page: str, root: Path) -> list[str]:
    """Links and paths of this repository that lead nowhere; links elsewhere are not tried."""
    problems = []
    for line, target in links(page):
        if re.match(r"[a-z][a-z+.-]*:", target):
            continue
        file, _, fragment = target.partition("#")
        place = path.parent / unquote(file) if file else path
        if not place.exists():
            problems.append(f"{path}:{line}: link to {target}: no such file; mend or remove it")
        elif fragment and fragment not in anchors(place.read_text(encoding="utf-8")):
            problems.append(
                f"{path}:{line}: link to {target}: no heading for #{fragment}; mend or remove it"
            )
    for line, text in split_page(page)[1]:
        for code in CODE.findall(text):
            place = _REPOSITORY.fullmatch(code)
            if place and not re.search(r"[A-Z]{3,}(?!\.md)", code) and not (root / code).exists():
                problems.append(f"{path}:{line}: `{code}`: no such file; mend or remove it")
    return problems


def _clearsight(words: Sequence[str]) -> Iterator[list[str]]:
    """What follows each word `clearsight`, up to the end of its command."""
    for position, word in enumerate(words):
        if word == "clearsight" and (position == 0 or words[position - 1] in _ENDS):
            rest = list(words[position + 1 :])
            end = next((k for k, w in enumerate(rest) if w in _ENDS), len(rest))
            yield rest[:end]
