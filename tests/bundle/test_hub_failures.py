"""What goes wrong with the hub: one sentence each, and nothing left behind."""

import re
import resource
from pathlib import Path

import pytest

from clearsight.bundle import hub as hub_module
from clearsight.bundle.hub import pull, push
from clearsight.errors import BundleError, FileError, HubError, UsageError
from tests.bundle.bundles import timm_bundle
from tests.bundle.stand_in import Hub, Repository

V2 = Path(__file__).parent / "v2"


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
    hub.held()["modeling.py"] = b"raise SystemExit"
    folder = pull("anna/pets", out=tmp_path / "pets")
    assert {p.name for p in folder.iterdir()} == {p.name for p in V2.iterdir()}
    assert not any("modeling.py" in asked for asked in hub.asked)


def test_a_damaged_bundle_leaves_nothing_behind(hub: Hub, tmp_path: Path) -> None:
    push(V2, "anna/pets")
    hub.held()["bundle/model.onnx"] += b"!"
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
        with pytest.raises(HubError, match=r"^anna/pets: the Hugging Face hub can't be reached"):
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
    before = dict(hub.held())
    push(V2, "anna/pets")
    assert hub.held() == before


def test_what_is_there_is_not_overwritten(hub: Hub, tmp_path: Path) -> None:
    push(V2, "anna/pets")
    (tmp_path / "pets").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        pull("anna/pets", out=tmp_path / "pets")
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError):
        pull("anna/pets", out=tmp_path / "file" / "pets")


def test_a_full_disk_is_named(hub: Hub, tmp_path: Path) -> None:
    kept = 30_000  # bytes of a file
    bundle = timm_bundle(tmp_path / "b", "mobilenetv3_small_050").path
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (kept, before[1]))
    try:
        with pytest.raises(FileError, match=r"can't be written \(.*TMPDIR"):
            push(bundle, "anna/pets")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert hub.repositories == {}
    push(V2, "anna/pets")
    resource.setrlimit(resource.RLIMIT_FSIZE, (kept, before[1]))
    try:
        with pytest.raises(FileError, match=r"can't be written \(File too large\)"):
            pull("anna/pets", out=tmp_path / "out" / "pets")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "out").exists()
