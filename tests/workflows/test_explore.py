"""The explorer of a run, from files to `explorer.json`."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from clearsight.config.parsing import parse
from clearsight.config.schema import Config
from clearsight.files import read_json
from clearsight.workflows.train import train
from tests.conftest import make_images


@pytest.fixture(scope="module")
def explored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """`explorer.json` of a run on files, of which a test image is a training image as well."""
    folder = tmp_path_factory.mktemp("explore")
    images = make_images(90, size=16)
    for i, (pixels, label) in enumerate(zip(images.images, images.labels, strict=True)):
        part = "test" if i < 24 else "train"
        path = folder / "bands" / part / images.classes[label] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        side = 20 if part == "test" and i % 2 else 16
        Image.fromarray(pixels).resize((side, side)).save(path)
    copied = images.images[24 + int((images.labels[24:] == 1).argmax())]
    Image.fromarray(copied).save(folder / "bands/test/class0/copy.png")
    config = parse(Config, {
        "tracking": {"tracker": "none"},
        "data": {"source": str(folder / "bands"), "validation": 0},
        "model": {"name": "airnet-tiny"},
        "training": {"batch": 16, "precision": "fp32"},
        "phases": [{"epochs": 1, "lr": 0.01}],
    })  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        return read_json(train(config, out=folder / "run").explorer)


def test_a_near_duplicate_in_training_is_named_with_the_label_it_has_there(
    explored: dict[str, Any],
) -> None:
    images, near = explored["images"], explored["neighbours"]
    place = [Path(file).name for file in images["file"]].index("copy.png")
    assert [i for i, found in enumerate(near["duplicate"]) if found >= 0] == [place]
    found = near["duplicate"][place]
    assert near["file"][found].startswith("train/class1/")
    assert explored["classes"][near["label"][found]] == "class1"
    assert explored["classes"][images["label"][place]] == "class0"
    assert found in near["indices"][place], "nothing is nearer than the same picture"


def test_the_slices_are_those_of_the_evaluation(explored: dict[str, Any]) -> None:
    by = {each["property"]: each for each in explored["slices"]}
    assert list(by) == [
        "brightness", "contrast", "sharpness", "colourfulness", "file size", "original size",
        "near duplicates",
    ]  # fmt: skip
    assert by["near duplicates"]["n"] == [1, 24]
    for each in by.values():
        assert [each["of"].count(k) for k in range(len(each["n"]))] == each["n"]
    assert explored["map"]["method"] == "pca"
