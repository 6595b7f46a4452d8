"""Doubt about labels: by hand, and with cleanlab and scikit-learn as oracles."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cleanlab.rank import get_label_quality_scores
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from clearsight.data.relabelling import read_corrections
from clearsight.errors import UsageError
from clearsight.evaluation import doubt
from clearsight.evaluation.doubt import (
    cleanlab_evidence,
    from_margins,
    from_probabilities,
    in_doubt,
    out_of_fold,
    ranked,
    trailing,
    write_doubts,
)
from tests.conftest import make_images


def clusters(n: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features [n, 8] around a centre for each class, and labels that all classes have."""
    draw = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    centres = draw.normal(size=(classes, 8)) * 4
    return (centres[labels] + draw.normal(size=(n, 8))).astype(np.float32), labels


def test_evidence_from_margins_is_their_mean_over_the_steps() -> None:
    found = from_margins(
        np.array([4.0, -6.0, 0.0], np.float32),
        np.array([2, 3, 0], np.int32),
        np.array([1, 2, 0], np.int32),
    )
    np.testing.assert_allclose(found.margins, [2, -2, np.nan])
    np.testing.assert_allclose(found.scores, [0.8807970, 0.1192029, np.nan], atol=1e-7)
    assert found.suggested.tolist() == [1, 2, 0]
    assert found.observations.tolist() == [2, 3, 0]


def test_evidence_from_probabilities_by_hand() -> None:
    probabilities = np.array([[0.5, 0.2, 0.3], [0.0, 1.0, 0.0], [np.nan] * 3])
    found = from_probabilities(np.array([2, 1, 0]), probabilities)
    np.testing.assert_allclose(found.scores, [0.3, 1, np.nan])
    np.testing.assert_allclose(found.margins[0], np.log(0.3 / 0.5))
    assert np.isfinite(found.margins[1])  # though the others have no probability at all
    assert found.suggested.tolist() == [0, 0, 0]
    assert found.observations.tolist() == [1, 1, 0]


def test_scores_are_those_of_cleanlab() -> None:
    draw = np.random.default_rng(0)
    probabilities, labels = draw.dirichlet(np.ones(7), 60), draw.integers(0, 7, 60)
    expected = get_label_quality_scores(labels, probabilities)
    np.testing.assert_allclose(cleanlab_evidence(labels, probabilities).scores, expected)
    probabilities[3] = np.nan
    found = cleanlab_evidence(labels, probabilities).scores
    assert np.isnan(found[3])
    np.testing.assert_allclose(np.delete(found, 3), np.delete(expected, 3))


def test_without_cleanlab_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cleanlab.rank", None)
    with pytest.raises(UsageError, match=r"pip install 'clearsight\[doubt\]'"):
        cleanlab_evidence(np.array([0, 1]), np.full((2, 2), 0.5))


def test_heads_out_of_fold_are_those_of_scikit_learn() -> None:
    features, labels = clusters(150, 3)
    found = out_of_fold(features, labels, 3, seed=5)
    # Scaled once, and not in each fold: it uses no label, so nothing of one leaks.
    scaled = StandardScaler().fit_transform(features)
    head = make_pipeline(LogisticRegression(C=1 / doubt.PENALTY, max_iter=200))
    folds = PredefinedSplit(doubt._folds(labels, 5))
    expected = cross_val_predict(head, scaled, labels, cv=folds, method="predict_proba")
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_folds_have_an_equal_share_of_every_class() -> None:
    labels = np.repeat([0, 1, 2], [50, 10, 5])
    folds = doubt._folds(labels, 0)
    counts = [[int(((folds == f) & (labels == k)).sum()) for f in range(5)] for k in range(3)]
    assert counts == [[10] * 5, [2] * 5, [1] * 5]


def test_heads_out_of_fold_find_wrong_labels() -> None:
    features, true = clusters(300, 3)
    given = true.copy()
    given[:9] = (given[:9] + 1) % 3
    evidence = cleanlab_evidence(given, out_of_fold(features, given, 3, seed=0))
    assert {*evidence.scores.argsort()[:9].tolist()} == {*range(9)}
    assert evidence.suggested[:9].tolist() == true[:9].tolist()


