"""The confusion dossier: the right examples, neighbours and pictures, and none where none is."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from clearsight.data.images import ImageSet
from clearsight.explanation import dossier as module
from clearsight.explanation.dossier import COLUMNS, Part, confusion_dossier
from clearsight.explanation.scores import image_features
from clearsight.models.classifier import Classifier
from clearsight.models.factory import build
from clearsight.models.preprocess import Preprocess
from tests.conftest import make_images


@pytest.fixture
def model() -> Classifier:
    torch.manual_seed(0)
    classes = ("class0", "class1", "class2")
    return build("airnet-tiny", classes, Preprocess((0.5,) * 3, (0.25,) * 3)).eval()


def part(images: ImageSet) -> Part:
    names = np.array([f"{k}.png" for k in range(len(images.labels))])
    return Part(images=images.images, labels=images.labels, ids=images.ids, files=names)


def said(labels: np.ndarray, wrong: dict[int, tuple[int, float]]) -> np.ndarray:
    """Probabilities that are right with 0.9, but for some images another class with another."""
    probabilities = np.full((len(labels), 3), 0.05, np.float32)
    probabilities[np.arange(len(labels)), labels] = 0.9
    for image, (k, value) in wrong.items():
        probabilities[image] = (1 - value) / 2
        probabilities[image, k] = value
    return probabilities


def test_examples_are_the_most_confident_of_the_most_frequent_confusions(
    model: Classifier,
) -> None:
    measured, training = make_images(12, seed=1), make_images(30)
    # Images 0, 3, 6, 9 are of class 0; two are taken for class 1, and image 2, of 2, for class 0.
    wrong = {0: (1, 0.6), 3: (1, 0.8), 2: (0, 0.7)}
    content, pictures = confusion_dossier(
        model, part(measured), said(measured.labels, wrong), part(training), split="test"
    )
    first, second = content["pairs"]
    assert (first["true"], first["predicted"], first["count"]) == ("class0", "class1", 2)
    assert [example["file"] for example in first["examples"]] == ["3.png", "0.png"]
    assert first["examples"][0]["p_predicted"] == pytest.approx(0.8)
    assert first["examples"][0]["p_true"] == pytest.approx(0.1)
    assert [example["file"] for example in second["examples"]] == ["2.png"]
    assert pictures.shape == (3 * 32, COLUMNS * 32, 3)
    np.testing.assert_array_equal(pictures[:32, :32], measured.images[3])
    # The neighbours are the training images with the largest cosine.
    features = image_features(model, torch.from_numpy(training.images))
    asked = image_features(model, torch.from_numpy(measured.images[3:4]))
    order = (asked @ features.T)[0].argsort(descending=True)[:5].tolist()
    neighbours = first["examples"][0]["neighbours"]
    assert [n["file"] for n in neighbours] == [f"{k}.png" for k in order]
    assert [n["label"] for n in neighbours] == [f"class{k % 3}" for k in order]
    np.testing.assert_array_equal(pictures[:32, 3 * 32 : 4 * 32], training.images[order[0]])


def test_labels_in_doubt_are_named_where_that_is_known(model: Classifier) -> None:
    measured, training = make_images(6, seed=1), make_images(30)
    said_of = said(measured.labels, {0: (1, 0.6), 2: (0, 0.7)})
    doubted = np.arange(6) == 0
    known = replace(part(measured), doubted=doubted)
    content, _ = confusion_dossier(
        model, known, said_of, replace(part(training), doubted=np.arange(30) < 15), split="test"
    )
    examples = [example for pair in content["pairs"] for example in pair["examples"]]
    assert {each["file"]: each["in_doubt"] for each in examples} == {"0.png": True, "2.png": False}
    neighbours = examples[0]["neighbours"]
    assert [n["in_doubt"] for n in neighbours] == [int(n["file"][:-4]) < 15 for n in neighbours]
    content, _ = confusion_dossier(model, known, said_of, part(training), split="test")
    assert content["pairs"][0]["examples"][0]["neighbours"][0]["in_doubt"] is None


def test_without_a_confusion_there_is_nothing_to_show(model: Classifier) -> None:
    measured = make_images(6)
    content, _ = confusion_dossier(
        model, part(measured), said(measured.labels, {}), part(measured), split="test"
    )
    assert content["pairs"] == []


def test_of_many_training_images_some_are_searched_and_few_are_enough(
    model: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured, training = make_images(6, seed=1), make_images(30)
    said_of = said(measured.labels, {0: (1, 0.6)})
    monkeypatch.setattr(module, "SEARCHED", 10)
    content, _ = confusion_dossier(
        model, part(measured), said_of, part(training), split="validation"
    )
    assert (content["searched"], content["training"]) == (10, 30)
    few = part(training)
    few = replace(
        few, images=few.images[:2], labels=few.labels[:2], ids=few.ids[:2], files=few.files[:2]
    )
    content, pictures = confusion_dossier(model, part(measured), said_of, few, split="test")
    assert len(content["pairs"][0]["examples"][0]["neighbours"]) == 2
    assert (pictures[:, 5 * 32 :] == 255).all()


def test_large_images_become_small_pictures(model: Classifier) -> None:
    measured, training = make_images(3, size=96, seed=1), make_images(6, size=96)
    _, pictures = confusion_dossier(
        model, part(measured), said(measured.labels, {0: (1, 0.6)}), part(training), split="test"
    )
    assert pictures.shape == (64, COLUMNS * 64, 3)
