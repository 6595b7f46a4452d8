"""Training on from a model of one's own: what is kept, by which names, and what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clearsight.bundle.export import export
from clearsight.config.schema import ModelConfig, TrainingConfig
from clearsight.errors import ConfigError, WeightsError
from clearsight.files import write_json
from clearsight.models.classifier import Classifier
from clearsight.models.factory import build, start
from clearsight.models.own import Trained, begin_from, find_trained, told
from clearsight.models.preprocess import Preprocess
from clearsight.training.averaging import Averaging
from clearsight.training.checkpoint import save_weights

CLASSES = ("ant", "bee", "cow")
PREPROCESS = Preprocess((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))


def model_of(name: str, head: str = "linear", classes: tuple[str, ...] = CLASSES) -> Classifier:
    torch.manual_seed(3)
    return build(name, classes, PREPROCESS, head).eval()


def trained(name: str = "airnet-tiny", head: str = "linear") -> Trained:
    return Trained(
        source="run first", model=model_of(name, head), size=24, fit="crop", sha256="0" * 64
    )


def pixels(n: int = 4) -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (n, 24, 24, 3), dtype=np.uint8))


def begun(old: Trained, classes: tuple[str, ...], **settings: Any) -> Classifier:
    own: dict[str, Any] = {"name": old.model.name, "head": old.model.head_kind}
    config = ModelConfig(**own | settings)
    torch.manual_seed(8)
    return begin_from(old, config, classes).eval()


@pytest.mark.parametrize("name", ["airnet-tiny", "resnet20", "resnet18"])
@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_the_same_classes_go_on_where_they_were(name: str, head: str) -> None:
    old = trained(name, head)
    with torch.inference_mode():
        assert torch.equal(begun(old, CLASSES)(pixels()), old.model(pixels()))
        turned = begun(old, CLASSES[::-1])(pixels())
        # ScaledLinear and other heads treat each row for itself.
        assert torch.allclose(turned.flip(1), old.model(pixels()), atol=1e-6)


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_more_and_other_classes_keep_the_rows_of_the_known_ones(head: str) -> None:
    old = trained(head=head)
    model = begun(old, ("bee", "dog", "ant", "emu"))
    with torch.inference_mode():
        before, after = old.model(pixels()), model(pixels())
    assert torch.allclose(after[:, [2, 0]], before[:, [0, 1]], atol=1e-6)
    assert model.classes == ("bee", "dog", "ant", "emu")
    lines = told(old, model, "crop")
    assert len(lines) == 1
    assert "2 of 4 classes by their names; new: dog, emu; left behind: cow" in lines[0]


def test_other_classes_get_a_new_head_on_the_same_backbone() -> None:
    old = trained(head="mlp")
    model = begun(old, ("x", "y", "z"))
    for name, tensor in model.backbone.state_dict().items():
        assert torch.equal(tensor, old.model.backbone.state_dict()[name])
    for name, tensor in model.head.state_dict().items():
        if name.endswith("weight"):
            assert not torch.equal(tensor, old.model.head.state_dict()[name])
    lines = told(old, model, "letterbox")
    assert "none of the classes" in lines[0]
    assert lines[1] == "its images were fitted by crop, these are by letterbox: see data.fit"


def test_a_head_of_another_kind_starts_anew() -> None:
    old = trained()
    model = begun(old, CLASSES, head="mlp")
    assert model.head_kind == "mlp"
    assert "its head is linear, so this one starts anew" in told(old, model, "crop")[0]


def test_the_weights_bring_their_preprocessing_and_are_named() -> None:
    model = begun(trained(), CLASSES)
    assert model.preprocess.describe() == PREPROCESS.describe()
    assert model.origin == {
        "source": "run first", "licence": "not stated", "sha256": "0" * 64,
    }  # fmt: skip
    assert model.expects is not None
    assert model.expects.mean == pytest.approx((0.5, 0.4, 0.3))
    assert model.temperature == 1.0


def test_another_network_or_preprocessing_is_refused() -> None:
    with pytest.raises(WeightsError, match=r"run first is airnet-tiny, and model.name is resnet20"):
        begun(trained(), CLASSES, name="resnet20")
    with pytest.raises(ConfigError, match=r"model\.mean: found .* brings its own preprocessing"):
        begun(trained(), CLASSES, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(
        model_of("airnet-tiny"), out=tmp_path_factory.mktemp("own") / "ants", fit="crop", size=24,
        metrics={}, provenance={}, test_images=pixels().numpy(),
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["bundle", "checkpoint", "run"])
def test_it_is_found_in_every_folder_that_holds_one(
    bundle: Path, tmp_path: Path, kind: str
) -> None:
    model, folder = model_of("airnet-tiny"), tmp_path / "mine"
    about = model.describe() | {"data": {"size": 24, "fit": "crop"}}
    if kind == "bundle":
        shutil.copytree(bundle, folder)
    else:
        place = folder if kind == "checkpoint" else folder / "checkpoints" / "best"
        place.parent.mkdir(parents=True, exist_ok=True)
        save_weights(place, model, Averaging(model, TrainingConfig()), about)
    if kind == "run":
        (folder / "recipe.toml").touch()
    found = find_trained(str(folder))
    assert found is not None
    assert (found.source, found.size, found.fit) == (f"{kind} mine", 24, "crop")
    again = start(ModelConfig(name="airnet-tiny", weights=str(folder)), CLASSES, lambda: ([], []))
    with torch.inference_mode():
        assert torch.allclose(again.eval()(pixels()), model(pixels()), atol=1e-6)


def test_a_folder_that_is_called_like_any_other_is_named_with_that_above(
    bundle: Path, tmp_path: Path
) -> None:
    shutil.copytree(bundle, tmp_path / "ants" / "bundle")
    found = find_trained(str(tmp_path / "ants" / "bundle"))
    assert found is not None
    assert found.source == "bundle ants/bundle"


def test_what_is_no_folder_of_ours_is_left_to_others(tmp_path: Path) -> None:
    (tmp_path / "file.pth").touch()
    for given in (None, "none", str(tmp_path / "file.pth"), str(tmp_path / "missing")):
        assert find_trained(given) is None


def test_folders_that_cannot_be_used_are_one_sentence(bundle: Path, tmp_path: Path) -> None:
    def fails(folder: Path, message: str) -> None:
        with pytest.raises(WeightsError, match=message) as caught:
            find_trained(str(folder))
        assert "\n" not in str(caught.value)

    (tmp_path / "empty").mkdir()
    fails(tmp_path / "empty", "is a folder without recipe.toml, checkpoint.json or bundle.json")
    (tmp_path / "young").mkdir()
    (tmp_path / "young" / "recipe.toml").touch()
    fails(tmp_path / "young", "has no checkpoint yet; train it first")
    for name, change in {
        "bent": lambda path: (path / "model.safetensors").write_bytes(b"bent"),
        "gone": lambda path: (path / "model.safetensors").unlink(),
        "broken": lambda path: (path / "bundle.json").write_text("{"),
        "thin": lambda path: write_json(path / "bundle.json", {"classes": ["a", "b"]}),
    }.items():
        shutil.copytree(bundle, tmp_path / name)
        change(tmp_path / name)
    fails(tmp_path / "bent", r"has the SHA-256 .* copy the bundle again")
    fails(tmp_path / "gone", "model.safetensors can't be used")
    fails(tmp_path / "broken", "bundle broken can't be used")
    fails(tmp_path / "thin", "lacks 'architecture'")
    shutil.copytree(bundle, tmp_path / "alien")
    about = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    write_json(tmp_path / "alien" / "bundle.json", about | {"architecture": "resnet20"})
    fails(tmp_path / "alien", "model.safetensors can't be used")