def test_a_class_of_one_image_is_not_judged() -> None:
    features, labels = clusters(61, 3)
    labels[60] = 3
    found = out_of_fold(features, labels, 4, seed=0)
    assert np.isnan(found[60]).all()
    assert np.isfinite(found[:60]).all()
    assert found[:60].sum(1) == pytest.approx(1)


def test_one_class_alone_is_not_judged_and_a_constant_feature_is_no_trouble() -> None:
    assert np.isnan(out_of_fold(np.ones((10, 2)), np.zeros(10, int), 1, seed=0)).all()
    features, labels = clusters(60, 3)
    features[:, 0] = 7
    assert np.isfinite(out_of_fold(features, labels, 3, seed=0)).all()


def test_a_thousand_classes() -> None:
    draw = np.random.default_rng(0)
    labels = np.arange(2000) % 1000
    probabilities = draw.dirichlet(np.ones(1000), 2000)
    found = cleanlab_evidence(labels, probabilities)
    assert np.isfinite(found.scores).all()
    assert (found.suggested != labels).all()


def test_all_parts_are_ranked_together_and_the_unknown_come_last() -> None:
    images = make_images(6)
    train = from_margins(np.array([3.0, -1.0, 0.0]), np.array([1, 1, 0]), np.array([2, 2, 0]))
    test = from_probabilities(images.labels[[3, 4]], np.array([[0.1, 0.9, 0], [0.3, 0.4, 0.3]]))
    parts = [("train", np.array([0, 1, 2]), train), ("test", np.array([3, 4]), test)]
    found = ranked(images, parts)
    assert found.rows.tolist() == [3, 1, 4, 0, 2]
    assert found.parts.tolist() == ["test", "train", "test", "train", "train"]
    assert (trailing(found, "train"), trailing(found, "test")) == (1, 1)


def test_the_list_is_a_file_of_corrections_and_says_nothing_of_what_is_unknown(
    tmp_path: Path,
) -> None:
    images = make_images(3)
    images = replace(images, files=np.array(["a.png", "b,\udcff.png", ""]))
    evidence = from_margins(np.array([3.0, -1.0, 0.0]), np.array([1, 2, 0]), np.array([2, 2, 0]))
    write_doubts(tmp_path / "doubt.csv", ranked(images, [("train", np.arange(3), evidence)]))
    with (tmp_path / "doubt.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["b,\\udcff.png", "a.png", ""]
    assert rows[0] | {"id": ""} == {
        "id": "", "file": "b,\\udcff.png", "part": "train", "given": "class1", "label": "class1",
        "suggested": "class2", "score": "0.377541", "margin": "-0.5000", "observations": "2",
    }  # fmt: skip
    assert [rows[2][name] for name in ("suggested", "score", "margin")] == [""] * 3
    corrections = read_corrections(tmp_path / "doubt.csv").classes
    assert list(corrections.values()) == ["class1", "class0", "class2"]


def test_a_label_is_in_doubt_where_another_class_is_as_probable_as_for_its_own_images() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1])
    # Class 0 has 0.7 on average for its images, class 1 has 0.5.
    first = np.array([0.95, 0.9, 0.25, 0.15, 0.65, 0.7])
    found = in_doubt(labels, np.stack([first, 1 - first], 1))
    # The third is more surely of class 1 than its images are. The fifth is likelier of class 0, but
    # less so than its images; the last just as likely.
    assert found.tolist() == [False, False, True, False, False, True]


def test_labels_in_doubt_are_those_of_cleanlab() -> None:
    from cleanlab.filter import find_label_issues

    random = np.random.default_rng(0)
    labels = random.integers(5, size=600)
    probabilities = random.dirichlet(np.full(5, 0.5), 600)
    probabilities[np.arange(600), labels] += 0.7
    probabilities /= probabilities.sum(1, keepdims=True)
    labels[:100] = random.integers(5, size=100)
    expected = find_label_issues(labels, probabilities, filter_by="confident_learning", n_jobs=1)
    assert 20 < expected.sum() < 200
    np.testing.assert_array_equal(in_doubt(labels, probabilities), expected)


def test_a_class_without_images_and_no_images_at_all_put_nothing_in_doubt() -> None:
    assert in_doubt(np.array([0, 0]), np.array([[0.4, 0.6], [0.5, 0.5]])).tolist() == [False, False]
    assert in_doubt(np.empty(0, np.int64), np.empty((0, 3))).tolist() == []
