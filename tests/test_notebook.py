"""What a notebook shows; in a real kernel where that can be told from nothing else."""

import re
import time
from pathlib import Path

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from nbclient import NotebookClient

from clearsight.notebook import Figures, NotebookProgress, Result, in_notebook, shown, table
from clearsight.progress import SILENT

ROW = {
    "phase": "train", "epoch": 3, "epochs": 12, "lr": 0.24, "train_loss": 1.2345,
    "train_accuracy": 0.5, "images_per_second": 5123.4, "seconds_left": 65.4,
}  # fmt: skip

CELLS = {
    "images": """
import os, signal, threading, time
from pathlib import Path
import clearsight
changes = {"model.name": "airnet-tiny", "data.subset": 300, "tracking.tracker": "none"}
images = clearsight.load_images("digits", size=16)
images""",
    "split": "clearsight.split(images)",
    "interrupted": """
def interrupt():
    while not Path("run/checkpoints/last").exists():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
clearsight.train("digits", data=images, overrides=changes | {"phases.0.epochs": 40}, out="run")""",
    "resumed": """
run = clearsight.resume("run", data=images)
run""",
    "evaluated": "clearsight.evaluate(run, data=images)",
    "figures": 'run.figure("confusion_matrix", "training_curves")',
    "exported": "clearsight.export(run, data=images)",
    "predicted": "clearsight.load(run.bundle).predict(images.images[:3])",
}


def outputs(progress: NotebookProgress) -> list[str]:
    """The HTML that its output had, one after the other."""
    InteractiveShell.instance()
    with capture_output() as captured:
        progress.say("a <line>")
        progress.epoch(ROW)
        progress.epoch(ROW | {"epoch": 4, "val_loss": 1.1, "val_accuracy": 0.625})
        with progress.task("decoding", 4) as advance:
            time.sleep(0.25)
            advance(1)
            time.sleep(0.25)
            advance(1)
    assert captured.stdout == ""
    return [output.data["text/html"] for output in captured.outputs]


def test_progress_is_one_output_with_lines_epochs_and_a_bar_that_goes() -> None:
    drawn = outputs(NotebookProgress())
    assert "a &lt;line&gt;" in drawn[0]
    assert drawn[2].count("<tr>") == 3  # the head and two epochs
    assert "62.50%" in drawn[2]
    assert re.findall(r'value="(\d)" max="(\d)"', "".join(drawn)) == [("1", "4"), ("2", "4")]
    assert "2/4, 0:00 left" in drawn[4] or "2/4, 0:01 left" in drawn[4]
    assert "<progress" not in drawn[-1]
    assert "a &lt;line&gt;" in drawn[-1]


def test_what_is_done_at_once_leaves_no_output() -> None:
    InteractiveShell.instance()
    with capture_output() as captured:
        progress = NotebookProgress()
        with progress.task("quick", 2) as advance:
            advance(2)
    assert captured.outputs == []


def test_outside_a_notebook_nothing_is_shown() -> None:
    assert not in_notebook()
    assert shown(None) is SILENT
    own = NotebookProgress()
    assert shown(own) is own


def test_a_result_is_a_dict_in_words_and_a_table() -> None:
    result = Result({"n": 2}, ["2 of 3 & more"], ["class", "n"], [["cat <3", "2"]])
    assert result == {"n": 2}
    assert repr(result) == "<2 of 3 & more>"
    html = result._repr_html_()
    assert "2 of 3 &amp; more" in html
    assert "cat &lt;3" in html
    assert html.count("text-align:right") == 2  # the numbers and their head
    assert "<table" not in Result({}, ["nothing"])._repr_html_()


def test_a_table_may_have_neither_head_nor_rows() -> None:
    assert "<thead>" not in table([], [["folder", "run"]])
    assert table([], []).count("<tr>") == 0


def test_figures_are_paths_and_name_their_files(capsys: pytest.CaptureFixture[str]) -> None:
    figures = Figures([Path("a.png"), Path("b.json")])
    assert figures == [Path("a.png"), Path("b.json")]
    assert figures.pictures == [Path("a.png")]
    figures._ipython_display_()
    assert capsys.readouterr().out == "<2 files: a.png, b.json>\n"


@pytest.mark.slow
def test_a_notebook_shows_tables_and_figures_and_resumes_after_ctrl_c(tmp_path: Path) -> None:
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS.values()]
    cells[2].metadata["tags"] = ["raises-exception"]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    found = {name: cell.outputs for name, cell in zip(CELLS, notebook.cells, strict=True)}
    assert not [o for each in found.values() for o in each if o.output_type == "stream"]

    progress, error = found["interrupted"]
    assert "<progress" not in progress.data["text/html"]
    assert "<table>" in progress.data["text/html"]
    assert error.ename == "KeyboardInterrupt"
    assert error.evalue == "the run is kept, resume it with `clearsight.resume('run')`"

    def last(name: str) -> dict[str, str]:
        return found[name][-1].data

    assert "1,797 images of 16 × 16 px in 10 classes" in last("images")["text/plain"]
    assert "data:image/png" in last("images")["text/html"]
    assert "<table>" in last("split")["text/html"]
    assert last("resumed")["text/plain"] == "Run('run')"
    assert "95 % interval" in last("resumed")["text/html"]
    assert "n = 180" in last("evaluated")["text/plain"]
    assert last("evaluated")["text/html"].count("<tr>") == 11  # ten classes and the head
    assert [list(o.data) for o in found["figures"]] == [["image/png", "text/plain"]] * 2
    assert "test accuracy" in last("exported")["text/html"]
    assert last("predicted")["text/html"].count("<tr>") == 4
