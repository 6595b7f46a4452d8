"""The way through, with real tiny runs: what each station leaves, and what failures leave."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clearsight.bundle.predict import load
from clearsight.config.parsing import parse
from clearsight.config.schema import Config
from clearsight.errors import (
    ConfigError,
    DataError,
    DataNotFoundError,
    RunError,
    TrainingError,
    UsageError,
)
from clearsight.evaluation.predictions import read_predictions
from clearsight.files import read_csv, read_json
from clearsight.progress import Silent
from clearsight.runs import Run, open_run
from clearsight.workflows.audit import audit
from clearsight.workflows.evaluate import evaluate
from clearsight.workflows.explain import explain
from clearsight.workflows.export import export
from clearsight.workflows.loading import load_data, load_run
from clearsight.workflows.train import resume, train
from tests.recorder import Recorder

FIGURES = {
    "sample_images", "class_distribution", "augmentation_examples", "training_curves",
    "confusion_matrix", "coverage_accuracy", "per_class", "reliability", "worst_mistakes",
    "heatmap_samples", "heatmap_confusions",
}  # fmt: skip
DIVERGING = {"epochs": 1, "lr": 1e4, "weight_decay": 1e3, "schedule": "constant"}


class Listener(Recorder):
    """Presses Ctrl-C after the first epoch if asked to."""

    def __init__(self, *, interrupt: bool = False) -> None:
        super().__init__()
        self.interrupt = interrupt

    def epoch(self, row: object) -> None:
        if self.interrupt:
            os.kill(os.getpid(), signal.SIGINT)


def draw(path: Path, label: int, rng: np.random.Generator) -> None:
    """A noisy picture, bright in the third that its label says, of any size near 24 px."""
    width, height = rng.integers(18, 30, 2)
    pixels = rng.integers(0, 120, (height, width, 3), dtype=np.uint8)
    third = height // 3
    pixels[label * third : (label + 1) * third] += 120
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A flat class folder: 3 classes of 20 images in two formats."""
    folder, rng = tmp_path_factory.mktemp("data") / "bands", np.random.default_rng(0)
    for label in range(3):
        for i in range(20):
            draw(folder / f"class{label}" / f"{i}.{('png', 'bmp')[i % 2]}", label, rng)
    return folder


def small(source: Path | str, **data: object) -> Config:
    table = {
        "tracking": {"tracker": "none"},
        "data": {"source": str(source), "size": 16, **data},
        "augment": {"flip": "random"},
        "model": {"name": "airnet-tiny"},
        "training": {"batch": 16, "precision": "fp32"},
        "phases": [{"epochs": 2, "lr": 0.05}],
    }
    return parse(Config, table)


