"""Probabilities of a model, and metrics against values by hand and scikit-learn."""

import json
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support
from torch import Tensor, nn

from clearsight.errors import ClearsightError, UsageError
from clearsight.evaluation.confusion import class_scores, confusion_counts, most_confused
from clearsight.evaluation.metrics import (
    as_probabilities,
    batch_size,
    cross_entropy,
    evaluate_probabilities,
    predict_logits,
    predict_probabilities,
)
from clearsight.models.preprocess import Preprocess
from tests.recorder import Recorder


class Pixels(nn.Module):
    """Three logits: the brightness of a corner, of its mirror image, and whether it is training."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        x = images[..., 0].float() / 100
        mode = torch.full((len(x),), float(self.training))
        return torch.stack([x[:, 0, 0], x[:, 0, -1], mode], 1) * self.scale


def softmax(*logits: float) -> np.ndarray:
    powers = np.exp(logits)
    return powers / powers.sum()


def grid() -> np.ndarray:
    """One 4 × 4 image whose red channel is 16 · row + column."""
    image = np.zeros((1, 4, 4, 3), np.uint8)
    image[0, :, :, 0] = 16 * np.arange(4)[:, None] + np.arange(4)
    return image


def test_probabilities_are_softmax_in_order() -> None:
    images = np.concatenate([grid(), grid() + 40])
    probabilities = predict_probabilities(Pixels(), images, batch=1)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities[0], softmax(0, 0.03, 0), rtol=1e-6)
    np.testing.assert_allclose(probabilities[1], softmax(0.4, 0.43, 0), rtol=1e-6)


def test_batch_size_changes_nothing() -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 4, 4, 3), dtype=np.uint8)
    one, many = (predict_probabilities(Pixels(), images, batch=b) for b in (1, 3))
    np.testing.assert_array_equal(one, many)


def test_large_inputs_go_in_smaller_batches_by_the_size_inside_the_model() -> None:
    assert (batch_size(32), batch_size(224), batch_size(5000)) == (500, 59, 1)
    model = Pixels()
    model.preprocess = Preprocess([0.5] * 3, [0.25] * 3, 1000)
    recorder = Recorder()
    predict_probabilities(model, np.repeat(grid(), 6, axis=0), progress=recorder)
    assert recorder.steps["predicting"] == [3, 3]


def test_flip_averages_the_logits_of_image_and_mirror_image() -> None:
    probabilities = predict_probabilities(Pixels(), grid(), tta="flip")
    np.testing.assert_allclose(probabilities[0], softmax(0.015, 0.015, 0), rtol=1e-6)


def test_flip_and_shift_weighs_six_views_by_hand() -> None:
    # Corner pixels (left, right) of each view:
    # untranslated (0, 3); from the reflected pad above left: rows and columns 1 0 1 2, (17, 18);
    # from below right: rows and columns 1 2 3 2, (17, 18). Mirrors swap left and right.
    mean = 0.5 * (0 + 3) / 2 + 0.25 * (17 + 18) / 2 + 0.25 * (17 + 18) / 2
    probabilities = predict_probabilities(Pixels(), grid(), tta="flip+shift")
    np.testing.assert_allclose(probabilities[0], softmax(mean / 100, mean / 100, 0), rtol=1e-6)


def test_what_two_views_are_sure_of_is_not_shifted() -> None:
    """Brightness is one class's logit: 0.05 per image of the first, 2.5 of the second."""
    seen = []

    class Brightness(Pixels):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(len(images))
            logit = images.float().mean((1, 2, 3)) / 100
            return torch.stack([logit, torch.zeros_like(logit)], 1)

    images = np.concatenate([np.full((2, 4, 4, 3), 5), np.full((3, 4, 4, 3), 250)])
    probabilities = predict_probabilities(Brightness(), images.astype(np.uint8), tta="flip+shift")
    assert seen == [5, 5, 2, 2, 2, 2]
    np.testing.assert_allclose(probabilities[0], softmax(0.05, 0), rtol=1e-6)
    np.testing.assert_allclose(probabilities[4], softmax(2.5, 0), rtol=1e-6)


