"""What the code imports is what the package says it needs."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Brought along by what is declared, and part of its interface.
THROUGH = {
    "cycler": "matplotlib",
    "huggingface-hub": "timm",
    "markupsafe": "jinja2",
    "mlflow": "mlflow-skinny",
    "starlette": "fastapi",
}

# Imported only in the kernel of a notebook, which is made of it.
THERE = {"IPython"}


def name_of(requirement: str) -> str:
    return re.split(r"[\s<>=!~\[;]", requirement)[0].lower().replace("_", "-")


def imported() -> dict[str, str]:
    """Top-level modules that the package imports, each with a file that does."""
    found = {}
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            else:
                continue
            found |= {name.partition(".")[0]: path.name for name in names}
    return found


def test_every_import_is_declared() -> None:
    extras = PROJECT["optional-dependencies"]
    declared = {name_of(each) for each in PROJECT["dependencies"]}
    declared |= {name_of(each) for key, some in extras.items() if key != "dev" for each in some}
    homes = packages_distributions()
    missing = {}
    for module, file in imported().items():
        if module in sys.stdlib_module_names or module == "clearsight" or module in THERE:
            continue
        names = {name_of(each) for each in homes[module]}
        if not {THROUGH.get(name, name) for name in names} & declared:
            missing[module] = file
    assert missing == {}


def test_every_tested_version_is_pinned() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = {name_of(line) for line in text.splitlines() if "==" in line}
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"], *extras["dev"], *extras["umap"]]
    # Left open on purpose, see the head of constraints.txt.
    assert {name_of(each) for each in wanted} - pinned <= {"torch"}
