"""Networks that can't take the images or the batch say so before the first step."""

import pytest
import torch

from clearsight.config.schema import Config, ModelConfig, PhaseConfig, TrainingConfig
from clearsight.errors import ConfigError
from clearsight.models.factory import start
from clearsight.training.trial import check_steps


def check(
    name: str, *, size: int | None = 32, batch: int = 16, side: int = 32, count: int = 100, **phase
) -> None:
    weights = {} if size is None else {"weights": "none", "size": size}
    config = Config(
        model=ModelConfig(name=name, **weights),  # ty: ignore[invalid-argument-type]
        training=TrainingConfig(batch=batch),
        phases=(PhaseConfig(**phase),),
    )
    model = start(config.model, ("a", "b", "c"), lambda: ([0.5] * 3, [0.25] * 3))
    check_steps(model, config, torch.zeros(2, side, side, 3, dtype=torch.uint8), count)


@pytest.mark.parametrize(
    ("name", "size"),
    [("inception_v3", 64), ("vgg11", 16), ("coat_lite_tiny", 20)],
)
def test_a_network_that_can_t_take_the_size_names_the_setting_and_its_own(
    name: str, size: int
) -> None:
    with pytest.raises(ConfigError, match=rf"model\.size: {name} can't take {size} px .*; set \d+"):
        check(name, size=size)


def test_a_network_that_takes_images_as_they_are_names_the_data_s_size_resized_or_not() -> None:
    check("airnet94", size=None, side=16)
    with pytest.raises(ConfigError, match=r"data\.size: airnet94 can't take images of 4 px"):
        check("airnet94", size=None, side=4)
    with pytest.raises(ConfigError, match=r"data\.size: airnet94 can't take images of 8 px"):
        check("airnet94", size=None, side=16, progressive_resizing=0.5)


@pytest.mark.parametrize(("batch", "count"), [(1, 100), (16, 1)])
def test_batch_norm_on_a_single_value_names_the_batch(batch: int, count: int) -> None:
    with pytest.raises(ConfigError, match=r"training\.batch: resnet18 can't train on one image"):
        check("resnet18", batch=batch, count=count)


@pytest.mark.parametrize(
    "settings",
    [
        {"batch": 2}, {"batch": 1, "size": 64}, {"batch": 1, "trainable": "head"},
        {"batch": 1, "batch_norm": "running"},
    ],
)  # fmt: skip
def test_what_can_train_passes(settings: dict) -> None:
    check("resnet18", **settings)


def test_the_model_and_the_random_state_are_left_as_they_were() -> None:
    model = start(
        ModelConfig(name="resnet18", weights="none", size=32, head="mlp"),
        ("a", "b"), lambda: ([0.5] * 3, [0.25] * 3),
    ).train()  # fmt: skip
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random = torch.get_rng_state()
    phases = (PhaseConfig(trainable="head"), PhaseConfig(trainable="top:1"))
    check_steps(model, Config(phases=phases), torch.zeros(2, 32, 32, 3, dtype=torch.uint8), 50)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert all(module.training for module in model.modules())
