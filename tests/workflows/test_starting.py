"""Training on from a run, from files to `evaluation.json`."""

from dataclasses import replace
from pathlib import Path

import pytest

from clearsight.config.parsing import parse
from clearsight.config.schema import Config
from clearsight.data.images import ImageSet
from clearsight.files import read_json
from clearsight.runs import Run
from clearsight.training.checkpoint import load_metadata
from clearsight.workflows.evaluate import evaluate
from clearsight.workflows.train import train
from tests.conftest import make_images
from tests.recorder import Recorder

IMAGES = make_images(90, size=16)


def config_of(weights: str | None = None) -> Config:
    return parse(Config, {
        "tracking": {"tracker": "none"},
        "model": {"name": "airnet-tiny", **({"weights": weights} if weights else {})},
        "training": {"batch": 16, "precision": "fp32"},
        "phases": [{"epochs": 2, "lr": 0.01}],
    })  # fmt: skip


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(config_of(), out=tmp_path_factory.mktemp("first") / "old", data=IMAGES)


def test_a_run_that_goes_on_tells_before_and_after(first: Run, tmp_path: Path) -> None:
    other = replace(IMAGES, classes=("class0", "other", "class2"))
    seen = Recorder()
    run = train(config_of(str(first.path)), out=tmp_path / "new", data=other, progress=seen)
    said = "weights of run old (airnet-tiny): the backbone, and 2 of 3 classes by their names"
    assert any(line.startswith(said) for line in seen.lines)
    found = read_json(run.evaluation)["kept_classes"]
    assert (found["source"], found["classes"], found["n"]) == ("run old", 2, 6)
    start = read_json(run.start)
    assert found["before"]["value"] == start["right"] / 6
    assert load_metadata(run.weights)["weights"]["source"] == "run old"
    assert "of the 2 classes that run old knew" in run.report.read_text(encoding="utf-8")


def test_the_same_images_measure_the_same_before_as_the_first_run_after(
    first: Run, tmp_path: Path
) -> None:
    run = train(config_of(str(first.path)), out=tmp_path / "new", data=IMAGES)
    before = read_json(run.evaluation)["kept_classes"]["before"]
    assert before == read_json(first.evaluation)["accuracy"]


def test_measuring_again_needs_no_weights_and_says_the_same(
    tmp_path: Path, images: ImageSet
) -> None:
    old = train(config_of(), out=tmp_path / "old", data=images)
    run = train(config_of(str(old.path)), out=tmp_path / "new", data=images)
    found = read_json(run.evaluation)["kept_classes"]
    old.path.rename(tmp_path / "gone")
    assert evaluate(run, data=images)["kept_classes"] == found


def test_random_weights_have_nothing_to_compare(first: Run) -> None:
    assert not first.start.exists()
    assert "kept_classes" not in read_json(first.evaluation)
