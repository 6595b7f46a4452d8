"""Features and unlike images, from a run's validation part to ONNX Runtime alone."""

import csv
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from clearsight.bundle import export as bundling
from clearsight.bundle import thresholds
from clearsight.bundle.engines import Answers, Engine, batch_size, onnx_engine
from clearsight.bundle.format import read_bundle
from clearsight.bundle.predict import Prediction, Predictor, load
from clearsight.cli import main
from clearsight.config.parsing import parse
from clearsight.config.schema import Config
from clearsight.data.images import ImageSet
from clearsight.errors import BundleError, DataError
from clearsight.evaluation.selection import Threshold
from clearsight.files import read_json
from clearsight.models.factory import build
from clearsight.models.preprocess import Preprocess
from clearsight.runs import Run
from clearsight.training.checkpoint import load_classifier
from clearsight.workflows.export import export
from clearsight.workflows.loading import load_run
from clearsight.workflows.train import train
from tests.conftest import make_images

V1, V2 = (Path(__file__).parent / name for name in ("v1", "v2"))
ENGINES: tuple[Engine, ...] = ("onnx", "torch")

RUNTIME_ALONE = """
import json, sys
import numpy, onnxruntime
session = onnxruntime.InferenceSession("model.onnx")
about = session.get_modelmeta().custom_metadata_map
threshold = json.loads(about["calibration"])["unlike"]["threshold"]
images = numpy.load("images.npy")
features, unlike = session.run(["features", "unlike"], {"images": images})
print(json.dumps([features.shape, unlike.tolist(), (unlike > threshold).tolist()]))
assert not {"torch", "clearsight"} & set(sys.modules)
"""


