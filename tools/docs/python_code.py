"""Python in the documents: every name of clearsight that it imports, reads or calls exists."""

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from tools.docs.markdown import parse_page

PACKAGE = "clearsight"


def check_python(path: Path, page: str) -> list[str]:
    """Names, arguments and syntax that are wrong in the Python blocks and the `code` of a page."""
    parsed = parse_page(page)
    sources = [(b.line, b.text) for b in parsed.blocks if b.language == "python"]
    sources += [
        (line, f"import {PACKAGE}; {code}")
        for line, code in parsed.code
        if code.startswith(f"{PACKAGE}.") and not code.endswith((".toml", ".py"))
    ]
    return [
        f"{path}:{line + offset}: {problem}"
        for line, source in sources
        for offset, problem in python_problems(source)
    ]


def python_problems(source: str) -> list[tuple[int, str]]:
    """(offset of the line, problem) for what a piece of Python wants of clearsight in vain.

    Only what can be told without running it: modules, functions and classes, and the arguments they
    are called with. What a call returns is not followed.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        return [((error.lineno or 1) - 1, f"invalid Python: {error.msg}")]
    names: dict[str, Any] = {}
    problems: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for name, value, problem in _imported(node):
                names[name] = value
                if problem:
                    problems.append((node.lineno - 1, problem))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = _value(node.value, names)
            if owner is not None and _value(node, names) is None:
                problems.append((node.lineno - 1, f"{_name(owner)} has no {node.attr!r}"))
        elif isinstance(node, ast.Call):
            problem = _call_problem(node, _value(node.func, names))
            if problem:
                problems.append((node.lineno - 1, problem))
    return sorted(problems)


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, Any, str | None]]:
    """(name, what it stands for or None, problem) of each name of clearsight."""
    for alias in node.names:
        if isinstance(node, ast.Import):
            full = alias.name
        elif node.level == 0:
            full = f"{node.module}.{alias.name}"
        else:
            continue
        if full.partition(".")[0] != PACKAGE:
            continue
        value = _load(full)
        bound = alias.asname or (PACKAGE if isinstance(node, ast.Import) else alias.name)
        if value is not None and isinstance(node, ast.Import) and not alias.asname:
            value = _load(PACKAGE)
        yield bound, value, None if value is not None else f"there is no {full}"


def _load(full: str) -> Any:
    """The module or the name of a module, None where there is no such thing."""
    value: Any = import_module(PACKAGE)
    for part in full.split(".")[1:]:
        value = _attribute(value, part)
    return value


def _attribute(owner: Any, name: str) -> Any:
    if hasattr(owner, name):
        return getattr(owner, name)
    if isinstance(owner, ModuleType):
        try:
            return import_module(f"{owner.__name__}.{name}")
        except ModuleNotFoundError:
            return None
    return None


def _value(node: ast.expr, names: dict[str, Any]) -> Any:
    """What a name or a chain of attributes stands for; None where that is not known."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = _value(node.value, names)
        known = isinstance(owner, ModuleType | type)  # of other values nothing is known
        return _attribute(owner, node.attr) if known else None
    return None


def _call_problem(node: ast.Call, function: Any) -> str | None:
    if not callable(function) or any(isinstance(a, ast.Starred) for a in node.args):
        return None
    keywords = {keyword.arg: None for keyword in node.keywords if keyword.arg}
    whole = len(keywords) == len(node.keywords)  # without **
    try:
        signature = inspect.signature(function)
    except ValueError:  # of exceptions, and of what is not written in Python
        return None
    try:
        bind = signature.bind if whole else signature.bind_partial
        bind(*[None] * len(node.args), **keywords)
    except TypeError as error:
        return f"{_name(function)}: {error}"
    return None


def _name(value: Any) -> str:
    return getattr(value, "__qualname__", None) or getattr(value, "__name__", repr(value))
