"""JSON schemas of the files that clearsight writes, by which it checks what it reads back."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearsight.errors import shown

if TYPE_CHECKING:
    from fastjsonschema import JsonSchemaValueException

SCHEMAS = Path(__file__).parent / "schemas"
"""Of the files in a run folder, each by its file's name: `evaluation.schema.json`."""

_WORDS: dict[str, Callable[[Any], str]] = {
    "type": lambda kinds: " or ".join([kinds] if isinstance(kinds, str) else kinds),
    "enum": lambda choices: f"one of {', '.join(map(str, choices))}",
    "const": str,
    "minimum": lambda low: f"{low} or more",
    "maximum": lambda high: f"{high} or less",
    "exclusiveMinimum": lambda low: f"more than {low}",
    "minItems": lambda count: f"{count} or more items",
    "maxItems": lambda count: f"at most {count} items",
    "minLength": lambda count: f"{count} or more characters",
    "maxLength": lambda count: f"at most {count} characters",
    "pattern": lambda pattern: f"text like {pattern}",
    "uniqueItems": lambda _: "no item twice",
    "propertyNames": lambda rule: f"names like {rule['pattern']}",
}


def problem(value: Any, schema: Path) -> str | None:
    """The first thing in a JSON value that breaks the JSON schema in the file `schema`.

    As part of a sentence: `input.size: found 0, expected 1 or more`; None where all is well.
    """
    from fastjsonschema import JsonSchemaValueException

    try:
        _validator(schema)(value)
    except JsonSchemaValueException as error:
        return _sentence(error)
    return None


@cache
def _validator(schema: Path) -> Callable[[Any], Any]:
    import json

    import fastjsonschema

    return fastjsonschema.compile(json.loads(schema.read_text(encoding="utf-8")))


def _sentence(error: "JsonSchemaValueException") -> str:
    name = (error.name or "").removeprefix("data").lstrip(".")
    place = f"{name}: " if name else ""
    if error.rule == "required":
        missing = [key for key in error.rule_definition if key not in error.value]
        return f"{place}lacks {', '.join(missing)}"
    if error.rule == "additionalProperties":
        known = error.definition["properties"]
        unknown = next(key for key in error.value if key not in known)
        return f"{place}found the unknown key {shown(unknown)}, known are {', '.join(known)}"
    if str(error.rule) not in _WORDS:
        return error.message.removeprefix("data.").removeprefix("data ")
    expected = _WORDS[str(error.rule)](error.rule_definition)
    return f"{place}found {shown(error.value)}, expected {expected}"