def test_one_pass_gives_the_result_with_and_without_augmentation() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), dtype=np.uint8)
    logits = predict_logits(Pixels(), images, tta="flip+shift", batch=2)
    augmented, plain = (as_probabilities(each, 1.0) for each in logits)
    np.testing.assert_allclose(plain, predict_probabilities(Pixels(), images), rtol=1e-6)
    both = predict_probabilities(Pixels(), images, tta="flip+shift")
    np.testing.assert_allclose(augmented, both, rtol=1e-6)
    assert not np.allclose(augmented, plain)


def test_shifted_views_are_crops_of_the_reflected_image() -> None:
    seen = []

    class Recorder(Pixels):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(images.numpy())
            return super().forward(images)

    image = np.random.default_rng(0).integers(0, 256, (1, 5, 6, 3), dtype=np.uint8)
    predict_probabilities(Recorder(), image, tta="flip+shift")
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    up_left, down_right = padded[:, :5, :6], padded[:, 2:, 2:]
    expected = [image, up_left, down_right]
    expected += [view[:, :, ::-1] for view in expected]
    assert sorted(v.tobytes() for v in seen) == sorted(v.tobytes() for v in expected)


def test_model_comes_back_as_it_was() -> None:
    model = nn.Sequential(Pixels(), nn.Dropout())
    model.train()
    model[1].eval()
    predict_probabilities(model, grid())
    assert (model.training, model[0].training, model[1].training) == (True, True, False)
    assert model[0].scale.requires_grad
    assert model[0].scale.grad is None


def test_model_comes_back_as_it_was_after_an_error() -> None:
    class Broken(Pixels):
        def forward(self, images: Tensor) -> Tensor:
            raise RuntimeError("broken")

    model = Broken().train()
    with pytest.raises(RuntimeError, match="broken"):
        predict_probabilities(model, grid())
    assert model.training


def test_bf16_is_close_and_gives_float32() -> None:
    model = nn.Sequential(Pixels(), nn.Linear(3, 3))
    images = np.random.default_rng(0).integers(0, 256, (7, 4, 4, 3), dtype=np.uint8)
    exact = predict_probabilities(model, images)
    rounded = predict_probabilities(model, images, precision="bf16")
    assert rounded.dtype == np.float32
    assert 0 < np.abs(exact - rounded).max() < 0.02


def test_read_only_images_and_progress() -> None:
    images = np.repeat(grid(), 5, axis=0)
    images.setflags(write=False)
    recorder = Recorder()
    predict_probabilities(Pixels(), images, batch=2, progress=recorder, name="measuring")
    assert recorder.totals == {"measuring": 5}
    assert recorder.steps == {"measuring": [2, 2, 1]}


def test_a_model_that_gives_nan_is_refused() -> None:
    model = Pixels()
    model.scale.data.fill_(torch.nan)
    with pytest.raises(ClearsightError, match="NaN or infinity for 1 of 1 images"):
        predict_probabilities(model, grid())


def test_misuse_of_predicting_is_refused() -> None:
    with pytest.raises(UsageError, match="flop"):
        predict_probabilities(Pixels(), grid(), tta="flop")  # ty: ignore[invalid-argument-type]
    with pytest.raises(UsageError, match="images"):
        predict_probabilities(Pixels(), grid()[:0])


def by_hand() -> dict:
    """Six images: two of each class; class c never predicted."""
    probabilities = np.array(
        [
            [0.8, 0.1, 0.1],  # a as a
            [0.6, 0.3, 0.1],  # a as a
            [0.2, 0.7, 0.1],  # b as b
            [0.5, 0.4, 0.1],  # b as a
            [0.1, 0.8, 0.1],  # c as b
            [0.2, 0.5, 0.3],  # c as b
        ],
        np.float32,
    )
    return evaluate_probabilities(
        probabilities,
        np.array([0, 0, 1, 1, 2, 2]),
        ("a", "b", "c"),
        split="test",
        tta="none",
        target=0.65,
        phases=[{"name": "train", "epochs": 3}],
    )


