"""The Grad-CAM figures of a run and of own images: which images, which files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clearsight.data.images import ImageSet
from clearsight.errors import DataError, UsageError
from clearsight.explanation.explain import choose_samples, explain_images, explain_run
from clearsight.models.classifier import Classifier
from clearsight.models.factory import build
from clearsight.models.preprocess import Preprocess


@pytest.fixture
def model() -> Classifier:
    torch.manual_seed(0)
    return build(
        "resnet20", ("class0", "class1", "class2"), Preprocess((0.5,) * 3, (0.25,) * 3)
    ).eval()


def test_samples_are_typical_right_ones_and_the_most_confident_wrong_ones_of_many_classes() -> None:
    labels = np.array([0, 0, 0, 1, 2, 0, 1, 1, 2])
    predicted = np.array([0, 0, 0, 1, 2, 1, 0, 2, 0])
    confidence = np.array([0.50, 0.70, 0.71, 0.90, 0.99, 0.60, 0.95, 0.97, 0.55], np.float32)
    # Right: 0-4 with the median 0.71 (image 2); the nearest of each class: 2, 3, 4.
    # Wrong: 5-8; of each class the most confident: 7 (class 1), 5 (class 0), 8 (class 2).
    assert choose_samples(labels, predicted, confidence).tolist() == [2, 3, 4, 7, 5, 8]


def test_samples_of_few_classes_are_filled_up_and_may_be_few() -> None:
    labels = np.zeros(4, np.int64)
    confidence = np.array([0.5, 0.6, 0.7, 0.8], np.float32)
    assert choose_samples(labels, labels, confidence).tolist() == [1, 2, 0]
    assert choose_samples(labels[:0], labels[:0], confidence[:0]).tolist() == []


def test_a_run_gets_both_figures_the_same_every_time(
    model: Classifier, images: ImageSet, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet((1, 1, 1), len(images)).astype(np.float32)
    given = {"labels": images.labels, "probabilities": probabilities, "classes": images.classes}
    written = explain_run(model, images.images, **given, figures_dir=tmp_path / "one")
    assert [path.name for path in written] == [
        "gradcam_samples.png", "gradcam_confusion_analysis.png",
    ]  # fmt: skip
    again = explain_run(model, images.images, **given, figures_dir=tmp_path / "two")
    assert [p.read_bytes() for p in written] == [p.read_bytes() for p in again]


def test_a_run_without_mistakes_gets_both_figures(
    model: Classifier, images: ImageSet, tmp_path: Path
) -> None:
    probabilities = np.eye(3, dtype=np.float32)[images.labels]
    for path in explain_run(
        model,
        images.images,
        labels=images.labels,
        probabilities=probabilities,
        classes=images.classes,
        figures_dir=tmp_path,
    ):
        assert Image.open(path).size > (100, 100)


def test_own_images_get_a_figure_each_with_names_that_do_not_clash(
    model: Classifier, tmp_path: Path
) -> None:
    files = [tmp_path / "a" / "x.png", tmp_path / "b" / "x.png"]
    for file, size in zip(files, ((40, 30), (32, 32)), strict=True):
        file.parent.mkdir()
        Image.new("RGB", size, "teal").save(file)
    written = explain_images(model, files, size=32, fit="letterbox", out=tmp_path / "out")
    assert [path.name for path in written] == ["x_gradcam.png", "x-2_gradcam.png"]
    assert all(path.is_file() for path in written)


def test_a_damaged_own_image_is_named_and_the_figures_before_it_stay(
    model: Classifier, tmp_path: Path
) -> None:
    good, bad, later = (tmp_path / f"{name}.png" for name in ("good", "bad", "later"))
    Image.new("RGB", (32, 32)).save(good)
    bad.write_bytes(good.read_bytes()[:40])
    Image.new("RGB", (32, 32)).save(later)
    files, out = [good, bad, later], tmp_path / "out"
    with pytest.raises(DataError, match=r"bad\.png"):
        explain_images(model, files, size=32, fit="letterbox", out=out)
    assert [path.name for path in out.iterdir()] == ["good_gradcam.png"]
    errors: dict[Path, str] = {}
    written = explain_images(
        model, files, size=32, fit="letterbox", out=out, on_error=errors.__setitem__
    )
    assert [path.name for path in written] == ["good_gradcam.png", "later_gradcam.png"]
    assert list(errors) == [bad]
    assert errors[bad].startswith("can't be decoded")


def test_no_image_at_all_is_wrong_use(model: Classifier, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least one image"):
        explain_images(model, [], size=32, fit="letterbox", out=tmp_path)
