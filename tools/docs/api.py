"""The Python API as Markdown, from the docstrings of `clearsight.__all__`."""

import inspect
import re
from collections.abc import Iterator
from typing import Any

import clearsight
from clearsight.bundle.format import Bundle
from clearsight.bundle.hub import Pushed
from clearsight.bundle.predict import Prediction, Predictions, Predictor
from clearsight.data.audit import AuditReport
from clearsight.data.images import ImageSet
from clearsight.data.splits import Split
from clearsight.notebook import Figures, Result

# What the public functions return. Nobody constructs these, so they are not public names.
RETURNED = (
    ImageSet, Split, AuditReport, Result, Figures, Bundle, Predictor, Predictions, Prediction,
    Pushed,
)  # fmt: skip
_WIDTH = 88


def python_api() -> str:
    """Markdown: a section per public name, then one per class of what they return."""
    public = {n: getattr(clearsight, n) for n in clearsight.__all__ if n != "__version__"}
    functions = [n for n, value in public.items() if not isinstance(value, type)]
    classes = [n for n, value in public.items() if isinstance(value, type)]
    sections = [_section(f"clearsight.{n}", public[n]) for n in [*functions, *classes]]
    sections += [_section(each.__name__, each) for each in RETURNED]
    return "".join(sections)


def _section(name: str, value: Any) -> str:
    text = f"\n## {name}\n"
    if not isinstance(value, type):
        text += f"\n```py\n{_signature(name, value)}\n```\n"
    text += f"\n{_documentation(value)}\n"
    if isinstance(value, type):
        lines = _subclasses(value) if issubclass(value, Exception) else _members(value)
        text += "".join(["\n", *(f"- {line}\n" for line in lines)])
    return text.rstrip() + "\n"


def _subclasses(error: type) -> Iterator[str]:
    for each in error.__subclasses__():
        yield f"`{each.__name__}`: {_first_sentence(_documentation(each))}"
        yield from (f"  {line}" for line in _subclasses(each))


def _members(value: type) -> Iterator[str]:
    """The public properties and methods of a class; its own docstring describes its fields."""
    for name, member in vars(value).items():
        if name.startswith("_"):
            continue
        if isinstance(member, property):
            text = inspect.getdoc(member)
            yield f"`{name}`" + (f": {_first_sentence(text)}" if text else "")
        elif inspect.isfunction(member):
            yield f"`{name}{_parameters(member)}`: {_first_sentence(_documentation(member))}"


def _documentation(value: Any) -> str:
    text = inspect.getdoc(value)
    assert text, f"{value.__qualname__} is public and needs a docstring"
    return text


def _first_sentence(text: str) -> str:
    paragraph = " ".join(text.split("\n\n", maxsplit=1)[0].split())
    return re.split(r"(?<=\.)\s", paragraph)[0]


def _signature(name: str, function: Any) -> str:
    """The call as one line, or with a parameter per line where that is too long."""
    signature = inspect.signature(function)
    line = _plain(f"{name}{signature}")
    if len(line) <= _WIDTH:
        return line
    inner, star = [], False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            inner.append("*")
            star = True
        inner.append(str(parameter))
    returned = str(signature.replace(parameters=[])).removeprefix("()")
    lines = "".join(f"    {each},\n" for each in inner)
    return _plain(f"{name}(\n{lines}){returned}")


def _parameters(function: Any) -> str:
    return "(" + ", ".join(n for n in inspect.signature(function).parameters if n != "self") + ")"


def _plain(text: str) -> str:
    """Types without their modules, and defaults without their addresses."""
    text = re.sub(r"<clearsight\.progress\.Silent object at \w+>", "SILENT", text)
    return re.sub(r"\b(?:[A-Za-z_]\w*\.)+(?=[A-Z])", "", text.replace("clearsight.progress.", ""))
