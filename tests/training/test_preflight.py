"""The pre-flight check, by making each mistake on purpose, and its silence where there is none."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from clearsight.config.schema import Config, DataConfig, ModelConfig, PhaseConfig, TrackingConfig
from clearsight.data.arrays import digits_source
from clearsight.data.cache import cached
from clearsight.errors import TrainingError
from clearsight.files import read_json
from clearsight.models.classifier import Classifier
from clearsight.models.factory import start
from clearsight.models.preprocess import Expectation, Preprocess
from clearsight.training.findings import Finding
from clearsight.training.preflight import check_features, preflight, relative_spread
from clearsight.workflows.train import train

MEAN, STD = [0.5] * 3, [0.25] * 3
LABELS = torch.arange(16) % 10


@pytest.fixture
def scenes() -> Tensor:
    """16 images as of a camera: smooth colours of many brightnesses, uint8 [16, 32, 32, 3]."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(16, 3, 4, 4, generator=generator)
    fine = nn.functional.interpolate(coarse, 32, mode="bicubic").clamp(0, 1)
    return (255 * fine).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def begin(name: str, **model: object) -> Classifier:
    torch.manual_seed(0)
    config = ModelConfig(name=name, **model)  # ty: ignore[invalid-argument-type]
    return start(config, [str(k) for k in range(10)], lambda: (MEAN, STD))


def errors(found: list[Finding]) -> dict[str, str]:
    return {finding.kind: finding.message for finding in found if finding.level == "error"}


