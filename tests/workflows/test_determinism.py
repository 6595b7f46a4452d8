"""On real CIFAR-10: the same recipe and seed give the same files, byte for byte."""

import os
from pathlib import Path

import pytest

from clearsight.config.recipes import load_recipe
from clearsight.config.schema import Config
from clearsight.data.images import ImageSet
from clearsight.data.sources import load_images
from clearsight.data.splits import split
from clearsight.errors import DataNotFoundError
from clearsight.runs import Run, create_run
from clearsight.training.train import train_model

DATA = os.environ.get("CLEARSIGHT_DATA")  # read here: fixtures take it away

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cifar10() -> ImageSet:
    config = load_recipe("airnet94")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLEARSIGHT_DATA", DATA or "")
        try:
            return load_images(config.data.source, download=False)
        except DataNotFoundError as error:
            pytest.skip(f"needs CIFAR-10: {error}")


def trained(path: Path, config: Config, images: ImageSet) -> Run:
    run = create_run(path, config, {})
    train_model(run, config, images, split(images, config.data))
    return run


def written(run: Run) -> dict[str, bytes]:
    files = (run.history, run.last / "model.safetensors", run.best / "model.safetensors")
    return {str(file.relative_to(run.path)): file.read_bytes() for file in files}


def test_a_run_in_steps_repeats(tmp_path: Path, cifar10: ImageSet) -> None:
    # bf16 where the machine has it, as a user would have it.
    config = load_recipe("airnet94", {"phases.0.steps": 4})
    first = trained(tmp_path / "a", config, cifar10)
    assert written(trained(tmp_path / "b", config, cifar10)) == written(first)


def test_the_resolved_recipe_of_a_budgeted_run_repeats_it(
    tmp_path: Path, cifar10: ImageSet
) -> None:
    config = load_recipe("airnet94", {"training.budget": "8s"})
    first = trained(tmp_path / "a", config, cifar10)
    again = trained(tmp_path / "b", load_recipe(first.recipe), cifar10)
    assert written(again) == written(first)
