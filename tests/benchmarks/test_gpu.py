"""benchmarks/gpu.py: all of it that needs no GPU, with a script that stands for a reference."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from clearsight.config.recipes import load_recipe
from clearsight.data.images import ImageSet

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"
# What the references have in common, as far as the benchmark touches them.
REFERENCE = """
import sys
with open(sys.argv[0]) as file:
    code = file.read()

class CifarNet:
    def cuda(self):
        return self
    def to(self, memory_format):
        return self
    def compile(self, mode):
        self.mode = mode

def print_training_details(variables, is_final_entry):
    print(variables)

def main(run, model):
    print("epoch", run)
    time_seconds, tta_val_acc = 0.5, None
    print_training_details(locals(), is_final_entry=False)
    time_seconds, tta_val_acc = run + 1.5, 0.94
    print_training_details(locals(), is_final_entry=True)

if __name__ == "__main__":
    raise SystemExit("200 runs")
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "airbench94_muon.py"
    path.write_text(REFERENCE)
    return path


def test_the_data_are_staged_as_the_references_read_them(
    gpu: ModuleType, tmp_path: Path, images: ImageSet
) -> None:
    parts = np.where(np.arange(120) < 90, "train", "test")
    gpu.stage(replace(images, parts=parts), tmp_path)
    train, test = (torch.load(tmp_path / "cifar10" / f"{part}.pt") for part in ("train", "test"))
    assert train["images"].shape == (90, 32, 32, 3)
    assert train["images"].dtype == torch.uint8
    assert test["labels"].dtype == torch.int64
    assert np.array_equal(test["images"], images.images[90:])
    assert np.array_equal(test["labels"], images.labels[90:])
    assert test["classes"] == list(images.classes)


def test_a_reference_says_itself_what_it_took_and_reached(
    gpu: ModuleType, script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", sys.argv)
    make_run = gpu.reference(script, gpu.REFERENCES["airbench94_muon"][2])
    first, second = make_run(0), make_run(1)
    assert (first["seconds"], second["seconds"]) == (1.5, 2.5)
    assert second["accuracy"] == 0.94
    assert 0 <= second["wall_seconds"] < 1


def test_contestants_take_turns_and_what_they_print_is_no_answer(
    gpu: ModuleType, script: Path, tmp_path: Path
) -> None:
    found = gpu.compete({"airbench94_muon": script}, 2, tmp_path, None)
    runs = found["airbench94_muon"]["runs"]
    assert [run["seconds"] for run in runs] == [2.5, 3.5]
    assert found["airbench94_muon"]["first"]["wall_seconds"] > 0.5  # with its imports


def test_ours_trains_by_its_recipe_with_the_runs_number_as_seed(
    gpu: ModuleType, images: ImageSet
) -> None:
    changes: dict[str, object] = {
        "model.name": "airnet-tiny",
        "training.batch": 30,
        "phases.0.epochs": 2,
    }
    changes |= {"phases.0.head_lr": 1.0, "phases.0.bias_lr": 0.1, "training.device": "cpu"}
    config = load_recipe("airnet94", changes)
    make_run = gpu.ours(config, images)
    first, again, other = make_run(1), make_run(1), make_run(2)
    assert 0 <= first["accuracy"] == again["accuracy"] <= 1
    assert 0 < other["seconds"] <= other["wall_seconds"]


def test_references_are_found_in_the_checkouts_given(gpu: ModuleType, script: Path) -> None:
    checkouts = {"airbench": script.parent, "speedrun": None}
    found = gpu.contestants(94, checkouts)
    assert found == {"airnet94": None, "airnet94 compiled": None, "airbench94_muon": script}
    with pytest.raises(SystemExit, match=r"--airbench: found no .*airbench96_faster\.py"):
        gpu.contestants(96, checkouts)


def test_ours_against_a_reference_by_pairs_of_runs(gpu: ModuleType) -> None:

    def contestant(name: str, seconds: list[float], accuracies: list[float]) -> dict:
        runs = [{"seconds": s, "accuracy": a} for s, a in zip(seconds, accuracies, strict=True)]
        return gpu.summary(name, 94, {"first": {"wall_seconds": 60.0}, "runs": runs})

    mine = contestant("airnet94", [1.0, 2.0, 3.0], [0.93, 0.94, 0.95])
    other = contestant("airbench94_muon", [2.0, 2.0, 2.0], [0.94, 0.94, 0.94])
    found = gpu.compare(mine, other)
    assert found["ratio"] == 1.0
    assert found["accuracy_difference"] == pytest.approx(0.0)
    assert found["margin"] == pytest.approx(1.96 * 0.01 / 3**0.5)
    assert gpu.tabulated([mine])["rows"] == [
        ["airnet94", "94 %", "2.000 s", "60.0 s", "94.00 ± 1.00 %", "3"]
    ]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_one_sentence_says_so(gpu: ModuleType) -> None:
    command = [sys.executable, str(SCRIPT), "--airbench", "nowhere"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        "benchmarks/gpu.py: found no CUDA device; run it on a machine with one"
    ]
