"""`clearsight doubt` and `train --relabelled`, from a run to a run with corrected labels."""

import csv
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clearsight.cli import main
from clearsight.config.schema import Config
from clearsight.data.splits import split
from clearsight.errors import ClearsightError, RunError
from clearsight.evaluation.report import write_report
from clearsight.files import read_json
from clearsight.runs import Run, create_run, open_run
from clearsight.training.checkpoint import MARGINS
from clearsight.training.train import train_model
from clearsight.workflows.doubt import doubt, training_evidence
from clearsight.workflows.loading import LoadedRun, load_data, load_run
from clearsight.workflows.reproduce import read_recorded
from clearsight.workflows.train import resume, train
from tests.conftest import make_images
from tests.recorder import Recorder
from tests.workflows.test_lifecycle import recipe, save_images

HEAD = [{"epochs": 2, "lr": 0.05, "trainable": "head"}]
N, TRAIN, WRONG = 300, 270, 6


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with noisy.npz, whose training part has six wrong labels, and a run on it."""
    folder = tmp_path_factory.mktemp("home")
    images = make_images(N, size=16)
    labels = images.labels.copy()
    labels[:WRONG] = (labels[:WRONG] + 1) % 3
    parts = ["train"] * TRAIN + ["validation"] * 15 + ["test"] * 15
    data = save_images(folder / "noisy.npz", replace(images, labels=labels), parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        train(recipe(data, phases=[{"epochs": 5, "lr": 0.05}]), out=folder / "run")
    return folder


@pytest.fixture
def run(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A copy of the run."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    shutil.copytree(home / "run", tmp_path / "run")
    return open_run(tmp_path / "run")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def correct(path: Path, rows: Sequence[dict[str, str]]) -> Path:
    lines = [f"{row['id']},{row['label']}" for row in rows]
    path.write_text("\n".join(["id,label", *lines, ""]), encoding="utf-8")
    return path


def test_wrong_training_labels_come_first(run: Run) -> None:
    found = doubt(run)
    assert found["evidence"] == {
        "train": "margins", "validation": "predictions", "test": "predictions",
    }  # fmt: skip
    assert found["images"] == {"train": TRAIN, "validation": 15, "test": 15}
    rows = [row for row in rows_of(run.doubts) if row["part"] == "train"]
    first = {row["id"] for row in rows[: 2 * WRONG]}
    images = make_images(N, size=16)
    wrong = [images.ids[k].decode() for k in range(WRONG)]
    assert {*wrong} <= first
    suggested = {row["id"]: row["suggested"] for row in rows}
    true = [images.classes[images.labels[k]] for k in range(WRONG)]
    assert [suggested[name] for name in wrong] == true
    assert run.doubt_page.is_file()
    report = write_report(run).read_text(encoding="utf-8")
    assert "the labels most likely wrong" in report


def test_corrected_labels_are_trained_on_said_and_kept(
    run: Run, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    doubt(run)
    rows = rows_of(run.doubts)
    wrong = [r | {"label": r["suggested"]} for r in rows if r["part"] == "train"][:WRONG]
    test = [r | {"label": r["suggested"]} for r in rows if r["part"] == "test"][:2]
    file = correct(tmp_path / "relabelled.csv", [*wrong, *test])
    source = run.config()
    config = replace(source, data=replace(source.data, relabelled=str(file)))
    listener = Recorder()
    again = train(config, out=tmp_path / "again", progress=listener)
    said = f"labels: 6 of 270 train, 0 of 15 validation, 2 of 15 test corrected by {file}"
    assert said in listener.lines
    evaluation = read_json(again.evaluation)
    assert evaluation["corrected"] == 2
    right = evaluation["accuracy_with_source_labels"]["value"]
    assert right != evaluation["accuracy"]["value"]
    sentence = "2 of 15 test labels were corrected; with the labels of the source the accuracy is"
    assert sentence in again.report.read_text(encoding="utf-8")

    # No image has moved to another part.
    before, after = (read_json(path.split)["parts"] for path in (run, again))
    for part in ("train", "validation", "test"):
        assert after[part]["ids"] == before[part]["ids"]

    # A second round begins with the corrections of the first.
    doubt(again)
    given = {row["id"]: row["given"] for row in rows_of(again.doubts)}
    assert all(given[row["id"]] == row["label"] for row in rows_of(file))

    # The run does not need the file again, and no longer fits the labels before.
    file.write_text("changed")
    assert load_run(again).images.corrected(np.arange(N)) == 8
    assert resume(again.path).path == again.path
    assert read_recorded(again.path).config.data.relabelled == str(again.relabelled)
    again.relabelled.unlink()
    with pytest.raises(ClearsightError, match=r"again/relabelled\.csv: can't be read"):
        load_run(again)


def made(path: Path, config: Config) -> LoadedRun:
    """A trained run without its measuring and figures."""
    images = load_data(config)
    parts = split(images, config.data)
    run = create_run(path, config, {})
    train_model(run, config, images, parts)
    return LoadedRun(run=run, config=config, images=images, split=parts)


@pytest.fixture
def cache(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))


@pytest.mark.usefixtures("cache")
def test_heads_out_of_fold_judge_where_the_backbone_was_frozen(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = recipe(home / "noisy.npz", phases=HEAD)
    loaded, listener = made(tmp_path / "head", config), Recorder()
    kind, evidence = training_evidence(loaded, listener)
    assert kind == "out-of-fold heads"
    # Without augmentation these are the features that the head was trained on.
    assert any("from the cache" in line for line in listener.lines)
    assert evidence.observations.tolist() == [1] * TRAIN
    uncached = replace(config, cache=replace(config.cache, store="off"))
    other = training_evidence(made(tmp_path / "off", uncached))[1]
    np.testing.assert_array_equal(evidence.scores, other.scores)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    too_large = replace(uncached, cache=replace(uncached.cache, memory=0.0))
    with pytest.raises(RunError, match=r"need more room than its recipe's cache\.disk"):
        training_evidence(replace(loaded, config=too_large))


@pytest.mark.usefixtures("cache")
def test_a_run_that_mixed_all_labels_is_judged_by_heads_and_says_so(
    home: Path, tmp_path: Path
) -> None:
    config = recipe(home / "noisy.npz", augment={"mixup": 0.5})
    listener = Recorder()
    kind, _ = training_evidence(made(tmp_path / "mixed", config), listener)
    assert kind == "out-of-fold heads"
    assert any("the run kept no margins" in line for line in listener.lines)


def test_a_run_of_an_earlier_version_and_one_without_predictions(run: Run) -> None:
    (run.last / MARGINS).unlink()
    expected = doubt(run)["trailing"]
    run.predictions.unlink()
    run.validation_predictions.unlink()
    assert doubt(run)["trailing"] == expected


def test_a_run_that_has_not_trained_is_refused(home: Path, tmp_path: Path, run: Run) -> None:
    shutil.rmtree(run.path / "checkpoints")
    with pytest.raises(RunError, match="it has not trained for an epoch yet"):
        doubt(run)
    with pytest.raises(RunError, match=r"no recipe\.toml in it"):
        doubt(tmp_path)
    assert not run.doubts.exists()


def test_the_commands(
    run: Run, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doubt", str(run.path), "--show", "5"]) == 0
    out = capsys.readouterr().out
    assert "labels trail another class, judged by margins" in out
    assert str(run.doubt_page) in out
    assert run.doubt_page.read_text(encoding="utf-8").count("<li ") == 5
    assert main(["doubt", str(run.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["page"] == str(run.doubt_page)
    assert main(["doubt", str(run.path), "--show", "0"]) == 2


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("abc,class1", "1 of its 1 ids are not among the images of noisy"),
        ("{id},clas1", r"found the label 'clas1' .* \(did you mean 'class1'\?\)"),
        ("{id},class1\n{id},class2", "for the second time"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_before_any_work(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], row: str, message: str
) -> None:
    name = make_images(N, size=16).ids[0].decode()
    file = tmp_path / "bad.csv"
    file.write_text(f"id,label\n{row.format(id=name)}\n", encoding="utf-8")
    words = ["--data", str(home / "noisy.npz"), "--relabelled", str(file)]
    out = tmp_path / "runs" / "new"
    assert main(["train", "digits", *words, "--tracking", "none", "--out", str(out)]) == 1
    error = " ".join(capsys.readouterr().err.split())
    assert str(file) in error
    assert re.search(message, error)
    assert not out.parent.exists()


def test_images_that_are_given_are_relabelled_too(tmp_path: Path) -> None:
    images = make_images(6)
    file = correct(tmp_path / "c.csv", [{"id": images.ids[1].decode(), "label": "class2"}])
    found = load_data(recipe("x", data={"relabelled": str(file)}), images=images)
    assert found.labels.tolist() == [0, 2, 2, 0, 1, 2]
    assert images.labels.tolist() == [0, 1, 2, 0, 1, 2]
