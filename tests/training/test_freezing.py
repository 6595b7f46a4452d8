"""What a phase trains: names, modes, depth; what is frozen does not move by a byte."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from clearsight.config.schema import PhaseConfig, TrainingConfig
from clearsight.errors import ConfigError
from clearsight.models.classifier import Classifier
from clearsight.models.factory import build
from clearsight.models.preprocess import Preprocess
from clearsight.models.stages import stages
from clearsight.training.averaging import Averaging
from clearsight.training.freezing import depths, freeze, frozen_depth, selected, set_modes
from clearsight.training.optimizers import build_optimizers


def tiny(head: str = "linear", name: str = "airnet-tiny") -> Classifier:
    torch.manual_seed(0)
    return build(name, ("a", "b", "c"), Preprocess([0.5] * 3, [0.25] * 3), head)


def frozen(model: Classifier, **phase: object) -> PhaseConfig:
    config = PhaseConfig(**phase)  # ty: ignore
    allowed = {name for name, p in model.named_parameters() if p.requires_grad}
    freeze(model, selected(model, config.trainable), allowed)
    set_modes(model, config)
    return config


def batch_norms(model: nn.Module) -> Iterator[nn.BatchNorm2d]:
    return (module for module in model.modules() if isinstance(module, nn.BatchNorm2d))


def train_a_little(model: Classifier, phase: PhaseConfig) -> None:
    optimizers = build_optimizers(model, phase)
    images = torch.randint(0, 255, (16, 32, 32, 3), dtype=torch.uint8)
    for _ in range(3):
        loss = nn.functional.cross_entropy(model(images), torch.arange(16) % 3)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()


def copies(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def moved(model: nn.Module, before: dict[str, Tensor]) -> set[str]:
    return {n for n, t in model.state_dict().items() if not torch.equal(t, before[n])}


def test_names_of_what_trains() -> None:
    model = tiny()
    names = {name for name, _ in model.named_parameters()}
    assert selected(model, "all") == names
    assert selected(model, "head") == {"head.weight"}
    last = stages(model.backbone)[-1][0]
    top = selected(model, "top:1")
    assert top == {n for n in names if n == "head.weight" or n.startswith(f"backbone.{last}.")}
    assert selected(model, "top:1") < selected(model, "top:2") < names
    assert selected(model, f"head.*, backbone.{last}.*") == top


@pytest.mark.parametrize(
    ("trainable", "message"),
    [
        (
            "top:9",
            r"phases\.1\.trainable: found 'top:9'; airnet-tiny has \d stages \(stem, .*top:1",
        ),
        ("top:0", "found 'top:0'"),
        ("top:x", "found 'top:x'"),
        ("haed", r"'haed' matches no parameter of airnet-tiny \(did you mean 'head'\?\)"),
        ("head.*,layer9.*", r"'layer9\.\*' matches no parameter"),
    ],
)
def test_a_name_that_means_nothing_is_an_error_with_the_choices(
    trainable: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        selected(tiny(), trainable, "phases.1.trainable")


@pytest.mark.parametrize("trainable", ["head", "top:1", "top:2"])
@pytest.mark.parametrize("batch_norm", ["running", "batch"])
def test_what_is_frozen_does_not_move_by_a_byte(trainable: str, batch_norm: str) -> None:
    model = tiny()
    before = copies(model)
    phase = frozen(model, trainable=trainable, batch_norm=batch_norm, lr=0.1, weight_decay=0.1)
    train_a_little(model, phase)
    names = selected(model, trainable)
    statistics = {n for n in before if "running_" in n or "num_batches" in n}
    # The statistics of a norm belong with its parameters.
    following = {n for n in statistics if n.rsplit(".", 1)[0] + ".bias" in names}
    changed = moved(model, before)
    assert changed <= names | following
    assert bool(changed & following) == (batch_norm == "batch" and trainable != "head")
    assert "head.weight" in changed


def test_batch_norm_keeps_its_statistics_in_a_partly_trained_network_unless_told() -> None:
    model = tiny()
    assert any(norm.training for norm in batch_norms(model))
    frozen(model, trainable="top:1")
    assert not any(norm.training for norm in batch_norms(model))
    model = tiny()
    frozen(model, trainable="all")
    assert all(norm.training for norm in batch_norms(model))
    frozen(model, trainable="all", batch_norm="running")
    assert not any(norm.training for norm in batch_norms(model))


def test_scale_and_shift_of_a_trained_norm_train_while_its_statistics_stay() -> None:
    model = tiny()
    before = copies(model)
    train_a_little(model, frozen(model, trainable="top:1", lr=0.1))
    changed = moved(model, before)
    assert any("norm" in name and name.endswith("bias") for name in changed)
    assert not any("running_" in name for name in changed)


def test_what_the_network_itself_keeps_fixed_stays_so() -> None:
    model = tiny()
    frozen(model, trainable="all")
    fixed = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert {"backbone.whiten.weight", "backbone.whiten.bias"} <= fixed


def test_dropout_is_on_in_the_head_and_off_in_what_is_frozen() -> None:
    class Backbone(nn.Module):
        """A convolution with dropout behind it, as a chain."""

        def __init__(self) -> None:
            super().__init__()
            self.conv, self.drop = nn.Conv2d(3, 4, 3), nn.Dropout(0.5)
            self.last, self.pool = nn.Sequential(nn.Conv2d(4, 4, 3)), nn.AdaptiveAvgPool2d(1)

        def forward(self, x: Tensor) -> Tensor:
            return self.pool(self.last(self.drop(self.conv(x)))).flatten(1)

    model = Classifier(
        name="toy",
        preprocess=Preprocess([0.5] * 3, [0.25] * 3),
        backbone=Backbone(),
        head=nn.Sequential(nn.Dropout(0.3), nn.Linear(4, 2)),
        classes=("a", "b"),
    )
    frozen(model, trainable="top:1")
    dropouts = {n: m.training for n, m in model.named_modules() if isinstance(m, nn.Dropout)}
    assert dropouts == {"backbone.drop": False, "head.0": True}


def test_the_depth_of_what_is_frozen() -> None:
    model = tiny(name="resnet20")
    count = len(stages(model.backbone))
    stem = next(name for name, _ in model.backbone.named_parameters())
    found = []
    for trainable in ("head", "top:1", "top:2", "all", f"head.*,backbone.{stem}"):
        frozen(model := tiny(name="resnet20"), trainable=trainable)
        found.append(frozen_depth(model))
    assert found == [count, count - 1, count - 2, 0, 0]
    # Its whitening never trains.
    frozen(model := tiny(), trainable="all")
    assert frozen_depth(model) == 1


def test_the_learning_rate_decays_from_the_head_down() -> None:
    model = tiny()
    below = depths(model)
    assert below[id(model.head.weight)] == 0
    phase = PhaseConfig(optimizer="adamw", lr=1.0, layer_decay=0.5)
    rates = {
        id(p): group["lr"]
        for optimizer in build_optimizers(model, phase)
        for group in optimizer.param_groups
        for p in group["params"]
    }
    assert rates == {i: 0.5 ** below[i] for i in rates}
    # All stages but the whitening, which does not train, and the head.
    assert set(rates.values()) == {0.5**k for k in range(len(stages(model.backbone)))}


def test_a_restarted_average_leaves_frozen_weights_alone() -> None:
    for kind in ("ema", "lookahead"):
        layer = nn.Linear(1, 1, bias=False)
        averaging = Averaging(layer, TrainingConfig(averaging=kind))
        with torch.no_grad():
            layer.weight.fill_(0.7)
        averaging.restart()
        averaging.update(5)
        with averaging.applied():
            assert torch.equal(layer.weight, torch.full((1, 1), 0.7))
        assert torch.equal(layer.weight, torch.full((1, 1), 0.7))