@pytest.fixture(scope="module")
def run(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run on the pictures; tests only read it."""
    place = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        return train(small(pictures), out=place / "run")


def test_training_leaves_a_measured_explained_and_reported_run(run: Run) -> None:
    evaluation = read_json(run.evaluation)
    assert (evaluation["split"], evaluation["n"], evaluation["tta"]) == ("test", 6, "none")
    assert {path.stem for path in run.figures.iterdir()} >= FIGURES
    predictions = read_predictions(run.predictions)
    right = predictions.probabilities.argmax(1) == predictions.labels
    assert right.mean() == pytest.approx(evaluation["accuracy"]["value"])
    assert run.report.read_text("utf-8").count("<img") == len(FIGURES)
    assert list(run.path.rglob(".*")) == []


def test_measuring_again_gives_the_same_and_names_augmentation(run: Run) -> None:
    before = read_json(run.evaluation)
    augmented = evaluate(run, tta="flip")
    assert augmented["tta"] == "flip"
    assert augmented["accuracy_without_tta"]["value"] == before["accuracy"]["value"]
    assert read_json(run.evaluation) == before  # that of the recipe stays
    evaluate(run, tta="none")
    assert read_json(run.evaluation) == before


def test_a_bundle_says_what_the_run_says(run: Run, pictures: Path, tmp_path: Path) -> None:
    bundle = export(run, out=tmp_path / "bundle")
    again = export(run, out=tmp_path / "bundle")  # replaces the older one
    assert bundle == again
    images = load_data(run.config(), None, Silent())
    part, where = load_run(run, data=images).measured()
    expected = read_predictions(run.predictions).probabilities
    assert part == "test"
    for engine in ("onnx", "torch"):
        found = load(bundle, engine=engine).predict(images.images[where])
        each = np.array([list(prediction.probabilities.values()) for prediction in found])
        assert [p.label for p in found] == [images.classes[k] for k in expected.argmax(1)]
        np.testing.assert_allclose(each, expected, atol=1e-3)


def test_images_are_explained_by_run_and_bundle(run: Run, pictures: Path, tmp_path: Path) -> None:
    files = [pictures / "class0" / "0.png", pictures / "class1" / "0.png"]
    bundle = export(run, out=tmp_path / "bundle")
    for target in (run, bundle):
        out = tmp_path / f"by {type(target).__name__}"
        written = explain(target, files, out=out)
        assert [path.name for path in written] == ["0_heatmap.png", "0-2_heatmap.png"]
        assert sorted(out.iterdir()) == sorted(written)
    with pytest.raises(UsageError, match="a bundle holds no images"):
        explain(bundle)


def test_without_a_test_part_validation_is_measured_and_named_so(
    pictures: Path, tmp_path: Path
) -> None:
    config = small(pictures, test=0.0, validation=0.2)
    config = replace(config, phases=(replace(config.phases[0], steps=2),))
    finished = train(config, out=tmp_path / "run")
    evaluation = read_json(finished.evaluation)
    assert (evaluation["split"], evaluation["n"]) == ("validation", 12)


def test_ctrl_c_says_how_to_go_on_and_resuming_gives_the_same_run(
    run: Run, pictures: Path, tmp_path: Path
) -> None:
    path, config = tmp_path / "cut", small(pictures)
    with pytest.raises(KeyboardInterrupt, match=rf"clearsight train --resume {path}"):
        train(config, out=path, progress=Listener(interrupt=True))
    cut = open_run(path)
    assert len(read_csv(cut.history)) == 1
    assert not cut.evaluation.exists()
    with pytest.raises(RunError, match=r"not measured yet; finish it with .*--resume"):
        export(cut)
    resumed = resume(path)
    assert resumed.history.read_bytes() == run.history.read_bytes()
    weights = Path("model.safetensors")
    assert (resumed.last / weights).read_bytes() == (run.last / weights).read_bytes()
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*")}
    listener = Listener()
    resume(path, progress=listener)
    assert listener.lines == [f"run {path}: it is complete, nothing to resume"]
    assert {file: file.stat().st_mtime_ns for file in path.rglob("*")} == before


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"data": {"source": "absent"}}, DataNotFoundError),
        ({"data": {"source": "one"}}, DataError),
        ({"model": {"name": "resnet21"}}, ConfigError),
        ({"training": {"batch": 2}, "phases": [DIVERGING]}, TrainingError),
    ],
)
def test_a_run_that_can_not_begin_leaves_nothing(
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict,
    error: type[Exception],
) -> None:
    draw(tmp_path / "one" / "class0" / "1.png", 0, np.random.default_rng(0))
    monkeypatch.chdir(tmp_path)
    table = {
        "data": {"source": str(pictures), "size": 16},
        "model": {"name": "resnet20"},
        "training": {"batch": 16},
        "tracking": {"tracker": "none"},
    }
    with pytest.raises(error):
        train(parse(Config, table | change), out=tmp_path / "runs" / "run")
    assert not (tmp_path / "runs" / "run").exists()


def test_an_existing_run_is_refused_and_left_alone(run: Run, pictures: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    with pytest.raises(RunError, match="exists already"):
        train(small(pictures), out=run.path)
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*")} == before


def test_an_audit_names_damaged_files_and_leaves_them_out(pictures: Path, tmp_path: Path) -> None:
    folder, rng = tmp_path / "data", np.random.default_rng(1)
    for label in range(2):
        for i in range(12):
            draw(folder / f"class{label}" / f"{i}.png", label, rng)
    whole = (folder / "class0" / "3.png").read_bytes()
    (folder / "class0" / "3.png").write_bytes(whole[:60])
    (folder / "class1" / "copy.png").write_bytes((folder / "class1" / "5.png").read_bytes())
    report = audit(str(folder), out=tmp_path / "figures")
    assert report.images == 24
    assert [sentence.split(":")[0] for sentence in report.corrupt] == [
        str(folder / "class0" / "3.png")
    ]
    assert len(report.exact) == 1
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert names == {"sample_images.png", "class_distribution.png"}
    with pytest.raises(DataError, match=r"class0/3\.png: can't be decoded"):
        train(small(folder), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