def bands() -> ImageSet:
    return make_images(300, size=16)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Trained, with 120 validation images, and exported."""
    config = {
        "tracking": {"tracker": "none"},
        "data": {"source": "bands", "validation": 0.4, "test": 0.2},
        "model": {"name": "airnet-tiny"},
        "training": {"batch": 16, "precision": "fp32"},
        "phases": [{"epochs": 8, "lr": 0.05}],
    }
    folder = tmp_path_factory.mktemp("familiar") / "run"
    run = train(parse(Config, config), out=folder, data=bands())
    export(run, data=bands())
    return run


@pytest.fixture(scope="module")
def mixed() -> np.ndarray:
    """uint8 [N, 16, 16, 3]: images like those of the training, and flat ones; three batches."""
    grey = np.arange(0, 250, 5, dtype=np.uint8)[:, None, None, None] + np.zeros((16, 16, 3), "u1")
    return np.concatenate([make_images(200, size=16, seed=7).images, grey])


def test_the_threshold_lets_99_of_100_validation_images_pass(run: Run) -> None:
    each, content = load_run(run, data=bands()), read_json(run.calibration)
    pixels = each.images.images[each.split.validation]
    with torch.inference_mode():
        scores = -load_classifier(run.weights)(torch.from_numpy(pixels)).amax(1).numpy()
    # By hand: 99 % of 120 images are 118.8, so 119 pass and one does not.
    assert len(scores) == 120
    assert content["unlike"]["threshold"] == pytest.approx(np.sort(scores)[-2], rel=1e-5)
    assert content["unlike"]["passing"] == 0.99
    for engine in ENGINES:
        answers = load(run.bundle, engine).predict(pixels, familiar=True)
        assert sum(answer.reason == "unlike" for answer in answers) <= 2  # one, or rounding


def test_bundle_and_graph_carry_the_threshold_and_the_number_of_features(run: Run) -> None:
    bundle = read_bundle(run.bundle)
    assert bundle.features == 16
    assert bundle.calibration is not None
    assert bundle.calibration["unlike"] == read_json(run.calibration)["unlike"]
    card = (bundle.path / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "which 99% of the validation images are not" in card
    assert "no guarantee" in card


def test_both_engines_give_the_network_s_features_and_its_largest_logit(
    run: Run, mixed: np.ndarray
) -> None:
    model = load_classifier(run.weights)
    assert model.temperature != 1  # and yet the logits are those before calibration
    with torch.inference_mode():
        features = model.backbone(model.preprocess(torch.from_numpy(mixed)))
        scores = -model.head(features).amax(1).numpy()
    assert len(mixed) > 2 * batch_size(16)
    for engine in ENGINES:
        predictor = load(run.bundle, engine)
        found = predictor.features(mixed)
        assert (found.shape, found.dtype) == ((len(mixed), 16), np.float32)
        np.testing.assert_allclose(found, features.numpy(), rtol=1e-3, atol=1e-4)
        unlike = [each.unlike for each in predictor.predict(mixed)]
        np.testing.assert_allclose(np.array(unlike, float), scores, rtol=1e-3, atol=1e-4)


def test_labels_of_unlike_images_are_held_back_and_nothing_else_changes(
    run: Run, mixed: np.ndarray
) -> None:
    predictor = load(run.bundle)
    threshold = thresholds.unlike(predictor.bundle)
    plain, held = predictor.predict(mixed), predictor.predict(mixed, familiar=True)
    assert 0 < sum(each.label is None for each in held) < len(mixed)
    for before, after in zip(plain, held, strict=True):
        assert before.unlike is not None
        unlike = before.unlike > threshold
        assert (after.label, after.reason) == ((None, "unlike") if unlike else (before.label, None))
        changed = replace(after, label=before.label, reason=None)
        assert changed == before


def answering(run: Run, *answers: tuple[list[float], float]) -> Predictor:
    """A predictor whose engine gives these probabilities and scores, relative to the threshold."""
    predictor = load(run.bundle)
    threshold = thresholds.unlike(predictor.bundle)
    rows, scores = zip(*answers, strict=True)
    found = Answers(
        np.array(rows, np.float32), np.zeros((len(rows), 16)), threshold + np.array(scores)
    )
    return replace(predictor, run=lambda pixels: found)


def test_unlike_is_said_before_unsure_and_the_threshold_itself_passes(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thresholds, "sure", lambda bundle, accuracy: Threshold(0.5, 1.0))
    sure, unsure = [0.0, 1.0, 0.0], [0.3, 0.4, 0.3]
    predictor = answering(run, (sure, 0.0), (sure, 0.1), (unsure, 0.1), (unsure, 0.0))
    images = make_images(4, size=16).images
    answers = predictor.predict(images, sure=0.9, familiar=True)
    assert [each.reason for each in answers] == [None, "unlike", "unlike", "unsure"]
    assert [each.label for each in answers] == ["class1", None, None, None]


def test_a_score_that_is_no_number_does_not_pass(run: Run) -> None:
    predictor = answering(run, ([0.0, 1.0, 0.0], float("nan")))
    (answer,) = predictor.predict(make_images(1, size=16).images, familiar=True)
    assert answer.reason == "unlike"


def test_features_of_files_of_one_image_and_of_none(
    run: Run, mixed: np.ndarray, tmp_path: Path
) -> None:
    predictor, names = load(run.bundle), [tmp_path / f"{k}.png" for k in range(3)]
    for name, pixels in zip(names, mixed, strict=False):
        Image.fromarray(pixels).save(name)
    expected = predictor.features(mixed[:3])
    np.testing.assert_allclose(predictor.features(names), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(predictor.features(mixed[0]), expected[:1], rtol=1e-5, atol=1e-6)
    assert predictor.features([]).shape == (0, 16)
    names[1].write_bytes(b"no image")
    with pytest.raises(DataError, match=r"1\.png"):
        predictor.features(names)


def test_onnx_runtime_and_numpy_alone_tell_unlike_images(
    run: Run, mixed: np.ndarray, tmp_path: Path
) -> None:
    np.save(tmp_path / "images.npy", mixed)
    (tmp_path / "model.onnx").write_bytes(read_bundle(run.bundle).onnx.read_bytes())
    done = subprocess.run(
        [sys.executable, "-c", RUNTIME_ALONE],
        cwd=tmp_path, check=True, capture_output=True, text=True,
    )  # fmt: skip
    shape, unlike, above = json.loads(done.stdout)
    answers = load(run.bundle).predict(mixed, familiar=True)
    assert shape == [len(mixed), 16]
    assert unlike == pytest.approx([each.unlike for each in answers], abs=1e-5)
    assert above == [each.reason == "unlike" for each in answers]


def test_the_kept_bundle_of_version_2_has_a_score_in_both_engines() -> None:
    images = make_images(30).images
    one, other = (load(V2, engine) for engine in ENGINES)
    np.testing.assert_allclose(one.features(images), other.features(images), rtol=1e-3, atol=1e-4)
    scores = [[p.unlike for p in each.predict(images, familiar=True)] for each in (one, other)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_bundle_of_version_1_works_and_says_that_it_has_no_score(engine: Engine) -> None:
    predictor, images = load(V1, engine), make_images(2).images
    for answer in predictor.predict(images):
        assert answer.unlike is None
        assert "unlike" not in answer.to_dict()
    with pytest.raises(BundleError, match=r"v1: familiar images .* export its run anew"):
        predictor.predict(images, familiar=True)
    with pytest.raises(BundleError, match=r"v1: features were asked for, .* export its run"):
        predictor.features(images)


def test_without_a_validation_part_there_is_a_score_but_no_threshold(tmp_path: Path) -> None:
    images = make_images(2, size=16).images
    model = build("airnet-tiny", ("a", "b", "c"), Preprocess((0.5,) * 3, (0.25,) * 3))
    bundling.export(
        model, out=tmp_path / "bundle", fit="crop", size=16, metrics={}, provenance={},
        test_images=images, calibration=None,
    )  # fmt: skip
    assert "familiar" not in (tmp_path / "bundle" / "MODEL_CARD.md").read_text(encoding="utf-8")
    predictor = load(tmp_path / "bundle")
    assert all(each.unlike is not None for each in predictor.predict(images))
    assert predictor.features(images).shape == (2, 16)
    with pytest.raises(BundleError, match=r"no threshold .* with a validation part$"):
        predictor.predict(images, familiar=True)


@pytest.mark.parametrize("wrong", [1, 17])
def test_a_graph_without_the_features_that_bundle_json_names_is_refused(
    run: Run, wrong: int
) -> None:
    bundle = read_bundle(run.bundle)
    with pytest.raises(BundleError, match=rf"expects features tensor\(float\) \[{wrong}\]"):
        onnx_engine(bundle.onnx.read_bytes(), "model.onnx", replace(bundle, features=wrong))


@pytest.fixture
def photos(run: Run, mixed: np.ndarray, tmp_path: Path) -> list[str]:
    """The most and the least familiar image."""
    scores = [each.unlike or 0 for each in load(run.bundle).predict(mixed)]
    names = [str(tmp_path / name) for name in ("like.png", "unlike.png")]
    for name, k in zip(names, (np.argmin(scores), np.argmax(scores)), strict=True):
        Image.fromarray(mixed[k]).save(name)
    return names


def test_the_command_prints_the_score_and_holds_labels_back(
    run: Run, photos: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*flags: str) -> tuple[str, str]:
        assert main(["predict", str(run.bundle), *photos, *flags]) == 0
        return capsys.readouterr()

    out, err = said("--familiar")
    first, second = out.splitlines()
    assert "unlike (" not in first.removeprefix(photos[0])
    assert second.startswith(f"{photos[1]}  unlike (class")
    assert "99.00 % of the validation images; n = 120; no guarantee" in err
    assert err.endswith("unlike: 1 of 2 images\n")

    out, err = said("--json")
    rows: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    assert rows[0]["unlike"] < rows[1]["unlike"]
    assert rows[1]["label"] is not None
    assert err == ""
    rows = [json.loads(line) for line in said("--json", "--familiar")[0].splitlines()]
    assert [(row["label"] is None, row.get("reason")) for row in rows] == [
        (False, None), (True, "unlike"),
    ]  # fmt: skip

    head, *cells = csv.reader(io.StringIO(said("--csv", "--familiar")[0]))
    table = [dict(zip(head, row, strict=True)) for row in cells]
    assert [row["reason"] for row in table] == ["", "unlike"]
    assert [float(row["unlike"]) for row in table] == [row["unlike"] for row in rows]
    assert "reason" not in said("--csv")[0].splitlines()[0]


def test_the_command_says_of_an_old_bundle_in_one_sentence_why_not(
    photos: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(V1), *photos, "--familiar"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: bundle ")
    assert main(["predict", str(V1), *photos, "--csv"]) == 0
    assert "unlike" not in capsys.readouterr().out.splitlines()[0]


def test_a_prediction_without_a_score_is_as_before() -> None:
    before = Prediction("a.png", "cat", 1.0, {"cat": 1.0})
    assert before.to_dict() == {
        "file": "a.png", "label": "cat", "probability": 1.0, "probabilities": {"cat": 1.0},
    }  # fmt: skip
