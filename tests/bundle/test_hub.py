"""Push and pull, spoken by the hub's own client with a hub on this machine."""

import hashlib
import json
import re
from collections.abc import Iterator
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
from clearsight.bundle import hub as hub_module
from clearsight.bundle.format import Bundle, read_bundle, write_bundle
from clearsight.bundle.hub import pull, push
from clearsight.cli import main
from clearsight.errors import BundleError, FileError, HubError, UsageError
from clearsight.models.factory import build
from clearsight.models.preprocess import Preprocess
from tests.bundle.stand_in import TOKEN, Hub, Repository, running_hub

V2 = Path(__file__).parent / "v2"
CLASSES = ("cat", "dog", "eel")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub on this machine that this process asks and that knows its token."""
    from huggingface_hub import constants

    with running_hub() as running:
        template = running.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", running.address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        # Xet has a protocol, and servers, of its own.
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield running


def timm_bundle(
    out: Path, name: str = "resnet18", *, size: int = 48, inner: int | None = None,
    head: str = "linear", calibration: dict[str, Any] | None = None, fit: Any = "crop",
    **preprocessing: Any,
) -> Bundle:  # fmt: skip
    """A bundle of timm's `name` with random weights, also in its batch norms.

    Images have `size` px and are resampled to `inner` px.
    """
    torch.manual_seed(0)
    given: dict[str, Any] = {
        "mean": (0.5, 0.25, 0.75),
        "std": (0.25, 0.5, 0.125),
        "size": inner,
    } | preprocessing
    model = build(name, CLASSES, Preprocess(**given), head)
    for part, buffer in model.named_buffers():
        if part.endswith("running_mean"):
            torch.nn.init.uniform_(buffer, -0.1, 0.1)
        if part.endswith("running_var"):
            torch.nn.init.uniform_(buffer, 0.5, 2)
    folder = write_bundle(
        out, model=model.eval(), onnx=b"graph", size=size, fit=fit, calibration=calibration,
        metrics={"split": "test", "n": 200, "tta": "none", "loss": 0.5,
                 "accuracy": {"value": 0.75, "low": 0.6854, "high": 0.8049}},
        parity={"n": 3, "ties": 0, "max_difference": 1e-6}, provenance={"data": "My Pets"},
        validation=b"rows" if calibration else None,
    )  # fmt: skip
    return read_bundle(folder)


CALIBRATION = {"temperature": 2.5, "n": 50, "sure": [], "sets": []}


def files(hub: Hub, name: str = "anna/pets", branch: str = "main") -> dict[str, bytes]:
    return hub.repositories[name].branches[branch]


def test_a_bundle_comes_back_byte_for_byte_and_predicts(hub: Hub, tmp_path: Path) -> None:
    done = push(V2, "anna/pets")
    assert done.url == f"{hub.address}/anna/pets"
    assert not done.private
    assert done.files == {name: len(content) for name, content in files(hub).items()}
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
    assert sorted(files(hub)) == [
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
    card = files(hub)["README.md"].decode()
    assert "reduces every image to 32 × 32 px before it enlarges it to 96 px" in card


def test_the_config_is_what_timm_reads(hub: Hub, tmp_path: Path) -> None:
    push(timm_bundle(tmp_path / "b", fit="stretch").path, "anna/pets")
    config = json.loads(files(hub)["config.json"])
    assert config["architecture"] == "resnet18"
    assert config["num_classes"] == 3
    assert config["label_names"] == list(CLASSES)
    about = config["pretrained_cfg"]
    assert about["input_size"] == [3, 48, 48]
    assert about["mean"] == [0.5, 0.25, 0.75]
    assert about["std"] == [0.25, 0.5, 0.125]
    assert (about["crop_pct"], about["crop_mode"]) == (1.0, "squash")
    assert about["interpolation"] == "bilinear"
    (tmp_path / "w").write_bytes(files(hub)["model.safetensors"])
    with safe_open(tmp_path / "w", "pt") as weights:
        assert set(weights.keys()) == set(timm.create_model("resnet18").state_dict())
        assert weights.get_tensor("fc.weight").shape == (3, 512)


def test_the_card_has_the_hub_s_metadata_and_says_what_timm_leaves_out(
    hub: Hub, tmp_path: Path
) -> None:
    push(timm_bundle(tmp_path / "b", calibration=CALIBRATION).path, "anna/pets")
    card = ModelCard(files(hub)["README.md"].decode())
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
    assert not {"config.json", "model.safetensors"} & set(files(hub))
    card = ModelCard(files(hub)["README.md"].decode())
    assert f"timm can't load this model: {done.not_timm}." in card.text
    assert card.data.to_dict()["library_name"] == "clearsight"
    assert read_bundle(pull("anna/pets", out=tmp_path / "c")).checksum == bundle.checksum


def test_a_push_replaces_the_bundle_that_was_there(hub: Hub, tmp_path: Path) -> None:
    push(timm_bundle(tmp_path / "a", calibration=CALIBRATION).path, "anna/pets")
    assert "bundle/validation.parquet" in files(hub)
    push(timm_bundle(tmp_path / "b", "resnet20").path, "anna/pets")
    assert sorted(files(hub)) == [
        "README.md", "bundle/MODEL_CARD.md", "bundle/bundle.json", "bundle/model.onnx",
        "bundle/model.safetensors",
    ]  # fmt: skip


def test_a_revision_is_a_branch_of_its_own(hub: Hub, tmp_path: Path) -> None:
    push(V2, "anna/pets")
    second = timm_bundle(tmp_path / "b")
    push(second.path, "anna/pets", revision="v2")
    assert "config.json" in files(hub, branch="v2")
    card = files(hub, branch="v2")["README.md"].decode()
    assert 'timm.create_model("hf-hub:anna/pets@v2", pretrained=True)' in card
    assert "clearsight pull anna/pets --revision v2\n" in card
    assert 'clearsight.pull("anna/pets", revision="v2")' in card
    assert "config.json" not in files(hub)
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
    assert files(hub, "anna/open") == {}
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match=r"no such repository, or none that you may see.*HF_TOKEN"):
        pull("anna/mine", out=tmp_path / "b")


def test_another_model_is_not_overwritten(hub: Hub) -> None:
    hub.repositories["anna/bert"] = Repository(branches={"main": {"pytorch_model.bin": b"x"}})
    with pytest.raises(HubError, match=r"something else than a bundle \(pytorch_model.bin\)"):
        push(V2, "anna/bert")
    assert files(hub, "anna/bert") == {"pytorch_model.bin": b"x"}


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ({}, r"no clearsight bundle \(found nothing\)"),
        ({"pytorch_model.bin": b"\x80"}, r"no clearsight bundle \(found pytorch_model.bin\)"),
        ({"bundle/bundle.json": b"{}", "bundle/evil.pkl": b"\x80"}, "evil.pkl is no file of a"),
        ({"bundle/bundle.json": b"{}", "bundle/x/model.onnx": b""}, "x/model.onnx is no file of"),
    ],
)
def test_what_is_no_bundle_is_not_downloaded(
    hub: Hub, tmp_path: Path, held: dict[str, bytes], message: str
) -> None:
    hub.repositories["eve/x"] = Repository(branches={"main": held})
    with pytest.raises(HubError, match=message):
        pull("eve/x", out=tmp_path / "x")
    assert not any("resolve" in asked for asked in hub.asked)
    assert not (tmp_path / "x").exists()


def test_code_beside_a_bundle_is_left_there(hub: Hub, tmp_path: Path) -> None:
    push(V2, "anna/pets")
    files(hub)["modeling.py"] = b"raise SystemExit"
    folder = pull("anna/pets", out=tmp_path / "pets")
    assert {p.name for p in folder.iterdir()} == {p.name for p in V2.iterdir()}
    assert not any("modeling.py" in asked for asked in hub.asked)


def test_a_damaged_bundle_leaves_nothing_behind(hub: Hub, tmp_path: Path) -> None:
    push(V2, "anna/pets")
    files(hub)["bundle/model.onnx"] += b"!"
    place = tmp_path / "out"
    with pytest.raises(BundleError, match=r"^anna/pets/bundle/model.onnx: SHA-256 is") as caught:
        pull("anna/pets", out=place / "pets")
    assert str(tmp_path) not in str(caught.value)
    assert not place.exists()


def test_too_large_a_file_is_not_downloaded(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(V2, "anna/pets")
    monkeypatch.setattr(hub_module, "LARGEST_FILE", 50_000)
    with pytest.raises(HubError, match=r"bundle/model.onnx has 0 MiB, which is more"):
        pull("anna/pets", out=tmp_path / "pets")
    assert not any("resolve" in asked for asked in hub.asked)


@pytest.mark.parametrize(
    "name",
    ["pets", "anna/", "/pets", "anna/pets/x", "https://huggingface.co/anna/pets", "anna/..",
     "anna/pets.git", "anna/my pets", "anna/pets\n", "../x", "änna/pets", ""],
)  # fmt: skip
def test_a_malformed_name_is_refused_before_anything_is_asked(
    hub: Hub, tmp_path: Path, name: str
) -> None:
    for call in (lambda: push(V2, name), lambda: pull(name, out=tmp_path / "x")):
        with pytest.raises(UsageError, match=f"^repository: found {re.escape(repr(name))}, "):
            call()
    assert hub.asked == []


def test_a_missing_token_is_named_before_anything_is_asked(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match="found no token to upload with; set HF_TOKEN, or log in"):
        push(V2, "anna/pets")
    assert hub.asked == []


def test_a_wrong_token_and_a_missing_repository_are_named(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(HubError, match=r"^anna/none: the model hub has no such repository"):
        pull("anna/none", out=tmp_path / "x")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(HubError, match=r"^anna/pets: .*refuses access \(status 401"):
        push(V2, "anna/pets")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("end", ["/api/repos/create", "/preupload/main", "/commit/main"])
def test_a_hub_that_fails_during_a_push_is_named(hub: Hub, end: str) -> None:
    hub.broken[end] = 403
    with pytest.raises(HubError, match=r"^anna/pets: .*refuses access \(status 403"):
        push(V2, "anna/pets")


def test_a_hub_that_fails_during_a_pull_leaves_nothing_behind(hub: Hub, tmp_path: Path) -> None:
    push(V2, "anna/pets")
    hub.broken["bundle/model.onnx"] = 403
    with pytest.raises(HubError, match=r"^anna/pets: .*status 403"):
        pull("anna/pets", out=tmp_path / "out" / "pets")
    assert not (tmp_path / "out").exists()


def test_a_hub_that_is_away_is_named(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    for call in (lambda: push(V2, "anna/pets"), lambda: pull("anna/pets", out=tmp_path / "x")):
        with pytest.raises(HubError, match=r"^anna/pets: the model hub can't be reached"):
            call()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for call in (lambda: push(V2, "anna/pets"), lambda: pull("anna/pets", out=tmp_path / "x")):
        with pytest.raises(HubError, match="switched off"):
            call()


def test_a_page_in_the_hub_s_place_is_named(hub: Hub, tmp_path: Path) -> None:
    hub.captive = True
    for call in (lambda: push(V2, "anna/pets"), lambda: pull("anna/pets", out=tmp_path / "x")):
        with pytest.raises(HubError, match=r"^anna/pets: the model hub and its client do not"):
            call()


@pytest.mark.parametrize("token", ["hf_secret\x01x", "hf_secretä"])
def test_a_token_is_never_repeated(hub: Hub, monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(HubError) as caught:
        push(V2, "anna/pets")
    assert "secret" not in str(caught.value)


def test_a_push_of_the_same_bundle_again_changes_nothing(hub: Hub) -> None:
    push(V2, "anna/pets")
    before = dict(files(hub))
    push(V2, "anna/pets")
    assert files(hub) == before


def test_what_is_there_is_not_overwritten(hub: Hub, tmp_path: Path) -> None:
    push(V2, "anna/pets")
    (tmp_path / "pets").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        pull("anna/pets", out=tmp_path / "pets")
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError):
        pull("anna/pets", out=tmp_path / "file" / "pets")


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
