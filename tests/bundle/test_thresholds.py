"""Answers held back and sets of classes, from the validation part that a bundle carries."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clearsight.bundle import thresholds
from clearsight.bundle.format import read_bundle
from clearsight.bundle.predict import Predictor, load
from clearsight.cli import main
from clearsight.data.sources import load_images
from clearsight.errors import BundleError, UsageError
from clearsight.evaluation.predictions import read_predictions

V1, V2 = (Path(__file__).parent / name for name in ("v1", "v2"))


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return load(V2)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return load_images("digits", size=32).images[:200]


def test_what_bundle_json_lists_is_what_the_validation_part_gives() -> None:
    bundle = read_bundle(V2)
    assert bundle.calibration is not None
    for row in bundle.calibration["sure"]:
        assert thresholds.sure(bundle, row["accuracy"]) == (row["probability"], row["coverage"])
    for row in bundle.calibration["sets"]:
        assert thresholds.set_from(bundle, row["coverage"]) == row["probability"]
    assert bundle.calibration["n"] == len(read_predictions(bundle.validation).labels)


def test_labels_are_held_back_up_to_the_threshold_and_nothing_else_changes(
    predictor: Predictor, pixels: np.ndarray
) -> None:
    above = thresholds.sure(predictor.bundle, 0.95).probability
    plain, held = predictor.predict(pixels), predictor.predict(pixels, sure=0.95)
    assert 0 < sum(each.label is None for each in held) < 60
    for before, after in zip(plain, held, strict=True):
        unsure = before.probability <= above
        assert (after.label, after.reason) == ((None, "unsure") if unsure else (before.label, None))
        assert after.probabilities == before.probabilities
        assert after.probability == before.probability


def test_sets_hold_the_likeliest_class_and_those_above_the_threshold(
    predictor: Predictor, pixels: np.ndarray
) -> None:
    bound = thresholds.set_from(predictor.bundle, 0.99)
    sizes = set()
    for each in predictor.predict(pixels, coverage=0.99):
        expected = [c for c, p in each.probabilities.items() if p >= bound]
        assert each.prediction_set is not None
        assert each.prediction_set[0] == each.label
        assert set(each.prediction_set) == {*expected, each.label}
        values = [each.probabilities[name] for name in each.prediction_set]
        assert values == sorted(values, reverse=True)
        sizes.add(len(values))
    assert {1, 2} <= sizes
    low = predictor.predict(pixels, coverage=0.5)  # less than the accuracy: one class each
    assert {each.prediction_set for each in low} == {(each.label,) for each in low}


def test_both_engines_hold_the_same_labels_back(pixels: np.ndarray) -> None:
    one, other = (load(V2, engine).predict(pixels, sure=0.95) for engine in ("onnx", "torch"))
    assert [each.label for each in one] == [each.label for each in other]


def test_what_can_t_be_promised_is_refused_with_what_can(predictor: Predictor) -> None:
    with pytest.raises(UsageError, match=r"bundle .*v2: sure: found 0\.99, .* up to 0\.9\d+$"):
        predictor.predict([], sure=0.99)
    with pytest.raises(UsageError, match=r"coverage: found 0\.999, but 180 .* up to 0\.994$"):
        predictor.predict([], coverage=0.999)
    with pytest.raises(UsageError, match=r"sure: found 95, expected an accuracy between 0 and 1"):
        predictor.stream([], sure=95)


@pytest.mark.parametrize("asked", [{"sure": 0.9}, {"coverage": 0.9}])
def test_a_bundle_of_version_1_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match=r"v1: (sure|coverage) was asked for, but it has no cali"):
        load(V1).predict([], **asked)


@pytest.fixture
def photos(tmp_path: Path, pixels: np.ndarray) -> list[str]:
    from PIL import Image

    names = [str(tmp_path / f"{k}.png") for k in (0, 4)]  # a sure one and an unsure one
    for name, k in zip(names, (0, 4), strict=True):
        Image.fromarray(pixels[k]).save(name)
    return names


def test_the_command_prints_labels_held_back_and_what_that_costs(
    photos: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["predict", str(V2), *photos, "--sure", "0.95", "--coverage", "0.99"]
    assert main(command) == 0
    out, err = capsys.readouterr()
    first, second = out.splitlines()
    assert first.startswith(f"{photos[0]}  0  ")
    assert first.endswith("%  {0}")
    assert second.startswith(f"{photos[1]}  unsure (4 ")
    assert second.endswith("%)  {4, 8}")
    assert "of the validation images reach; n = 180" in err
    assert err.endswith("unsure: 1 of 2 images\n")

    assert main([*command, "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (rows[1]["label"], rows[1]["reason"]) == (None, "unsure")
    assert rows[1]["prediction_set"] == ["4", "8"]
    assert rows[0]["label"] == "0"
    assert "reason" not in rows[0]

    assert main([*command, "--csv"]) == 0
    head, *cells = csv.reader(io.StringIO(capsys.readouterr().out))
    rows = [dict(zip(head, row, strict=True)) for row in cells]
    assert [(r["label"], r["reason"]) for r in rows] == [("0", ""), ("", "unsure")]
    assert rows[1]["prediction_set"] == "4;8"


def test_the_command_says_in_one_sentence_why_not(
    photos: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for bundle, accuracy, code in ((V1, "0.9", 1), (V2, "0.999", 2), (V2, "99", 2)):
        assert main(["predict", str(bundle), *photos, "--sure", accuracy]) == code
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("error: bundle ")
        assert len(err.splitlines()) <= 4
