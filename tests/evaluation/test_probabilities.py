"""The key `probabilities` of an evaluation: promises as they were kept on measured images."""

import json

import numpy as np
import pytest

from clearsight.evaluation.probabilities import judge_probabilities
from clearsight.evaluation.verdict import calibration_sentence
from clearsight.formats import SCHEMAS, problem

# Two classes; probabilities of the first at temperature 2: 0.9, 0.8, 0.7, 0.6, 0.4.
ODDS = np.array([0.9, 0.8, 0.7, 0.6, 0.4])
LOGITS = np.stack([2 * np.log(ODDS / (1 - ODDS)), np.zeros(5)], 1).astype(np.float32)
LABELS = np.array([0, 0, 1, 0, 0])
CALIBRATION = {
    "temperature": 2.0,
    "n": 100,
    "sure": [
        {"accuracy": 0.9, "probability": 0.65, "coverage": 0.5},
        {"accuracy": 0.99, "probability": 0.95, "coverage": 0.1},
    ],
    "sets": [{"coverage": 0.9, "probability": 0.35}],
}


def test_promises_are_measured_on_calibrated_probabilities() -> None:
    found = judge_probabilities(LOGITS, LABELS, CALIBRATION)
    first, second = found["sure"]
    assert (first["n"], first["coverage"]["value"]) == (3, 3 / 5)
    assert first["selective_accuracy"]["value"] == pytest.approx(2 / 3)
    assert (second["n"], second["selective_accuracy"]) == (0, None)
    (sets,) = found["sets"]
    # Only 0.6 and 0.4 leave the other class above 0.35; the last set holds both classes.
    assert sets["size"]["value"] == pytest.approx((1 + 1 + 1 + 2 + 2) / 5)
    assert sets["measured"]["value"] == pytest.approx(4 / 5)


def test_scores_before_and_after_and_the_curve_of_the_surest_images() -> None:
    found = judge_probabilities(LOGITS, LABELS, CALIBRATION)
    assert found["temperature"] == 2.0
    after = -np.log([0.9, 0.8, 0.3, 0.6, 0.4]).mean()
    assert found["after"]["nll"]["value"] == pytest.approx(after, rel=1e-5)
    assert found["before"]["nll"]["value"] > after
    assert found["reliability"].keys() == {"before", "after"}
    shares = {row["coverage"]: row["accuracy"]["value"] for row in found["curve"]}
    assert shares == pytest.approx({0.2: 1.0, 0.4: 1.0, 0.6: 2 / 3, 0.8: 0.75, 1.0: 0.6})


def test_without_calibration_only_what_the_network_says_is_judged() -> None:
    found = judge_probabilities(LOGITS, LABELS, None)
    assert found["temperature"] is None
    assert "after" not in found
    assert (found["sure"], found["sets"]) == ([], [])
    sentence = calibration_sentence({"probabilities": found, "n": 5, "split": "test"})
    assert sentence is not None
    assert sentence.startswith(
        "the probabilities are not calibrated, which takes validation images"
    )


def test_what_is_said_of_the_images_it_was_fitted_on() -> None:
    found = judge_probabilities(LOGITS, LABELS, CALIBRATION)
    on_test = calibration_sentence({"probabilities": found, "n": 5, "split": "test"})
    on_validation = calibration_sentence({"probabilities": found, "n": 5, "split": "validation"})
    assert on_test
    assert on_validation
    assert on_validation.startswith(on_test)
    assert on_validation.endswith("measured on the images that they were calibrated with")
    assert calibration_sentence({"n": 5, "split": "test"}) is None  # of an earlier version


def test_a_class_that_is_never_predicted_and_one_image() -> None:
    logits = np.array([[0.0, 3.0, -5.0]], np.float32)
    found = judge_probabilities(logits, np.array([2]), CALIBRATION)
    assert found["curve"][0]["coverage"] == 1.0
    assert found["after"]["ece"]["value"] <= 1


def test_the_schema_knows_all_of_it() -> None:
    schema = json.loads((SCHEMAS / "evaluation.schema.json").read_text("utf-8"))
    known = schema["properties"]["probabilities"]["properties"]
    known |= schema["$defs"]["before_and_after"]["properties"]
    for calibration in (CALIBRATION, None):
        found = judge_probabilities(LOGITS, LABELS, calibration)
        assert found.keys() <= known.keys()
        assert problem({"probabilities": found}, SCHEMAS / "evaluation.schema.json") is None
    wrong = judge_probabilities(LOGITS, LABELS, None) | {"before": {}}
    said = problem({"probabilities": wrong}, SCHEMAS / "evaluation.schema.json")
    assert said == "probabilities.before: lacks ece, adaptive_ece, brier, nll"
