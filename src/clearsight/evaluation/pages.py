"""What the pages of a run share: they hold their pictures themselves."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup


def template(
    name: str,
    filters: dict[str, Callable[..., Any]] | None = None,
    undefined: type[StrictUndefined] = StrictUndefined,
) -> Template:
    """The HTML template `name` of this folder; what it is given is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=undefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters or {}
    return environment.get_template(name)


def data_url(picture: bytes, kind: str) -> str:
    """A picture as an address that holds it; `kind` is `png`, `jpeg` or `webp`."""
    return Markup(f"data:image/{kind};base64,{base64.b64encode(picture).decode()}")
