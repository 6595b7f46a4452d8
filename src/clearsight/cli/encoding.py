"""Text for any terminal: what its encoding lacks is replaced, and file names keep their bytes."""

import codecs
import os
import sys
import unicodedata
from io import TextIOWrapper

# Only what this program writes itself; other characters are escaped.
_PLAIN = {
    "–": "-", "—": "-", "−": "-", "±": "+/-", "×": "x", "·": "-", "…": "...", "→": "->",
    "°": " deg",    "\u00a0": " ", "“": '"', "”": '"', "‘": "'", "’": "'", "≥": ">=", "≤": "<=",
}  # fmt: skip


def accept_any_text() -> None:
    """Lets stdout and stderr take every text, whatever their encoding.

    A file name that is not valid in the encoding is written with the bytes that it has.
    """
    codecs.register_error("clearsight", _replace)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # None under pythonw, anything in a notebook
            stream.reconfigure(errors="clearsight")


def encodable(text: str) -> bool:
    """Whether stdout can write `text` as it is."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def one_line(text: str) -> str:
    """`text` with its control characters escaped: a file's name may hold line breaks."""
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) == "Cc" else c for c in text
    )


def _replace(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    bad = error.object[error.start]
    if "\udc80" <= bad <= "\udcff":
        return os.fsencode(bad), error.start + 1
    return _PLAIN.get(bad, bad.encode("unicode_escape").decode()), error.start + 1
