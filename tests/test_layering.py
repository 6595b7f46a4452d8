"""Imports go one way, modules stay short, and importing has no effects."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "clearsight"
DESIGN = ROOT / "docs" / "design.md"

# A module imports from its own line or from lines above it.
LAYERS = [
    {"errors"},
    {"progress", "formats", "files", "wording", "notebook"},
    {"config"},
    {"runtime", "runs"},
    {"data", "models"},
    {"training", "evaluation", "explanation", "figures"},
    {"tracking"},
    {"bundle"},
    {"ledger", "serve"},
    {"workflows"},
    {"estimator"},
    {"cli", "__main__"},
]
FORBIDDEN = {
    ("data", "models"),
    ("models", "data"),
    ("figures", "training"),
    ("evaluation", "training"),
}
LONGEST = 400


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, dotted name inside clearsight) of every import, those in functions included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import; write the full name"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from ((node.lineno, n[11:]) for n in names if n.startswith("clearsight."))


def broken_imports(place: str, source: str, layers: list[set[str]]) -> list[str]:
    """A sentence for each import in module `place` (`data.splits`) that goes the wrong way."""
    level = {name: depth for depth, names in enumerate(layers) for name in names}
    own = place.split(".", maxsplit=1)[0]
    found = []
    for line, name in imports(ast.parse(source)):
        other = name.split(".")[0]
        if other.startswith("__"):  # clearsight.__version__
            continue
        assert {own, other} <= level.keys(), f"give {own} and {other} a place in LAYERS"
        if level[other] > level[own] or (own, other) in FORBIDDEN:
            found.append(f"{place}:{line} imports {name}")
    return found


def modules() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def test_imports_go_one_way() -> None:
    found = []
    for path in modules():
        place = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        found += broken_imports(place, path.read_text(encoding="utf-8"), LAYERS)
    assert not found


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("config.schema", "from clearsight.runs import Run"),
        ("data.splits", "def f():\n    import clearsight.models.factory"),
        ("models.resnet", "from clearsight import data"),
        ("figures.training", "if True:\n    from clearsight.training import loop"),
    ],
)
def test_an_import_the_wrong_way_is_found(place: str, source: str) -> None:
    assert len(broken_imports(place, source, LAYERS)) == 1


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("training.train", "from clearsight.evaluation.metrics import evaluate_probabilities"),
        ("data.splits", "from clearsight.data.images import ImageSet\nimport numpy"),
        ("cli.commands", "import clearsight\nfrom clearsight import __version__"),
    ],
)
def test_an_import_the_right_way_passes(place: str, source: str) -> None:
    assert broken_imports(place, source, LAYERS) == []


def section(heading: str) -> str:
    """The text of a section of docs/design.md."""
    return DESIGN.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]


def test_the_design_names_every_package_and_module() -> None:
    entries = (p for p in SOURCE.iterdir() if p.suffix == ".py" or p.is_dir())
    present = {p.stem for p in entries if not p.name.startswith("__")}
    assert set(re.findall(r"^\| `(\w+)` \|", section("Packages"), re.MULTILINE)) == present


def test_the_design_has_the_layers_of_this_test() -> None:
    lines = section("Layers").split("```text\n")[1].split("```")[0].splitlines()
    assert [set(line.split(", ")) for line in lines] == LAYERS


def test_modules_are_short() -> None:
    lengths = {path.name: path.read_text(encoding="utf-8").count("\n") for path in modules()}
    assert {name: n for name, n in lengths.items() if n > LONGEST} == {}


def test_importing_has_no_effects() -> None:
    probe = """
import json, logging, os, sys, threading
state = lambda: (dict(os.environ), threading.active_count(), list(logging.root.handlers))
before = state()
import clearsight, clearsight.cli, clearsight.config.recipes, clearsight.runs
heavy = {"torch", "numpy", "matplotlib", "sklearn", "onnxruntime", "rich"} & set(sys.modules)
print(json.dumps([before == state(), sorted(heavy)]))
"""
    result = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True
    )
    assert json.loads(result.stdout) == [True, []]
    assert result.stderr == ""
