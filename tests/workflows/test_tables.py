"""A run on a table of labels, from the command line: groups, weights, moved and changed tables."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from clearsight.cli import main
from clearsight.data.sources import load_images
from clearsight.files import read_json

TINY = [
    "--model.name", "airnet-tiny", "--data.size", "32", "--phases.0.steps", "4",
    "--training.batch", "64", "--tracking", "none", "--training.device", "cpu",
]  # fmt: skip
COLUMNS = ["--data.label_column", "digit", "--data.group_column", "writer"]


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """200 of scikit-learn's digits: `digits/labels.csv` beside `digits/scans/0.png` …"""
    monkeypatch.chdir(tmp_path)
    images = load_images("digits")
    (tmp_path / "digits" / "scans").mkdir(parents=True)
    path = tmp_path / "digits" / "labels.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "digit", "writer", "weight"])
        for k in range(200):
            Image.fromarray(images.images[k]).save(tmp_path / "digits" / "scans" / f"{k}.png")
            writer.writerow([k, images.classes[images.labels[k]], k // 10, 1 + k % 3])
    return path


def run(*words: object) -> int:
    return main([str(word) for word in words])


def rows(table: Path) -> list[list[str]]:
    with table.open(newline="") as file:
        return list(csv.reader(file))


@pytest.fixture
def trained(table: Path) -> Path:
    assert run("train", "digits", "--data", table, *COLUMNS, *TINY, "--out", "run") == 0
    return Path("run")


def test_groups_stay_together_and_weights_are_recorded(trained: Path, table: Path) -> None:
    kept: dict[str, Any] = read_json(trained / "split.json")["parts"]
    assert "groups kept together" in kept["test"]["how"]
    images = load_images(str(table), size=32, columns={"label": "digit", "group": "writer"})
    by_id = {name.decode(): k for k, name in enumerate(images.ids.tolist())}
    writers = []
    for part in ("train", "validation", "test"):
        positions = [by_id[name] for name in kept[part]["ids"]]
        weights = [1 + int(Path(images.files[p]).stem) % 3 for p in positions]
        assert kept[part]["weights"] == weights
        writers.append({int(Path(images.files[p]).stem) // 10 for p in positions})
    assert len(set.union(*writers)) == sum(map(len, writers)) == 20


def test_the_run_is_reproduced_from_its_table_until_that_changes(
    trained: Path, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.move(table.parent, "moved")
    moved = Path("moved/labels.csv")
    assert run("evaluate", trained, "--data", moved) == 0
    assert run("reproduce", trained, "--data", moved, "--out", "again", "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["result"] == "identical"
    moved.write_text(moved.read_text().replace("\n0,0,0,1", "\n0,0,0,7"))
    assert run("evaluate", trained, "--data", moved) == 0  # weights are of the training alone
    capsys.readouterr()
    assert run("reproduce", trained, "--data", moved, "--out", "other") == 1
    assert "the data here give another split than the recorded" in capsys.readouterr().err


def test_a_run_on_a_table_is_evaluated_on_a_folder(trained: Path, table: Path) -> None:
    for number, digit, *_ in rows(table)[1:60]:
        picture = Image.open(f"digits/scans/{number}.png").rotate(180)
        Path("turned", digit).mkdir(parents=True, exist_ok=True)
        picture.save(Path("turned", digit, f"{number}.png"))
    assert run("evaluate", trained, "--data", "turned") == 0
    [other] = read_json(trained / "other-data.json")
    assert (other["name"], other["n"]) == ("turned", 59)


def test_audit_takes_the_flags_of_data(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("audit", table, *COLUMNS, "--json") == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert notes[0] == (
        "200 images are in 20 groups of 10, each of which is kept on one side of the split"
    )
    assert "file names were completed: 200 in scans/" in notes
    assert "weights from 1 to 3 multiply the training loss of the images" in notes
    for words, code, told in (
        (["--data.label_column", "number"], 1, "labels.csv: has no column 'number', found id"),
        (["--data.label", "digit"], 2, "data.label: no such setting"),
        (["--training.batch", "8"], 2, "--training.batch: found no field of [data]"),
        (["--data.images", "gone"], 1, "data.images: there is no folder gone"),
    ):
        assert run("audit", table, *words) == code
        assert told in " ".join(capsys.readouterr().err.split())


def test_a_resumed_run_goes_on_with_the_weights_it_began_with(
    trained: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clearsight.training import train as training

    keep = training._keep_epoch

    def stop(*arguments: Any) -> None:
        keep(*arguments)
        raise KeyboardInterrupt

    words = ["train", "digits", "--data", table, *COLUMNS, *TINY, "--out", "stopped"]
    with monkeypatch.context() as patch:
        patch.setattr(training, "_keep_epoch", stop)
        assert run(*words) == 130
    table.write_text(table.read_text().replace(",2\n", ",50\n"))
    assert run("train", "--resume", "stopped") == 0
    assert (trained / "history.csv").read_bytes() == Path("stopped/history.csv").read_bytes()
