"""The explorer of a run, from files to `explorer.json`."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clearsight.config.parsing import parse
from clearsight.config.schema import Config
from clearsight.files import read_json, write_json
from clearsight.runs import create_run
from clearsight.workflows.explore import Outputs, _scores
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


def test_unsure_is_what_predict_holds_back_at_the_strictest_promise(tmp_path: Path) -> None:
    """Answers above the threshold are given, those at it are not."""
    run = create_run(tmp_path / "run", Config(), {})
    promised = [(0.9, 0.5), (0.95, 0.75)]
    write_json(run.calibration, {
        "temperature": 1.0, "n": 100, "sets": [], "unlike": {"threshold": -2.0, "passing": 0.99},
        "sure": [{"accuracy": a, "probability": p, "coverage": 0.5} for a, p in promised],
    })  # fmt: skip
    likely = np.array([0.6, 0.75, 0.76])
    outputs = Outputs(
        np.stack([likely, 1 - likely], 1), np.zeros((3, 1)), np.array([-1.0, -2.0, -3.0])
    )
    found = _scores(run, outputs)
    assert found["unsure"].tolist() == [1, 1, 0]
    assert found["unlike"].tolist() == [True, False, False]