@pytest.mark.parametrize(
    "name", ["airnet94", "resnet20", "resnet110", pytest.param("wrn-16-8", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("kind", ["scenes", "digits", "noise"])
def test_networks_from_scratch_pass(name: str, kind: str, scenes: Tensor) -> None:
    images = {"scenes": scenes, "noise": torch.randint(0, 256, (16, 32, 32, 3), dtype=torch.uint8)}
    if kind == "digits":
        images[kind] = torch.from_numpy(cached(digits_source(), 32, "letterbox").images[:16].copy())
    model = begin(name)
    model.prepare(images[kind])
    assert preflight(model, images[kind], LABELS) == []


@pytest.mark.parametrize("name", ["resnet20", "resnet18"])
def test_pixels_scaled_twice_are_recognised(name: str, scenes: Tensor) -> None:
    weights = {} if name == "resnet20" else {"weights": "none", "size": 64}
    found = errors(preflight(begin(name, preprocess="double-scaled", **weights), scenes, LABELS))
    assert "scaled to 0–1 and then divided by 255 once more" in found["input"]


def test_pixels_that_were_not_scaled_are_recognised(scenes: Tensor) -> None:
    model = begin("resnet20")
    model.expects = Expectation(mean=(0.0,) * 3, std=(1.0,) * 3)
    model.preprocess = Preprocess([0.0] * 3, [1 / 255] * 3)
    assert "pixels were left at 0–255" in errors(preflight(model, scenes, LABELS))["input"]


def test_a_layer_that_normalises_otherwise_than_the_weights_expect_is_found(
    scenes: Tensor,
) -> None:
    model = begin("resnet20")
    model.preprocess = Preprocess([0.0] * 3, [1.0] * 3)
    found = errors(preflight(model, scenes, LABELS))
    assert "normalise pixels as the weights' own preprocessing does" in found["input"]


def test_exchanged_channels_are_found_though_mean_and_spread_agree(scenes: Tensor) -> None:
    model = begin("resnet20")
    model.preprocess = Preprocess(MEAN, STD, channel_order="bgr")
    assert "order of the channels" in errors(preflight(model, scenes, LABELS))["input"]


@pytest.mark.parametrize("cell", [1, 2, 3])
@pytest.mark.parametrize(("side", "size"), [(128, 96), (96, 224), (224, 32)])
def test_fine_patterns_that_resampling_takes_away_are_no_mistake(
    cell: int, side: int, size: int
) -> None:
    board = (np.indices((side, side)) // cell).sum(0) % 2
    levels = np.linspace(60, 255, 16)[:, None, None, None]
    images = torch.from_numpy((board[None, :, :, None] * levels).astype(np.uint8))
    images = images.expand(-1, -1, -1, 3).contiguous()
    found = preflight(begin("resnet18", weights="none", size=size), images, LABELS)
    assert "input" not in errors(found)


def test_features_that_do_not_differ_are_found(scenes: Tensor) -> None:
    model = begin("resnet20")
    model.backbone.pool = Constant()
    found = errors(preflight(model, scenes, LABELS))
    assert "hardly differ" in found["features"]


class Constant(nn.Module):
    """Features that forget the image, all but a thousandth of it."""

    def forward(self, x: Tensor) -> Tensor:
        return 1.0 + 1e-3 * x.mean((2, 3))


def test_relative_spread_of_known_features() -> None:
    # Distance from the mean 3 is 1 everywhere; the size is sqrt((4 + 16) / 2).
    assert relative_spread(torch.tensor([[2.0], [4.0]])) == pytest.approx(1 / math.sqrt(10))
    assert relative_spread(torch.zeros(4, 3)) == 0
    assert check_features(torch.zeros(4, 3)) is not None


def test_a_head_far_from_guessing_is_found(scenes: Tensor) -> None:
    model = begin("resnet20")
    with torch.no_grad():
        model.get_parameter("head.weight").mul_(100)
    assert "the first loss is" in errors(preflight(model, scenes, LABELS))["loss"]
    assert preflight(model, scenes, LABELS, fresh_head=False) == []


def test_a_small_last_map_is_a_warning_that_names_the_layer_used(scenes: Tensor) -> None:
    found = preflight(begin("resnet18", weights="none", size=32), scenes, LABELS)
    assert [(f.level, f.kind) for f in found] == [("warning", "map")]
    assert "map of 1 × 1" in found[0].message
    assert "backbone.layer2" in found[0].message  # 4 × 4


def test_the_model_is_left_as_it_was(scenes: Tensor) -> None:
    model = begin("resnet20").train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    preflight(model, scenes, LABELS)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(module.training for module in model.modules())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Generated photos of mixed sizes in two class folders, no parts given."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for label, colour in (("red", 0), ("blue", 2)):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for k in range(20):
            height, width = rng.integers(40, 120, 2)
            pixels = rng.integers(0, 120, (height, width, 3), dtype=np.uint8)
            pixels[..., colour] += 120
            Image.fromarray(pixels).save(tmp_path / "photos" / label / f"{k}.png")
    return tmp_path / "photos"


def recipe(folder: Path, preprocess: str) -> Config:
    return Config(
        data=DataConfig(source=str(folder), size=32),
        model=ModelConfig(name="airnet-tiny", preprocess=preprocess),  # ty: ignore
        phases=(PhaseConfig(epochs=1, optimizer="adam", lr=1e-3),),
        tracking=TrackingConfig(tracker="none"),
    )


def test_a_refused_run_leaves_no_folder(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"pre-flight check: .*divided by 255 once more.*--force"
    ):
        train(recipe(folder, "double-scaled"), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_forced_run_records_what_was_found(folder: Path, tmp_path: Path) -> None:
    run = train(recipe(folder, "double-scaled"), out=tmp_path / "run", force=True)
    about = read_json(run.environment)
    assert about["forced"] is True
    assert "input" in [finding["kind"] for finding in about["preflight"]]
    assert read_json(run.last / "checkpoint.json")["preprocess"]["scaled_twice"] is True


def test_a_sound_run_is_not_called_forced(folder: Path, tmp_path: Path) -> None:
    run = train(recipe(folder, "weights"), out=tmp_path / "run", force=True)
    assert read_json(run.environment)["forced"] is False
