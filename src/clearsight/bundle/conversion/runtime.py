"""What a runtime is to `convert`: how its files are written, and how they are asked again."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from clearsight.bundle.engines import Run
from clearsight.bundle.format import Bundle
from clearsight.errors import UsageError

ABOUT = "about.json"


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """A runtime that a bundle's model is written for.

    - `title`: its name for people; `files`: the names of what `write` makes in a folder
    - `package`: the library that does it; `pinned`: its version, where Python doesn't know it
    - `write`: writes the model of a bundle into an empty folder
    - `engine`: the runtime over such a folder, in fp32, by which the files are checked
    - `images`: how many images they are checked on, at most
    - `batch`: images that go in at once; None for any number
    """

    title: str
    files: tuple[str, ...]
    write: Callable[[Bundle, Path], None]
    engine: Callable[[Path, Bundle], Run]
    images: int = 2000
    batch: int | None = None
    package: str
    pinned: str | None = None

    @property
    def library(self) -> str:
        """Name and version of the library that writes the files."""
        return f"{self.package} {self.pinned or version(self.package)}"


def missing(to: str, name: str) -> UsageError:
    """The error where what converts to `to` isn't installed; `name` is the library."""
    return UsageError(f"export --to {to}: {name} is not installed; pip install 'clearsight[{to}]'")
