"""A run is calibrated on its validation part; its probabilities change, its labels do not."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clearsight.bundle.format import read_bundle
from clearsight.bundle.predict import load
from clearsight.config.parsing import parse
from clearsight.config.schema import Config
from clearsight.data.images import ImageSet
from clearsight.evaluation.calibration import fit_temperature
from clearsight.evaluation.metrics import predict_logits, predict_probabilities
from clearsight.evaluation.predictions import read_predictions
from clearsight.files import read_json, write_json
from clearsight.runs import Run
from clearsight.training.checkpoint import METADATA, load_classifier
from clearsight.workflows import calibrate as calibration
from clearsight.workflows.evaluate import evaluate
from clearsight.workflows.export import export
from clearsight.workflows.loading import load_run
from clearsight.workflows.results import missing
from clearsight.workflows.train import resume, train
from tests.conftest import make_images


def bands() -> ImageSet:
    """300 images of 3 classes, of which some are hard to tell apart."""
    images = make_images(300, size=16)
    noise = np.random.default_rng(1).integers(0, 200, images.images.shape, dtype=np.uint8)
    return replace(images, images=np.maximum(images.images, noise))


def trained(folder: Path, **tables: Any) -> Run:
    table: dict[str, Any] = {
        "tracking": {"tracker": "none"},
        "data": {"source": "bands", "validation": 0.4, "test": 0.3},
        "model": {"name": "airnet-tiny"},
        "training": {"batch": 16, "precision": "fp32", "label_smoothing": 0.3},
        "phases": [{"epochs": 2, "lr": 0.05}],
        "evaluation": {"tta": "flip"},
    }
    return train(parse(Config, table | tables), out=folder / "run", data=bands())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(tmp_path_factory.mktemp("calibrated"))


def test_the_temperature_is_fitted_on_the_validation_part_and_kept_in_the_checkpoint(
    run: Run,
) -> None:
    each, content = load_run(run, data=bands()), read_json(run.calibration)
    model, indices = load_classifier(run.weights), each.split.validation
    pixels, labels = each.images.images[indices], each.images.labels[indices]
    averaged, plain = predict_logits(model, pixels, tta="flip")
    assert content["n"] == len(indices) == 120
    assert content["temperature"] == pytest.approx(fit_temperature(plain, labels))
    assert content["tta"]["views"] == "flip"
    assert content["tta"]["temperature"] == pytest.approx(fit_temperature(averaged, labels))
    assert model.temperature == content["temperature"] != 1.0
    kept = read_predictions(run.validation_predictions)
    np.testing.assert_allclose(kept.probabilities, predict_probabilities(model, pixels))
    np.testing.assert_array_equal(kept.probabilities.argmax(1), plain.argmax(1))


def test_every_way_to_a_probability_gives_the_calibrated_one(run: Run, tmp_path: Path) -> None:
    each = load_run(run, data=bands())
    _, indices = each.measured()
    pixels, model = each.images.images[indices], load_classifier(run.weights)
    bundle = export(run, out=tmp_path / "bundle", data=each.images)
    with torch.inference_mode():
        logits = model(torch.from_numpy(pixels))
        expected = (logits / model.temperature).softmax(1).numpy()
    ways = {
        "run": predict_probabilities(model, pixels),
        "onnx": load(bundle, engine="onnx").run(pixels).probabilities,
        "torch": load(bundle, engine="torch").run(pixels).probabilities,
    }
    for way, found in ways.items():
        np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=way)
        np.testing.assert_array_equal(found.argmax(1), logits.argmax(1), err_msg=way)


def test_the_bundle_and_its_graph_keep_what_was_fitted(run: Run, tmp_path: Path) -> None:
    import onnxruntime

    bundle = read_bundle(export(run, out=tmp_path / "bundle", data=bands()))
    content = read_json(run.calibration)
    del content["tta"]  # a bundle predicts by one view
    assert bundle.calibration == content
    session = onnxruntime.InferenceSession(bundle.onnx)
    assert json.loads(session.get_modelmeta().custom_metadata_map["calibration"]) == content
    card = (bundle.path / "MODEL_CARD.md").read_text("utf-8")
    assert "The probabilities are calibrated for images like those of the validation part" in card


def test_views_that_are_not_the_recipe_s_get_their_own_temperature(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = []

    def recorded(logits: np.ndarray, labels: np.ndarray) -> float:
        fitted.append(fit_temperature(logits, labels))
        return fitted[-1]

    monkeypatch.setattr(calibration, "fit_temperature", recorded)
    evaluate(run, tta="flip+shift", data=bands())
    evaluate(run, tta="none", data=bands())
    assert len(fitted) == 1


def test_a_run_measured_before_calibration_is_left_alone_until_it_is_evaluated(
    run: Run, tmp_path: Path
) -> None:
    old = Run(shutil.copytree(run.path, tmp_path / "run"))
    stages = read_json(old.stages)
    files = [*stages["measured"], "predictions-validation.parquet"]
    del stages["calibrated"]
    write_json(old.stages, stages | {"measured": files})
    old.calibration.unlink()
    about = read_json(old.weights / METADATA)
    temperature = about.pop("temperature")
    write_json(old.weights / METADATA, about)

    assert missing(old) == []
    assert load_classifier(old.weights).temperature == 1.0
    bundle = read_bundle(export(old, data=bands()))
    assert bundle.calibration is None
    card = (bundle.path / "MODEL_CARD.md").read_text("utf-8")
    assert "were not calibrated" in card
    evaluate(old, data=bands())
    assert load_classifier(old.weights).temperature == temperature
    assert read_json(old.stages)["calibrated"]
    assert missing(old) == []


def test_without_a_validation_part_nothing_is_calibrated(tmp_path: Path) -> None:
    run = trained(tmp_path, data={"source": "bands", "validation": 0.0, "test": 0.3})
    assert not run.calibration.exists()
    assert not run.validation_predictions.exists()
    assert read_json(run.stages)["calibrated"] == []
    assert missing(run) == []
    assert load_classifier(run.weights).temperature == 1.0
    bundle = read_bundle(export(run, data=bands()))
    assert bundle.calibration is None
    assert "that takes a validation part" in (bundle.path / "MODEL_CARD.md").read_text("utf-8")


def test_a_run_killed_while_it_was_calibrated_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(calibration, "save_temperature", fail)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path)
    run = Run(tmp_path / "run")
    assert missing(run) == ["calibrated", "measured", "explained", "explored", "reported"]
    resume(run.path, data=bands())
    assert missing(run) == []
    assert load_classifier(run.weights).temperature == read_json(run.calibration)["temperature"]
