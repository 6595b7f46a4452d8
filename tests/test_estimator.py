"""The scikit-learn classifier: parameters without training, then one that is fitted."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted

import clearsight
from clearsight import ClearsightClassifier
from clearsight.errors import ConfigError, DataError, UsageError
from tests.conftest import make_images

NAMES = np.array(["pear", "apple", "fig"])
FIELDS: dict[str, Any] = {
    "model__name": "airnet-tiny", "phases__0__epochs": 12, "training__batch": 16,
    "training__precision": "fp32", "data__size": 16,
}  # fmt: skip


def data(n: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [n, 16, 16], a bright third each, and the fruit whose third it is."""
    images = make_images(n, size=16)
    return images.images[..., 0], NAMES[images.labels]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> ClearsightClassifier:
    """On 90 images; tests only read it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return ClearsightClassifier("digits", **FIELDS).fit(*data(90))


def test_fields_are_parameters_that_survive_cloning() -> None:
    classifier = ClearsightClassifier("digits", phases__0__lr=0.1)
    assert classifier.get_params() == {"recipe": "digits", "verbose": False, "phases__0__lr": 0.1}
    assert repr(classifier) == "ClearsightClassifier(phases__0__lr=0.1, recipe='digits')"
    assert is_classifier(classifier)
    copy = clone(classifier)
    copy.set_params(phases__0__lr=0.2, recipe="resnet20", training__seed=1)
    assert copy.get_params() == {
        "recipe": "resnet20", "verbose": False, "phases__0__lr": 0.2, "training__seed": 1,
    }  # fmt: skip
    assert classifier.get_params()["phases__0__lr"] == 0.1
    pipeline = Pipeline([("model", classifier)]).set_params(model__phases__0__lr=0.3)
    assert pipeline.get_params()["model__phases__0__lr"] == 0.3


def test_mistakes_are_found_before_training() -> None:
    X, y = data(6)
    with pytest.raises(ConfigError, match=r"training\.epoch: no such setting"):
        ClearsightClassifier("digits", training__epoch=3).fit(X, y)
    with pytest.raises(ConfigError, match="no such recipe"):
        ClearsightClassifier("digit").fit(X, y)
    with pytest.raises(DataError, match="expected a label for each of the 6 images"):
        ClearsightClassifier("digits").fit(X, y[:5])
    with pytest.raises(UsageError, match=r"y: found shape \[6, 1\]"):
        ClearsightClassifier("digits").fit(X, y[:, None])
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        ClearsightClassifier("digits").fit(X, np.linspace(0.1, 0.9, 6))
    with pytest.raises(DataError, match="found float64"):
        ClearsightClassifier("digits").fit(X / 255, y)
    with pytest.raises(NotFittedError):
        ClearsightClassifier("digits").predict(X)
    with pytest.raises(NotFittedError):
        ClearsightClassifier("digits").export("bundle")


def test_it_learns_and_answers_with_the_labels_it_was_given(fitted: ClearsightClassifier) -> None:
    X, y = data(120)
    new, true = X[90:], y[90:]
    assert fitted.classes_.tolist() == ["apple", "fig", "pear"]
    probabilities = fitted.predict_proba(new)
    assert probabilities.shape == (30, 3)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    assert (fitted.predict(new) == fitted.classes_[probabilities.argmax(1)]).all()
    assert fitted.score(new, true) == (fitted.predict(new) == true).mean() > 0.8
    assert fitted.evaluation_["split"] == "validation"
    assert fitted.evaluation_["n"] == 9
    check_is_fitted(fitted)


def test_what_holds_the_pixels_changes_nothing(fitted: ClearsightClassifier) -> None:
    X, _ = data(6)
    expected = fitted.predict_proba(X)
    colour = np.repeat(X[..., None], 3, axis=3)
    for same in (X[..., None], colour, list(X), [Image.fromarray(each) for each in colour]):
        np.testing.assert_array_equal(fitted.predict_proba(same), expected)


def test_a_pickle_and_a_bundle_say_the_same(fitted: ClearsightClassifier, tmp_path: Path) -> None:
    X, _ = data(6)
    expected = fitted.predict_proba(X)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(X), expected)
    bundle = clearsight.load(again.export(tmp_path / "bundle"))
    found = bundle.predict([Image.fromarray(each) for each in X])
    np.testing.assert_allclose([p.probability for p in found], expected.max(1), atol=1e-6)
    assert "airnet-tiny" in bundle._repr_html_()
    assert repr(found) == "<6 predictions>"
    assert found._repr_html_().count("<tr>") == 7
    with pytest.raises(UsageError, match="exists already"):
        fitted.export(tmp_path / "bundle")


def test_fitting_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(DataError, match="needs at least two"):
        ClearsightClassifier("digits").fit(data(6)[0], ["same"] * 6)
    classifier = ClearsightClassifier("digits", **FIELDS).set_params(phases__0__epochs=1)
    assert classifier.fit(*data(30)).classes_.tolist() == ["apple", "fig", "pear"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_cross_validation_and_grid_search_use_it_in_a_pipeline() -> None:
    X, y = data(60)
    flat = X.reshape(len(X), -1)
    shape = FunctionTransformer(lambda rows: rows.reshape(-1, 16, 16))
    pipeline = Pipeline([("shape", shape), ("model", ClearsightClassifier("digits", **FIELDS))])
    scores = cross_val_score(pipeline, flat, y, cv=2)
    assert scores.shape == (2,)
    assert (scores > 0.5).all()
    search = GridSearchCV(pipeline, {"model__phases__0__lr": [1e-9, 0.05]}, cv=2, refit=False)
    search.fit(flat, y)
    assert search.best_params_ == {"model__phases__0__lr": 0.05}
