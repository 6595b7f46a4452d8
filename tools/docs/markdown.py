"""What the checks and the examples need of a Markdown page, read by markdown-it."""

import re
from dataclasses import dataclass, field

from markdown_it import MarkdownIt
from markdown_it.token import Token

_PARSER = MarkdownIt("commonmark").enable("table")
_DIRECTIVE = re.compile(r"<!-- example: (.*?) -->\s*")


@dataclass(frozen=True)
class Block:
    """A fenced block: its first line in the page (from 1), language and text.

    `directive` is the text of an HTML comment `example: …` right above it, else empty.
    """

    line: int
    language: str
    text: str
    directive: str


@dataclass
class Page:
    """The parts of a page, each with its line (from 1) and in reading order.

    - `blocks`: fenced blocks
    - `code`: (line, text) of inline code
    - `links`: (line, target) of links and images
    - `anchors`: the fragments of its headings, as GitHub and the site form them
    """

    blocks: list[Block] = field(default_factory=list)
    code: list[tuple[int, str]] = field(default_factory=list)
    links: list[tuple[int, str]] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)


def parse_page(text: str) -> Page:
    """The parts of a Markdown page."""
    page = Page()
    before = Token("", "", 0)
    for token in _PARSER.parse(text):
        if token.type == "fence" and token.map:
            directive = (
                _DIRECTIVE.fullmatch(before.content) if before.type == "html_block" else None
            )
            page.blocks.append(
                Block(
                    token.map[0] + 2,
                    token.info.strip(),
                    token.content.removesuffix("\n"),
                    directive[1] if directive else "",
                )
            )
        elif token.type == "inline":
            _read_inline(token, page)
            if before.type == "heading_open":
                page.anchors.add(_slug(token))
        before = token
    return page


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


def _read_inline(token: Token, page: Page) -> None:
    """Adds the inline code and the links of a paragraph, heading or cell to `page`."""
    line, offset = (token.map[0] if token.map else 0) + 1, 0
    for child in token.children or []:
        if child.type in ("softbreak", "hardbreak"):
            line += 1
        elif child.type == "html_inline":
            line += child.content.count("\n")
        elif child.type == "code_inline":
            page.code.append((line, child.content))
            # Line breaks inside code are spaces by now; the source has them.
            words = map(re.escape, child.content.split(" "))
            found = re.compile(r"\s".join(words)).search(token.content, offset)
            if found:
                line, offset = line + found[0].count("\n"), found.end()
        elif child.type in ("link_open", "image"):
            target = child.attrs.get("href", child.attrs.get("src", ""))
            page.links.append((line, str(target)))


def _slug(heading: Token) -> str:
    kinds = ("text", "code_inline")
    plain = "".join(c.content for c in heading.children or [] if c.type in kinds).lower()
    return re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", plain).strip())
