"""Push and pull, spoken by the hub's own client with a hub on this machine."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from huggingface_hub import ModelCard
from PIL import Image
from safetensors import safe_open
from timm.data.config import resolve_model_data_config
from timm.data.transforms_factory import create_transform

import clearsight
from clearsight.bundle.format import read_bundle
from clearsight.bundle.hub import pull, push
from clearsight.cli import main
from clearsight.errors import HubError
from tests.bundle.bundles import CALIBRATION, CLASSES, timm_bundle
from tests.bundle.stand_in import Hub, Repository

V2 = Path(__file__).parent / "v2"


def test_a_bundle_comes_back_byte_for_byte_and_predicts(hub: Hub, tmp_path: Path) -> None:
    done = push(V2, "anna/pets")
    assert done.url == f"{hub.address}/anna/pets"
    assert not done.private
    assert done.files == {name: len(content) for name, content in hub.held().items()}
    assert set(done.files) == {"README.md", *(f"bundle/{p.name}" for p in V2.iterdir())}
    folder = clearsight.pull("anna/pets", out=tmp_path / "pets")
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {
        p.name: p.read_bytes() for p in V2.iterdir()
    }
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    both = [clearsight.load(f).predict([tmp_path / "a.png"])[0] for f in (V2, folder)]
    assert both[0].probabilities == both[1].probabilities


def test_the_three_steps_of_a_commit_are_spoken(hub: Hub) -> None:
    push(V2, "anna/pets")
    assert hub.asked[0] == "POST /api/repos/create"
    assert "POST /api/models/anna/pets/preupload/main" in hub.asked
    assert "POST /anna/pets.git/info/lfs/objects/batch" in hub.asked
    weights = hashlib.sha256((V2 / "model.safetensors").read_bytes()).hexdigest()
    assert f"PUT /lfs/{weights}" in hub.asked
    assert [asked for asked in hub.asked if "/commit/" in asked] == [
        "POST /api/models/anna/pets/commit/main"
    ]


def test_only_the_files_of_the_bundle_are_uploaded(hub: Hub, tmp_path: Path) -> None:
    folder = timm_bundle(tmp_path / "b").path
    (folder / "diary.txt").write_text("private")
    (folder / ".env").write_text("HF_TOKEN=x")
    push(folder, "anna/pets")
    assert sorted(hub.held()) == [
        "README.md", "bundle/MODEL_CARD.md", "bundle/bundle.json", "bundle/model.onnx",
        "bundle/model.safetensors", "config.json", "model.safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "size"),
    [("resnet18", 48), ("efficientnet_lite0", 64), ("tf_efficientnet_lite0", 64),
     ("vit_tiny_patch16_224", 64), ("mobilenetv3_small_050", 64)],
)  # fmt: skip
def test_timm_loads_it_from_the_hub_and_its_logits_are_the_bundle_s(
    hub: Hub, tmp_path: Path, name: str, size: int
) -> None:
    bundle = timm_bundle(
        tmp_path / "b", name, size=size, calibration=CALIBRATION,
        inner=size if name.startswith("vit") else None,
    )  # fmt: skip
    assert push(bundle.path, "anna/pets").not_timm is None
    network: Any = timm.create_model("hf-hub:anna/pets", pretrained=True).eval()
    stated = resolve_model_data_config(network)
    assert tuple(stated["input_size"]) == (3, size, size)
    transform: Any = create_transform(**stated)
    pixels = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), np.uint8)
    inputs = torch.stack([transform(Image.fromarray(each)) for each in pixels])
    with torch.inference_mode():
        found = network(inputs)
        model = bundle.classifier()
        expected = model(torch.from_numpy(pixels))
        probabilities = model.probabilities(torch.from_numpy(pixels))
    assert expected.std(0).max() > 0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close((found / 2.5).softmax(1), probabilities, rtol=1e-4, atol=1e-4)
    assert network.pretrained_cfg["label_names"] == list(CLASSES)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_small_images_that_timm_enlarges_get_nearly_the_same_logits(
    hub: Hub, tmp_path: Path, interpolation: str
) -> None:
    bundle = timm_bundle(tmp_path / "b", size=32, inner=96, interpolation=interpolation)
    push(bundle.path, "anna/pets")
    network: Any = timm.create_model("hf-hub:anna/pets", pretrained=True).eval()
    transform: Any = create_transform(**resolve_model_data_config(network))
    pixels = clearsight.load_images("digits").images[:8]
    assert pixels.shape[1:] == (32, 32, 3)
    with torch.inference_mode():
        found = network(torch.stack([transform(Image.fromarray(each)) for each in pixels]))
        expected = bundle.classifier()(torch.from_numpy(pixels.copy()))
    # As parts of how far the logits of different images lie apart. Pillow's cubic is another than
    # torch's (a = -0.5, -0.75), and it rounds to whole numbers.
    difference = (found - expected).abs().max() / expected.std(0).min()
    assert 0 < difference < {"bilinear": 0.02, "bicubic": 0.2}[interpolation]
    card = hub.held()["README.md"].decode()
    assert "reduces every image to 32 × 32 px before it enlarges it to 96 px" in card


def test_the_config_is_what_timm_reads(hub: Hub, tmp_path: Path) -> None:
    push(timm_bundle(tmp_path / "b", fit="stretch").path, "anna/pets")
    config = json.loads(hub.held()["config.json"])
    assert config["architecture"] == "resnet18"
    assert config["num_classes"] == 3
    assert config["label_names"] == list(CLASSES)
    about = config["pretrained_cfg"]
    assert about["input_size"] == [3, 48, 48]
    assert about["mean"] == [0.5, 0.25, 0.75]
    assert about["std"] == [0.25, 0.5, 0.125]
    assert (about["crop_pct"], about["crop_mode"]) == (1.0, "squash")
    assert about["interpolation"] == "bilinear"
    (tmp_path / "w").write_bytes(hub.held()["model.safetensors"])
    with safe_open(tmp_path / "w", "pt") as weights:
        assert set(weights.keys()) == set(timm.create_model("resnet18").state_dict())
        assert weights.get_tensor("fc.weight").shape == (3, 512)


def test_the_card_has_the_hub_s_metadata_and_says_what_timm_leaves_out(
    hub: Hub, tmp_path: Path
) -> None:
    push(timm_bundle(tmp_path / "b", calibration=CALIBRATION).path, "anna/pets")
    card = ModelCard(hub.held()["README.md"].decode())
    about = card.data.to_dict()
    assert about["library_name"] == "timm"
    assert about["pipeline_tag"] == "image-classification"
    assert about["tags"] == ["image-classification", "clearsight", "timm", "onnx", "resnet18"]
    assert about["datasets"] == ["my-pets"]
    assert about["metrics"] == ["accuracy"]
    [entry] = about["model-index"]
    [result] = entry["results"]
    assert result["dataset"] == {"name": "My Pets", "type": "my-pets", "split": "test"}
    [metric] = result["metrics"]
    assert (metric["type"], metric["value"]) == ("accuracy", 0.75)
    assert "n = 200" in metric["name"]
    assert card.text.count("library_name") == 0  # the bundle's own metadata is gone
    assert 'timm.create_model("hf-hub:anna/pets", pretrained=True)' in card.text
    assert "(logits / 2.5).softmax(1)" in card.text
    assert "raw logits" in card.text
    assert "clearsight pull anna/pets" in card.text


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"name": "resnet20"}, "it is a network of clearsight's own"),
        ({"head": "mlp"}, "several layers"),
        ({"channel_order": "bgr"}, "BGR"),
        ({"scaled_twice": True}, "255 twice"),
    ],
)
def test_what_timm_can_t_load_says_so_and_is_pulled_all_the_same(
    hub: Hub, tmp_path: Path, given: dict[str, Any], reason: str
) -> None:
    bundle = timm_bundle(tmp_path / "b", **given)
    done = push(bundle.path, "anna/pets")
    assert done.not_timm is not None
    assert reason in done.not_timm
    assert not {"config.json", "model.safetensors"} & set(hub.held())
    card = ModelCard(hub.held()["README.md"].decode())
    assert f"timm can't load this model: {done.not_timm}." in card.text
    assert card.data.to_dict()["library_name"] == "clearsight"
    assert read_bundle(pull("anna/pets", out=tmp_path / "c")).checksum == bundle.checksum


def test_a_push_replaces_the_bundle_that_was_there(hub: Hub, tmp_path: Path) -> None:
    push(timm_bundle(tmp_path / "a", calibration=CALIBRATION).path, "anna/pets")
    assert "bundle/validation.parquet" in hub.held()
    push(timm_bundle(tmp_path / "b", "resnet20").path, "anna/pets")
    assert sorted(hub.held()) == [
        "README.md", "bundle/MODEL_CARD.md", "bundle/bundle.json", "bundle/model.onnx",
        "bundle/model.safetensors",
    ]  # fmt: skip


def test_a_revision_is_a_branch_of_its_own(hub: Hub, tmp_path: Path) -> None:
    push(V2, "anna/pets")
    second = timm_bundle(tmp_path / "b")
    push(second.path, "anna/pets", revision="v2")
    assert "config.json" in hub.held(branch="v2")
    card = hub.held(branch="v2")["README.md"].decode()
    assert 'timm.create_model("hf-hub:anna/pets@v2", pretrained=True)' in card
    assert "clearsight pull anna/pets --revision v2\n" in card
    assert 'clearsight.pull("anna/pets", revision="v2")' in card
    assert "config.json" not in hub.held()
    folder = pull("anna/pets", out=tmp_path / "c", revision="v2")
    assert read_bundle(folder).checksum == second.checksum
    with pytest.raises(HubError, match="no such revision"):
        pull("anna/pets", out=tmp_path / "d", revision="v3")


def test_private_is_private_and_never_public(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert push(V2, "anna/mine", private=True).private
    assert pull("anna/mine", out=tmp_path / "a")
    hub.repositories["anna/open"] = Repository()
    with pytest.raises(HubError, match="is public already, and nothing was uploaded"):
        push(V2, "anna/open", private=True)
    assert hub.held("anna/open") == {}
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match=r"no such repository, or none that you may see.*HF_TOKEN"):
        pull("anna/mine", out=tmp_path / "b")


def test_another_model_is_not_overwritten(hub: Hub) -> None:
    hub.repositories["anna/bert"] = Repository(branches={"main": {"pytorch_model.bin": b"x"}})
    with pytest.raises(HubError, match=r"something else than a bundle \(pytorch_model.bin\)"):
        push(V2, "anna/bert")
    assert hub.held("anna/bert") == {"pytorch_model.bin": b"x"}


def test_the_makers_of_the_client_are_told_nothing_of_this_machine(hub: Hub) -> None:
    push(V2, "anna/pets")
    assert any(agent.startswith("clearsight/") for agent in hub.agents)
    assert not any("agent" in asked for asked in hub.asked)
    assert not any("torch/" in agent or "agent/" in agent for agent in hub.agents)


def test_the_commands_print_what_they_did(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    bundle = str(timm_bundle(tmp_path / "b").path)
    assert main(["push", bundle, "anna/pets", "--private"]) == 0
    shown = capsys.readouterr().out
    assert "bundle/model.safetensors" in shown
    assert f"private  {hub.address}/anna/pets" in shown
    assert 'timm.create_model("hf-hub:anna/pets", pretrained=True)' in shown
    assert main(["push", str(V2), "anna/digits", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["url"] == f"{hub.address}/anna/digits"
    assert told["not_timm"] == "it is a network of clearsight's own"
    assert main(["pull", "anna/pets", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"bundle": "pets"}
    assert read_bundle(tmp_path / "pets").architecture == "resnet18"
    assert main(["pull", "pets"]) == 2
    assert "expected OWNER/NAME" in capsys.readouterr().err
