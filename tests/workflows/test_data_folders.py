"""Folders as people have them, through whole runs."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clearsight.config.parsing import parse
from clearsight.config.schema import Config
from clearsight.errors import ConfigError
from clearsight.files import read_json
from clearsight.workflows.audit import audit
from clearsight.workflows.evaluate import evaluate
from clearsight.workflows.train import train
from tests.recorder import Recorder


def draw(folder: Path, **counts: int) -> Path:
    """So many pictures of each class: noise, whose brightness tells the class."""
    rng = np.random.default_rng(0)
    for k, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 120, (16, 16, 3), dtype=np.uint8) + np.uint8(60 * k)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


def recipe(source: Path, **data: object) -> Config:
    return parse(
        Config,
        {
            "tracking": {"tracker": "none"},
            "data": {"source": str(source), "size": 16, **data},
            "model": {"name": "airnet-tiny"},
            "training": {"batch": 16, "precision": "fp32"},
            "phases": [{"epochs": 1, "lr": 0.05}],
        },
    )


def test_runs_inside_the_data_change_nothing(tmp_path: Path) -> None:
    data = draw(tmp_path / "pets", cat=20, dog=20)
    first = train(recipe(data), out=data / "runs" / "first")
    listener = Recorder()
    second = train(recipe(data), out=data / "second", progress=listener)
    assert read_json(second.split) == read_json(first.split)
    # The folder of the run that reads the data is there as well by then.
    assert "data: left out (written by clearsight): runs/, second" in listener.lines
    assert evaluate(second)["n"] == 4


def test_a_rare_class_is_trained_on_and_said(tmp_path: Path) -> None:
    data = draw(tmp_path / "pets", cat=20, dog=20, fox=1)
    listener = Recorder()
    run = train(recipe(data), out=tmp_path / "run", progress=listener)
    note = (
        "data: 1 of 3 classes have no images in validation and test and are not measured there: "
        "'fox' (1 in train)"
    )
    assert note in listener.lines
    assert [row["support"] for row in read_json(run.evaluation)["per_class"]] == [2, 2, 0]
    assert evaluate(run)["n"] == 4


def test_without_any_part_to_measure_nothing_is_trained(tmp_path: Path) -> None:
    data = draw(tmp_path / "pets", cat=5, dog=5)
    with pytest.raises(ConfigError, match=r"data\.validation and data\.test: found 0 for both"):
        train(recipe(data, validation=0.0, test=0.0), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_audit_of_what_cannot_be_split_says_why(tmp_path: Path) -> None:
    data = draw(tmp_path / "pets", cat=2, dog=2)
    report = audit(str(data), out=tmp_path / "figures")
    assert report.counts == {"all": [2, 2]}
    assert report.notes[0].startswith("it can't be split for training: pets: no class has 3")
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert names == {"sample_images.png", "class_distribution.png"}
