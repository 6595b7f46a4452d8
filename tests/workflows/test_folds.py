"""`clearsight train --folds`: each image is measured once, and what was done is not done again."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clearsight.cli import main
from clearsight.evaluation.predictions import read_predictions
from clearsight.files import read_json
from tests.conftest import make_images

WORDS = [
    "train", "digits", "--data", "stripes", "--folds", "3", "--out", "cv", "--tracking", "none",
    "--model.name", "airnet-tiny", "--data.size", "32", "--data.validation", "0",
    "--phases.0.steps", "3", "--training.batch", "16",
]  # fmt: skip


@pytest.mark.slow
def test_folds_are_trained_pooled_and_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    images = make_images(47)
    for k in range(47):
        folder = Path("stripes", images.classes[images.labels[k]])
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images.images[k]).save(folder / f"{k}.png")
    assert main([*WORDS, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == read_json(Path("cv/folds.json"))
    found = [read_predictions(Path(f"cv/fold{k}/predictions.parquet")) for k in (1, 2, 3)]
    ids = np.concatenate([each.ids for each in found])
    assert result["n"] == len(ids) == len(set(ids.tolist())) == 47
    right = sum(int((e.probabilities.argmax(1) == e.labels).sum()) for e in found)
    assert result["accuracy"]["value"] == pytest.approx(right / 47)
    assert [run["n"] for run in result["runs"]] == [len(each.ids) for each in found]
    assert result["over_folds"]["mean"] == pytest.approx(
        np.mean([run["accuracy"] for run in result["runs"]])
    )

    kept = Path("cv/fold1/history.csv").stat().st_mtime_ns
    shutil.rmtree("cv/fold3")
    assert main(WORDS) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "n = 47), each by the model that did not see it 3 folds: accuracy" in said
    assert read_json(Path("cv/folds.json")) == result
    assert Path("cv/fold1/history.csv").stat().st_mtime_ns == kept

    for table, words in {"data": ["--data.seed", "7"], "phases": ["--phases.0.lr", "9"]}.items():
        assert main([*WORDS, *words]) == 1
        told = " ".join(capsys.readouterr().err.split())
        assert f"run cv/fold1: its [{table}] is not that of this recipe and fold" in told


@pytest.mark.parametrize(("folds", "more"), [("1", []), ("1000", []), ("3", ["--seeds", "2"])])
def test_folds_that_make_no_sense_are_refused(
    folds: str, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "digits", "--folds", folds, *more]) == 2
    assert "--folds: found" in capsys.readouterr().err
