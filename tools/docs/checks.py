"""What is no longer true in the documents: numbers, recipes, figures, commands, code and links.

Every problem is one sentence that begins with file and line.
"""

import hashlib
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

from clearsight.ledger import RESULTS, read_entries
from tools.docs.charts import FOLDER, check_charts
from tools.docs.entries import check_checksums, check_recipes
from tools.docs.markdown import parse_page, shell_commands
from tools.docs.markers import NO_GENERATORS, Generators, check_places, read_page
from tools.docs.numbers import check_numbers
from tools.docs.python_code import check_python

CommandCheck = Callable[[Sequence[str], bool], str | None]

_REPOSITORY = re.compile(r"(?:src|tests|docs|results|benchmarks|notebooks|\.ci)/[\w./-]*")
_TARGET = re.compile(r"\bmake ([a-z][a-z-]*)")
_ENDS = {"|", "||", "&&", ";", ">", ">>", "<", "2>", "&"}


def check_documents(
    paths: Sequence[Path],
    *,
    results: Path = RESULTS,
    root: Path = Path(),
    generators: Generators = NO_GENERATORS,
    command_problem: CommandCheck,
) -> list[str]:
    """Every problem of Markdown files, in the order of the kinds below; empty where all is true.

    Of TOML files only the numbers in their comments are checked.
    `root` is the repository's folder, where `make` runs; `command_problem` says what is wrong with
    the words after `clearsight`, the second argument being whether they are a whole command.
    """
    problems = check_checksums(results) + check_recipes(results)
    pages = [path for path in paths if path.suffix != ".toml"]
    problems += check_places(pages, results, generators)
    problems += check_numbers(paths, results=results, root=root)
    problems += check_charts(pages, results)
    for path in pages:
        page = read_page(path)
        problems += check_figures(path, page, results)
        problems += check_commands(path, page, command_problem)
        problems += check_python(path, page)
        problems += check_targets(path, page, root)
        problems += check_links(path, page, root)
    return problems


def check_figures(path: Path, page: str, results: Path = RESULTS) -> list[str]:
    """Pictures `figures/NAME/FILE` that are not the file recorded by the entry `NAME`."""
    problems, entries = [], read_entries(results)
    for line, target in parse_page(page).links:
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
    parsed = parse_page(page)
    found: list[tuple[int, list[str], bool]] = []
    for block in parsed.blocks:
        if block.language == "sh":
            for offset, command in shell_commands(block.text):
                words = shlex.split(command, comments=True)
                found += [(block.line + offset, each, True) for each in _clearsight(words)]
    for line, code in parsed.code:
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
    parsed = parse_page(page)
    texts = list(parsed.code)
    for block in parsed.blocks:
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
    for line, target in parse_page(page).links:
        if re.match(r"[a-z][a-z+.-]*:", target):
            continue
        file, _, fragment = target.partition("#")
        place = path.parent / unquote(file) if file else path
        if not place.exists():
            problems.append(f"{path}:{line}: link to {target}: no such file; correct or remove it")
        elif fragment and fragment not in parse_page(place.read_text(encoding="utf-8")).anchors:
            problems.append(
                f"{path}:{line}: link to {target}: no heading for #{fragment}; correct or remove it"
            )
    for line, code in parse_page(page).code:
        place = _REPOSITORY.fullmatch(code)
        if place and not re.search(r"[A-Z]{3,}(?!\.md)", code) and not (root / code).exists():
            problems.append(f"{path}:{line}: `{code}`: no such file; correct or remove it")
    return problems


def _clearsight(words: Sequence[str]) -> Iterator[list[str]]:
    """What follows each word `clearsight`, up to the end of its command."""
    for position, word in enumerate(words):
        if word == "clearsight" and (position == 0 or words[position - 1] in _ENDS):
            rest = list(words[position + 1 :])
            end = next((k for k, w in enumerate(rest) if w in _ENDS), len(rest))
            yield rest[:end]
