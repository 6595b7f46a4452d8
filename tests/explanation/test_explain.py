"""The Grad-CAM figures of a run and of own images: which images, which files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from clearsight.data.images import ImageSet
from clearsight.errors import DataError, UsageError
from clearsight.explanation.explain import choose_samples, explain_images, explain_run
from clearsight.explanation.heatmaps import heatmaps
from clearsight.explanation.methods import DEFAULT, METHODS, explainer
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
    given: dict[str, Any] = {
        "labels": images.labels,
        "probabilities": probabilities,
        "classes": images.classes,
    }
    written = explain_run(model, images.images, **given, figures_dir=tmp_path / "one")
    assert [path.name for path in written] == [
        "heatmap_samples.png", "heatmap_confusions.png",
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
    assert [path.name for path in written] == ["x_heatmap.png", "x-2_heatmap.png"]
    assert all(path.is_file() for path in written)


def test_figures_of_other_files_are_kept_and_those_of_the_same_file_renewed(
    model: Classifier, tmp_path: Path
) -> None:
    files = [tmp_path / folder / name for folder in "ab" for name in ("x.png", "x-2.png", "x.bmp")]
    for number, file in enumerate(files):
        file.parent.mkdir(exist_ok=True)
        Image.new("RGB", (32, 32), (40 * number, 90, 90)).save(file)
    out = tmp_path / "out"

    def explain(*chosen: Path) -> list[str]:
        given = {"size": 32, "fit": "letterbox", "out": out}
        return [path.name for path in explain_images(model, chosen, **given)]  # ty: ignore

    first = explain(*files)
    assert len(set(first)) == 6
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    # One at a time, in another order, and by another spelling: each finds its own figure again.
    again = [explain(file.parent / ".." / file.parent.name / file.name) for file in files[::-1]]
    assert [name for (name,) in again[::-1]] == first
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert str(tmp_path).encode() not in b"".join(before.values())


def test_a_foreign_file_by_the_figure_s_name_is_kept(model: Classifier, tmp_path: Path) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "x.png")
    (tmp_path / "x_heatmap.png").write_text("notes")
    Image.new("RGB", (4, 4)).save(tmp_path / "x-2_heatmap.png")
    written = explain_images(model, [tmp_path / "x.png"], size=32, fit="letterbox", out=tmp_path)
    assert [path.name for path in written] == ["x-3_heatmap.png"]
    assert (tmp_path / "x_heatmap.png").read_text() == "notes"


def test_a_run_whose_model_gives_no_map_gets_figures_that_say_why(
    images: ImageSet, tmp_path: Path
) -> None:
    model = build("vit_tiny_patch16_224", images.classes, Preprocess((0.5,) * 3, (0.25,) * 3, 32))
    probabilities = np.eye(3, dtype=np.float32)[images.labels]
    given = (images.images, images.labels, probabilities, images.classes, tmp_path)
    written = explain_run(model.eval(), *given, method="layer-cam")
    assert [path.name for path in written] == ["heatmap_samples.png", "heatmap_confusions.png"]
    assert all(Image.open(path).size > (100, 100) for path in written)
    with pytest.raises(UsageError, match="its output is no map"):
        explain_run(model.eval(), *given, method="layer-cam", layer="head")


def test_unknown_methods_and_layers_of_no_use_are_refused(
    model: Classifier, images: ImageSet, tmp_path: Path
) -> None:
    probabilities = np.eye(3, dtype=np.float32)[images.labels]
    given = (model, images.images, images.labels, probabilities, images.classes, tmp_path)
    with pytest.raises(UsageError, match="method: found 'gradcam', expected one of focused-"):
        explain_run(*given, method="gradcam")
    with pytest.raises(UsageError, match="layer: found 'head', but rise looks at no single layer"):
        explain_run(*given, method="rise", layer="head")


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
    assert [path.name for path in out.iterdir()] == ["good_heatmap.png"]
    errors: dict[Path, str] = {}
    written = explain_images(
        model, files, size=32, fit="letterbox", out=out, on_error=errors.__setitem__
    )
    assert [path.name for path in written] == ["good_heatmap.png", "later_heatmap.png"]
    assert list(errors) == [bad]
    assert errors[bad].startswith("can't be decoded")


def test_no_image_at_all_is_wrong_use(model: Classifier, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least one image"):
        explain_images(model, [], size=32, fit="letterbox", out=tmp_path)


def test_the_command_s_help_names_every_method_and_the_default() -> None:
    from clearsight.cli.commands import explain

    (parameter,) = explain.__annotations__["method"].__metadata__
    assert set(METHODS) == set(parameter.help.replace(" or ", ", ").split(", "))
    assert (explain.__kwdefaults__ or {})["method"] == DEFAULT


@pytest.mark.parametrize("method", METHODS)
def test_every_method_explains_by_its_name_the_same_twice(method: str, images: ImageSet) -> None:
    torch.manual_seed(0)
    model = build("airnet-tiny", images.classes, Preprocess((0.5,) * 3, (0.25,) * 3)).eval()
    explain = explainer(model, (32, 32, 3), method=method)
    first, again = (explain(images.images[:2], images.labels[:2]) for _ in range(2))
    assert first.shape == (2, 32, 32)
    assert torch.isfinite(first).all()
    assert torch.equal(first, again)
    drawn = heatmaps(first)
    assert drawn.min() >= 0
    assert drawn.max() <= 1
