"""What the checks and the examples need to know of a Markdown page."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

CODE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
_FENCE = re.compile(r"^(`{3,}|~{3,})\s*([\w+-]*)\s*$")
_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$")
_DIRECTIVE = re.compile(r"^<!-- example: (.*?) -->$")


@dataclass(frozen=True)
class Block:
    """A fenced block: its first line in the page (from 1), language and text.

    `directive` is what an HTML comment `example: …` in the line above says of it, else empty.
    """

    line: int
    language: str
    text: str
    directive: str


def split_page(page: str) -> tuple[list[Block], list[tuple[int, str]]]:
    """(fenced blocks, (number, line) of every other line)."""
    blocks: list[Block] = []
    prose: list[tuple[int, str]] = []
    inside: list[str] = []
    start, fence, language, directive = 0, "", "", ""
    for number, line in enumerate(page.splitlines(), 1):
        opening = _FENCE.match(line)
        if fence:
            if opening and opening[1].startswith(fence) and not opening[2]:
                blocks.append(Block(start, language, "\n".join(inside), directive))
                fence, directive = "", ""
            else:
                inside.append(line)
        elif opening:
            start, fence, language, inside = number + 1, opening[1], opening[2], []
        else:
            found = _DIRECTIVE.match(line)
            if line.strip():
                directive = found[1] if found else ""
            prose.append((number, line))
    return blocks, prose


def links(page: str) -> Iterator[tuple[int, str]]:
    """(line, target) of every link and picture outside of code."""
    for line, text in split_page(page)[1]:
        for target in _LINK.findall(CODE.sub("", text)):
            yield line, target


def anchors(page: str) -> set[str]:
    """The fragments by which links reach the page's headings, as GitHub and the site form them."""
    headings = [_HEADING.match(line) for _, line in split_page(page)[1]]
    return {_slug(heading[1]) for heading in headings if heading}


def shell_commands(text: str) -> list[tuple[int, str]]:
    """(offset of its first line, command) of a shell block; continued lines are joined."""
    commands: list[tuple[int, str]] = []
    waiting: list[str] = []
    for offset, line in enumerate(text.splitlines()):
        waiting.append(line.removesuffix("\\"))
        if not line.endswith("\\"):
            commands.append((offset - len(waiting) + 1, " ".join(waiting)))
            waiting = []
    return [(offset, command) for offset, command in commands if command.strip()]


def _slug(heading: str) -> str:
    plain = re.sub(r"[`*]|\]\([^)]*\)|\[", "", heading).lower()
    return re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", plain).strip())
