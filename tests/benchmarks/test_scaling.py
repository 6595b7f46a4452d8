"""benchmarks/scaling.py: what is trained on, timed and called linear."""

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from clearsight.ledger import read_entries
from tools.docs.scaling import scaling_panels, scaling_table

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "scaling.py"
TINY = '[model]\nname = "airnet-tiny"\n[training]\nbatch = 100\n[[phases]]\n'
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc/self/status")


def test_real_images_come_first_enlarged_and_then_noise(
    scaling: ModuleType, tmp_path: Path
) -> None:
    real = np.arange(2 * 2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 2, 3)
    scaling.write_images(tmp_path / "images.npy", 5, 4, real)
    images = np.load(tmp_path / "images.npy")
    assert images.shape == (5, 4, 4, 3)
    assert np.array_equal(images[:2, ::2, ::2], real)
    assert np.array_equal(images[:2, 1::2, 1::2], real)
    assert images[2:].std() > 50
    with pytest.raises(SystemExit, match="--sizes: found 3, expected multiples of 2 px"):
        scaling.write_images(tmp_path / "images.npy", 5, 3, real)


def test_linear_is_a_straight_line_with_or_without_a_constant_part(scaling: ModuleType) -> None:
    x = np.array([1.0, 5.0, 20.0, 100.0])
    found = scaling.fit(x, 3 * x)
    assert found["linear"]
    assert (found["slope"], found["exponent"], found["r2"]) == pytest.approx((3, 1, 1))
    assert found["intercept"] == pytest.approx(0, abs=1e-9)
    constant = scaling.fit(x, 50 + 3 * x)
    assert constant["linear"]
    assert constant["exponent"] < 0.6
    for grows in (x**1.2, x**0.5, x**2):
        assert not scaling.fit(x, grows)["linear"]


def test_repeats_become_one_row(scaling: ModuleType) -> None:
    runs = [
        {"order_seconds": 0.5, "steps_per_epoch": 10, "step_seconds": [1.0, 2.0], "peak_memory": 7},
        {"order_seconds": 0.5, "steps_per_epoch": 10, "step_seconds": [3.0, 9.0], "peak_memory": 9},
    ]
    row = scaling.row(100, 32, runs)
    assert row["seconds_per_step"] == 2.5
    assert row["seconds_per_epoch"] == 25.5
    assert row["medians"] == [1.5, 6.0]
    assert (row["timed_steps"], row["peak_memory"]) == (4, 9)


def test_the_first_step_of_an_epoch_is_made_but_not_timed(scaling: ModuleType) -> None:
    assert scaling.steps_to_time(13, per_epoch=15) == 14
    assert scaling.steps_to_time(14, per_epoch=15) == 15
    assert scaling.steps_to_time(15, per_epoch=15) == 17
    assert scaling.steps_to_time(12, per_epoch=2) == 24
    with pytest.raises(SystemExit, match="--images: found less than two steps an epoch"):
        scaling.steps_to_time(12, per_epoch=1)


@LINUX
def test_steps_are_timed_in_training_itself(scaling: ModuleType, tmp_path: Path) -> None:
    real = np.zeros((1, 32, 32, 3), np.uint8)
    scaling.write_images(tmp_path / "images.npy", 2000, 32, real)
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(TINY)
    found = scaling.measure(str(recipe), tmp_path / "images.npy", 1500, steps=8)
    assert len(found["step_seconds"]) == 8
    assert found["steps_per_epoch"] == 15
    assert found["peak_memory"] > 50 * 2**20
    assert 0 < found["order_seconds"] < 5


@LINUX
@pytest.mark.slow
def test_the_whole_script_writes_what_the_documents_read(
    scaling: ModuleType, tmp_path: Path
) -> None:
    out, recipe = tmp_path / "results" / "scaling.json", tmp_path / "tiny.toml"
    recipe.write_text(TINY)
    numbers = ["--images", "600", "300", "900", "--sizes", "32", "64", "96"]
    command = [sys.executable, str(SCRIPT), *numbers, "--data", "digits", "--out", str(out)]
    command += ["--recipe", str(recipe), "--steps", "2", "--repeats", "1"]
    subprocess.run(command, check=True)
    entries = read_entries(out.parent, "scaling")
    assert [(row["images"], row["size"]) for row in entries["scaling"]["rows"]] == [
        (300, 32), (600, 32), (900, 32), (300, 64), (300, 96),
    ]  # fmt: skip
    assert "300 | 96 px" in scaling_table(entries)
    assert [len(panel["points"]) for panel in scaling_panels(entries)] == [3, 3, 3, 3]
    assert json.loads(out.read_text("utf-8"))["environment"]["cores"]