def test_a_class_without_images_that_is_never_predicted_is_left_out_of_macro_averages() -> None:
    labels, predicted = np.array([0, 0, 1, 3]), np.array([0, 1, 1, 2])
    evaluation = evaluate_probabilities(
        np.eye(5, dtype=np.float32)[predicted], labels, tuple("abcde"),
        split="test", tta="none", target=None, phases=[],
    )  # fmt: skip
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels, predicted, average="macro", zero_division=0
    )
    expected = {"precision": precision, "recall": recall, "f1": f1}
    assert evaluation["macro"] == pytest.approx(expected)
    assert len(evaluation["per_class"]) == 5


def test_evaluation_by_hand() -> None:
    evaluation = by_hand()
    assert evaluation["split"] == "test"
    assert evaluation["n"] == 6
    assert evaluation["tta"] == "none"
    assert evaluation["accuracy"]["value"] == 0.5
    assert evaluation["accuracy"]["low"] == pytest.approx(0.187617, abs=1e-6)
    assert evaluation["accuracy"]["high"] == pytest.approx(0.812383, abs=1e-6)
    assert evaluation["gap"] == pytest.approx(-0.15)
    assert evaluation["confusion"] == [[2, 0, 0], [1, 1, 0], [0, 2, 0]]
    assert evaluation["pairs"] == [
        {"true": "c", "predicted": "b", "count": 2},
        {"true": "b", "predicted": "a", "count": 1},
    ]
    assert evaluation["per_class"] == [
        {"name": "a", "precision": 2 / 3, "recall": 1.0, "f1": 0.8, "support": 2},
        {"name": "b", "precision": 1 / 3, "recall": 0.5, "f1": 0.4, "support": 2},
        {"name": "c", "precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 2},
    ]
    assert evaluation["macro"] == pytest.approx({"precision": 1 / 3, "recall": 0.5, "f1": 0.4})
    assert evaluation["loss"] == pytest.approx(
        -sum(map(math.log, (0.8, 0.6, 0.7, 0.4, 0.1, 0.3))) / 6, rel=1e-6
    )
    assert evaluation["phases"] == [{"name": "train", "epochs": 3}]
    assert "accuracy_without_tta" not in evaluation


def test_keys_are_the_contract_and_all_is_json() -> None:
    evaluation = by_hand()
    assert set(evaluation) == {
        "split", "n", "tta", "loss", "accuracy", "target", "gap", "macro", "per_class",
        "confusion", "pairs", "phases",
    }  # fmt: skip
    assert json.loads(json.dumps(evaluation, allow_nan=False)) == evaluation


def test_without_target_there_is_no_gap() -> None:
    evaluation = evaluate_probabilities(
        np.array([[1.0, 0.0]]), np.array([0]), "ab", split="validation", tta="none", target=None,
        phases=[],
    )  # fmt: skip
    assert evaluation["target"] is None
    assert evaluation["gap"] is None


def test_accuracy_without_test_time_augmentation_stands_beside() -> None:
    labels = np.array([0, 1])
    evaluation = evaluate_probabilities(
        np.array([[0.9, 0.1], [0.1, 0.9]]), labels, "ab", split="test", tta="flip", target=None,
        phases=[], without_tta=np.array([[0.9, 0.1], [0.9, 0.1]]),
    )  # fmt: skip
    assert evaluation["accuracy"]["value"] == 1.0
    assert evaluation["accuracy_without_tta"]["value"] == 0.5
    assert evaluation["accuracy_without_tta"]["low"] < 0.5


def test_a_class_without_images_has_zeros_and_no_nan() -> None:
    # Of a three are right and one is taken for b, which has none; both of c are right.
    labels, predicted = np.array([0, 0, 0, 0, 2, 2]), np.array([0, 0, 0, 1, 2, 2])
    scores = class_scores(labels, predicted, 3)
    assert scores["precision"].tolist() == [1.0, 0.0, 1.0]
    assert scores["recall"].tolist() == [0.75, 0.0, 1.0]
    assert scores["f1"].tolist() == [pytest.approx(6 / 7), 0.0, 1.0]


def test_equal_pairs_stay_in_the_order_of_the_classes() -> None:
    probabilities = np.eye(3)[[1, 2, 0]]
    evaluation = evaluate_probabilities(
        probabilities, np.array([0, 1, 2]), "abc", split="test", tta="none", target=None, phases=[]
    )
    assert [(p["true"], p["predicted"]) for p in evaluation["pairs"]] == [
        ("a", "b"), ("b", "c"), ("c", "a"),
    ]  # fmt: skip


def test_above_200_classes_the_pairs_stand_for_the_matrix() -> None:
    """So many classes that a matrix of them would be 19 GB."""
    k = 50_000
    labels = np.array([7, 7, 7, 49_999])
    predicted = np.array([7, 3, 3, 0])
    probabilities = np.zeros((4, k), np.float32)
    probabilities[np.arange(4), predicted] = 1
    evaluation = evaluate_probabilities(
        probabilities, labels, [f"c{i}" for i in range(k)], split="test", tta="none", target=None,
        phases=[],
    )  # fmt: skip
    assert evaluation["confusion"] is None
    assert evaluation["pairs"] == [
        {"true": "c7", "predicted": "c3", "count": 2},
        {"true": "c49999", "predicted": "c0", "count": 1},
    ]
    assert evaluation["per_class"][7] == {
        "name": "c7", "precision": 1.0, "recall": 1 / 3, "f1": 0.5, "support": 3,
    }  # fmt: skip


@pytest.mark.parametrize(("n", "expected"), [(2, [0, 4]), (3, [0, 2, 4]), (9, [0, 1, 2, 3, 4])])
def test_the_most_confused_classes(n: int, expected: list[int]) -> None:
    # 4 as 0 three times, 2 as 4 twice, 1 as 3 once; 5 is always right.
    labels, predicted = np.array([4, 4, 4, 2, 2, 1, 5]), np.array([0, 0, 0, 4, 4, 3, 5])
    assert most_confused(labels, predicted, 6, n).tolist() == expected


def test_a_probability_of_zero_costs_a_finite_loss() -> None:
    assert cross_entropy(np.array([[0.0, 1.0]]), np.array([0])) == pytest.approx(87.34, abs=0.01)


@pytest.mark.parametrize("seed", [0, 1])
def test_agrees_with_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 7, 300)
    probabilities = rng.dirichlet(np.ones(8), 300).astype(np.float32)  # class 7 has no images
    predicted = probabilities.argmax(1)
    confusion = confusion_counts(labels, predicted, 8)
    np.testing.assert_array_equal(confusion, confusion_matrix(labels, predicted, labels=range(8)))
    expected = precision_recall_fscore_support(labels, predicted, labels=range(8), zero_division=0)
    for values, oracle in zip(class_scores(labels, predicted, 8).values(), expected, strict=False):
        np.testing.assert_allclose(values, oracle)
    exact = probabilities.astype(np.float64)
    oracle = log_loss(labels, exact / exact.sum(1, keepdims=True), labels=range(8))
    assert cross_entropy(probabilities, labels) == pytest.approx(oracle, rel=1e-5)


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (np.ones((0, 2)), [], "labels: found none"),
        (np.ones((2, 3)), [0, 1], r"shape \(2, 3\), expected \(2, 2\)"),
        (np.ones((2, 2)), [0, 2], "found 0 to 2, expected 0 to 1"),
        (np.array([[np.nan, 1.0]]), [0], "NaN"),
    ],
)
def test_misuse_of_evaluating_is_refused(
    probabilities: np.ndarray, labels: list[int], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        evaluate_probabilities(
            probabilities, np.array(labels, np.int64), "ab", split="test", tta="none", target=None,
            phases=[],
        )  # fmt: skip
