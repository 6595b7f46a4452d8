"""Stages: found from the structure, and the two halves of a cut are the whole."""

from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from clearsight.models.classifier import Classifier
from clearsight.models.factory import build
from clearsight.models.preprocess import Preprocess
from clearsight.models.stages import can_cut, final_map, run_prefix, run_rest, stages

OWN = ["resnet20", "airnet94", "wrn-16-8"]
TIMM = ["tf_efficientnet_lite0", "resnet18", "convnext_atto"]


def classifier(name: str) -> Classifier:
    torch.manual_seed(0)
    if name in OWN:
        return build(name, ("cat", "dog"), Preprocess([0.5] * 3, [0.25] * 3)).eval()
    return wrapped(timm.create_model(name, num_classes=0), features=None).eval()


def wrapped(backbone: nn.Module, features: int | None) -> Classifier:
    hidden = getattr(backbone, "head_hidden_size", 0)
    return Classifier(
        name="wrapped",
        preprocess=Preprocess([0.5] * 3, [0.25] * 3),
        backbone=backbone,
        head=nn.Linear(features or hidden, 2),
        classes=("cat", "dog"),
    )


def pixels(n: int, side: int = 32) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (n, side, side, 3), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("name", [*OWN, *TIMM])
def test_every_cut_gives_the_logits_of_the_whole(name: str) -> None:
    model, images = classifier(name), pixels(2)
    assert can_cut(model, images[:1])
    with torch.no_grad():
        whole = model(images)
        for depth in range(len(stages(model.backbone)) + 1):
            torch.testing.assert_close(
                run_rest(model, run_prefix(model, images, depth), depth), whole
            )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet20", ["stem", "stages.0", "stages.1", "stages.2"]),
        ("airnet94", ["stem", "groups.0", "groups.1", "groups.2"]),
        ("wrn-16-8", ["stem", "stages.0", "stages.1", "stages.2"]),
        ("resnet18", ["stem", "layer1", "layer2", "layer3", "layer4"]),
        ("convnext_atto", ["stem", "stages.0", "stages.1", "stages.2", "stages.3"]),
        ("tf_efficientnet_lite0", ["stem", *(f"blocks.{k}" for k in range(7))]),
    ],
)
def test_stages_are_named_in_the_order_they_run(name: str, expected: list[str]) -> None:
    assert [stage for stage, _ in stages(classifier(name).backbone)] == expected


@pytest.mark.parametrize("name", [*OWN, *TIMM])
def test_every_parameter_of_a_convolutional_backbone_is_in_one_stage(name: str) -> None:
    backbone = classifier(name).backbone
    found = [
        p for _, modules in stages(backbone) for module in modules for p in module.parameters()
    ]
    assert len(found) == len({id(p) for p in found})
    assert {id(p) for p in found} == {id(p) for p in backbone.parameters()}


def test_what_follows_the_last_block_group_belongs_to_it() -> None:
    backbone = classifier("tf_efficientnet_lite0").backbone
    last = stages(backbone)[-1][1]
    names = ("blocks.6", "conv_head", "bn2", "global_pool", "classifier")
    assert last == [backbone.get_submodule(name) for name in names]


class Skipping(nn.Module):
    """Two layers, the second of which sees the image as well: no chain."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x) + x).mean((2, 3))


def test_a_backbone_that_is_no_chain_is_told_apart_and_left_as_it_was() -> None:
    model = wrapped(Skipping(), features=3).train()
    assert not can_cut(model, pixels(1))
    assert all(module.training for module in model.modules())


def test_a_backbone_that_is_no_chain_runs_whole() -> None:
    model, images = wrapped(Skipping(), features=3).eval(), pixels(2)
    depth = len(stages(model.backbone))
    features = run_prefix(model, images, depth)
    assert features.shape == (2, 3)
    torch.testing.assert_close(run_rest(model, features, depth), model(images))


def test_a_transformer_has_stages_but_no_cut() -> None:
    # Its position embedding is added between the parts.
    backbone = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=32)
    assert [name for name, _ in stages(backbone)] == ["stem", *(f"blocks.{k}" for k in range(12))]
    assert not can_cut(wrapped(backbone, features=None), pixels(1))


@pytest.mark.parametrize("name", ["pit_ti_224", "coat_lite_tiny", "swin_tiny_patch4_window7_224"])
def test_networks_of_any_inner_structure_are_asked_without_an_error(name: str) -> None:
    options: dict[str, Any] = {} if name.startswith("coat") else {"img_size": 64}
    backbone = timm.create_model(name, num_classes=0, **options)
    model = wrapped(backbone, features=None)
    if can_cut(model, pixels(1, 64)):
        whole = backbone.eval()(model.preprocess(pixels(1, 64)))
        torch.testing.assert_close(
            run_prefix(model.eval(), pixels(1, 64), len(stages(backbone))), whole
        )


def test_the_final_map_of_tokens_and_of_channels_last_is_their_grid() -> None:
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=80)
    assert final_map(wrapped(vit, features=None), pixels(1, 80)) == (5, 5)
    swin = timm.create_model("swin_tiny_patch4_window7_224", num_classes=0, img_size=128)
    assert final_map(wrapped(swin, features=None), pixels(1, 128)) == (4, 4)
