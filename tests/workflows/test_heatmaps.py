"""Heatmaps of a run: tested when it is trained, of every method on demand, with a dossier."""

import numpy as np
import pytest

from clearsight.config.parsing import parse
from clearsight.config.schema import Config
from clearsight.explanation.methods import DEFAULT, METHODS
from clearsight.files import read_json
from clearsight.runs import Run
from clearsight.workflows import faithfulness
from clearsight.workflows.evaluate import evaluate
from clearsight.workflows.explain import explain
from clearsight.workflows.train import train
from tests.conftest import make_images


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that learned little of 90 images of 16 px, so that it confuses classes."""
    folder = tmp_path_factory.mktemp("heatmaps")
    images = make_images(90, size=16)
    np.savez(
        folder / "bands.npz", images=images.images, labels=images.labels, classes=images.classes
    )
    config = parse(Config, {
        "tracking": {"tracker": "none"},
        "data": {"source": str(folder / "bands.npz")},
        "model": {"name": "airnet-tiny"},
        "training": {"batch": 16, "precision": "fp32"},
        "phases": [{"epochs": 0.1, "lr": 0.001}],
    })  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        return train(config, out=folder / "run")


def test_a_trained_run_has_tested_its_heatmaps(run: Run) -> None:
    judged = read_json(run.faithfulness)
    assert (judged["split"], judged["n"], judged["method"]) == ("test", 9, DEFAULT)
    assert [row["name"] for row in judged["rows"]] == ["centred blob", "random map", DEFAULT]
    assert "9 test images are too few" in run.report.read_text(encoding="utf-8")


def test_explaining_by_another_method_tests_that_and_writes_the_dossier(run: Run) -> None:
    written = explain(run, method="layer-cam")
    assert {path.name for path in written} == {
        "heatmap_samples.png", "heatmap_confusions.png", "faithfulness.json", "dossier.json",
        "dossier.png",
    }  # fmt: skip
    assert read_json(run.faithfulness)["method"] == "layer-cam"
    dossier = read_json(run.dossier)
    assert dossier["method"] == "layer-cam"
    assert dossier["searched"] == dossier["training"]
    assert dossier["pairs"][0]["examples"][0]["neighbours"]
    assert "Confusions, image by image" in run.report.read_text(encoding="utf-8")


@pytest.mark.slow
def test_every_method_is_tested_on_demand_and_the_result_kept(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faithfulness, "IMAGES", 4)
    monkeypatch.setattr(faithfulness, "STEPS", 2)
    evaluate(run, faithfulness=True)
    judged = read_json(run.faithfulness)
    assert [row["name"] for row in judged["rows"]][2:] == list(METHODS)
    assert all("randomised" in row for row in judged["rows"][2:])
    explain(run, method="occlusion")  # known already, of more images
    again = read_json(run.faithfulness)
    assert again["method"] == "occlusion"
    assert again["rows"] == judged["rows"]
