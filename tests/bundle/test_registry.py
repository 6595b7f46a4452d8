"""The registry: versions, aliases, and promotions decided on validation images."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clearsight.bundle.format import read_bundle, write_bundle
from clearsight.bundle.predict import load
from clearsight.bundle.registry import (
    add_version,
    find_version,
    is_reference,
    list_versions,
    promote,
)
from clearsight.cli import main
from clearsight.errors import RegistryError, RunError, UsageError
from clearsight.evaluation.predictions import write_predictions
from clearsight.models.factory import build
from clearsight.models.preprocess import Preprocess

V1 = Path(__file__).parent / "v1"
CLASSES = ("cat", "dog")


def bundle_with(
    out: Path, right: int, *, n: int = 40, test_accuracy: float = 0.5, first_id: int = 0
) -> Path:
    """A bundle that gets the first `right` of `n` validation images right."""
    labels = np.arange(n) % 2
    said = np.where(np.arange(n) < right, labels, 1 - labels)
    probabilities = np.where(said[:, None] == [0, 1], 0.9, 0.1)
    ids = np.array([f"{first_id + k:04}" for k in range(n)])
    file = out.with_suffix(".parquet")
    out.parent.mkdir(parents=True, exist_ok=True)
    write_predictions(file, ids, labels, probabilities, CLASSES)
    model = build("airnet-tiny", CLASSES, Preprocess((0.5,) * 3, (0.25,) * 3)).eval()
    accuracy = {"value": test_accuracy, "low": test_accuracy - 0.1, "high": test_accuracy + 0.1}
    return write_bundle(
        out, model=model, onnx=b"graph", size=32, fit="crop",
        metrics={"split": "test", "n": 100, "tta": "none", "accuracy": accuracy},
        parity={"n": 1, "ties": 0, "max_difference": 0.0},
        provenance={"recipe": "r", "recipe_hash": "a" * 64, "data": "d", "split_hash": "b" * 64},
        validation=file.read_bytes(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store set up once, for that takes MLflow seconds."""
    runs = tmp_path_factory.mktemp("store") / "runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert list_versions(runs) == []
    return runs


@pytest.fixture
def runs(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(empty_store, tmp_path / "runs")
    return Path("runs")


def test_a_version_carries_the_bundle_its_metrics_and_hashes(runs: Path, tmp_path: Path) -> None:
    version = add_version(V1, "digits", runs)
    assert (version.name, version.number, version.aliases) == ("digits", 1, ())
    original = read_bundle(V1)
    for name in ("recipe", "recipe_hash", "data", "split_hash"):
        assert version.tags[name] == original.provenance[name]
    assert float(version.tags["accuracy.value"]) == original.metrics["accuracy"]["value"]
    assert version.tags["n"] == "180"
    kept = {path.name: path.read_bytes() for path in version.bundle.iterdir()}
    assert kept == {path.name: path.read_bytes() for path in V1.iterdir()}


def test_mlflow_itself_finds_and_loads_the_version(runs: Path) -> None:
    from clearsight.tracking.store import load_client, store_uri

    add_version(V1, "digits", runs)
    promote("digits", 1, "champion", runs=runs)
    client = load_client()(tracking_uri=store_uri(runs))
    found = client.get_model_version_by_alias("digits", "champion")
    assert found.tags["recipe"] == "digits"

    import mlflow.pyfunc

    pixels = np.zeros((1, 32, 32, 3), np.uint8)
    rows: Any = mlflow.pyfunc.load_model(found.source or "").predict(pixels)
    [row] = rows
    assert row["label"] == load(V1).predict(pixels)[0].label


def test_versions_count_up_and_an_alias_moves(runs: Path, tmp_path: Path) -> None:
    add_version(bundle_with(tmp_path / "a", 20), "pets", runs)
    add_version(bundle_with(tmp_path / "b", 30), "pets", runs)
    add_version(bundle_with(tmp_path / "c", 30), "others", runs)
    promote("pets", 1, "champion", runs=runs)
    promote("pets", 1, "oldest", runs=runs)
    promote("pets", 2, "champion", runs=runs)
    assert [(v.name, v.number, v.aliases) for v in list_versions(runs)] == [
        ("others", 1, ()), ("pets", 1, ("oldest",)), ("pets", 2, ("champion",)),
    ]  # fmt: skip
    assert find_version("pets@champion", runs).number == 2
    assert find_version("pets@1", runs).number == 1


def test_the_same_bundle_twice_is_refused(runs: Path) -> None:
    add_version(V1, "digits", runs)
    with pytest.raises(RegistryError, match="is version 1 of digits already"):
        add_version(V1, "digits", runs)


def test_a_better_version_is_promoted_by_validation_alone(runs: Path, tmp_path: Path) -> None:
    # On test images the new one is the worse: that must not matter.
    add_version(bundle_with(tmp_path / "old", 20, test_accuracy=0.9), "pets", runs)
    add_version(bundle_with(tmp_path / "new", 30, test_accuracy=0.5), "pets", runs)
    promote("pets", 1, "champion", runs=runs)
    done = promote("pets", 2, "champion", better_than="champion", runs=runs)
    assert done.verdict is not None
    assert "version 2 beats version 1 by 25.00 points" in done.verdict  # 30 of 40 against 20
    assert find_version("pets@champion", runs).number == 2


@pytest.mark.parametrize("right", [20, 23, 10])
def test_what_is_equal_not_surely_better_or_worse_is_refused(
    runs: Path, tmp_path: Path, right: int
) -> None:
    add_version(bundle_with(tmp_path / "old", 20, test_accuracy=0.5), "pets", runs)
    add_version(bundle_with(tmp_path / "new", right, test_accuracy=0.9), "pets", runs)
    promote("pets", 1, "champion", runs=runs)
    with pytest.raises(RegistryError, match="version 2: is not better than version 1, so it was"):
        promote("pets", 2, "champion", better_than="champion", runs=runs)
    assert find_version("pets@champion", runs).number == 1


def test_other_validation_images_and_none_are_refused(runs: Path, tmp_path: Path) -> None:
    add_version(bundle_with(tmp_path / "old", 20), "pets", runs)
    add_version(bundle_with(tmp_path / "new", 40, first_id=7), "pets", runs)
    promote("pets", 1, "champion", runs=runs)
    with pytest.raises(RunError, match="the images differ: 7 only in the first, 7 only in the"):
        promote("pets", 2, "champion", better_than="champion", runs=runs)

    model = build("airnet-tiny", CLASSES, Preprocess((0.5,) * 3, (0.25,) * 3)).eval()
    without = write_bundle(
        tmp_path / "without", model=model, onnx=b"", size=32, fit="crop", metrics={},
        parity={"n": 1, "ties": 0, "max_difference": 0.0}, provenance={},
    )  # fmt: skip
    add_version(without, "pets", runs)
    with pytest.raises(RegistryError, match="version 3: has no validation predictions"):
        promote("pets", 3, "champion", better_than="champion", runs=runs)


def test_what_is_not_there_is_named_with_what_is(runs: Path) -> None:
    add_version(V1, "digits", runs)
    with pytest.raises(RegistryError, match=r"digits@champion: not in .* which has digits@1;"):
        promote("digits", 1, "champion", better_than="champion", runs=runs)
    with pytest.raises(RegistryError, match="which has no model pets"):
        find_version("pets@1", runs)
    with pytest.raises(RegistryError, match="digits@2: not in"):
        promote("digits", 2, "champion", runs=runs)


def test_wrong_names_and_a_server_elsewhere_are_wrong_use(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"name: found '\.\./x'"):
        add_version(V1, "../x", runs)
    with pytest.raises(UsageError, match="--as: found '3'"):
        promote("digits", 1, "3", runs=runs)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    with pytest.raises(UsageError, match="found MLFLOW_TRACKING_URI"):
        list_versions(runs)


def test_a_path_with_an_at_sign_stays_a_path(runs: Path) -> None:
    assert is_reference("digits@champion")
    assert not is_reference("digits")
    assert not is_reference("a/b@c")
    Path("digits@champion").mkdir()
    assert not is_reference("digits@champion")


def test_the_commands(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = bundle_with(tmp_path / "old", 20), bundle_with(tmp_path / "new", 30)

    def run(*words: str) -> tuple[int, str]:
        code = main(list(words))
        done = capsys.readouterr()
        return code, done.out + done.err

    assert run("registry", "list") == (
        0, "no versions yet; `clearsight registry add BUNDLE NAME` makes one\n",
    )  # fmt: skip
    assert run("registry", "add", str(old), "pets")[0] == 0
    assert run("registry", "add", str(new), "pets")[0] == 0
    assert run("registry", "promote", "pets", "1", "--as", "champion")[0] == 0
    code, text = run(
        "registry", "promote", "pets", "2", "--as", "champion", "--if-better-than", "champion"
    )
    assert code == 0
    assert (
        "for information, test accuracy of version 1: 50.00 % (95 % interval 40.00–60.00 %" in text
    )
    code, text = run(
        "registry", "promote", "pets", "1", "--as", "champion", "--if-better-than", "champion"
    )
    assert code == 1
    assert "not better than version 2" in text
    rows = json.loads(run("registry", "list", "--json")[1])["versions"]
    assert [row["aliases"] for row in rows] == [[], ["champion"]]
    assert run("registry", "get", "pets@champion", "--out", "mine")[0] == 0
    assert read_bundle("mine").validation.read_bytes() == (new / "validation.parquet").read_bytes()
    assert run("registry", "get", "pets@champion", "--out", "mine")[0] == 2


@pytest.mark.slow
def test_predict_and_explain_take_a_reference(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save("black.png")
    add_version(V1, "digits", runs)
    promote("digits", 1, "champion", runs=runs)
    assert main(["predict", "digits@champion", "black.png", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["file"] == "black.png"
    assert main(["explain", "digits@champion", "black.png", "--out", "maps"]) == 0
    assert list(Path("maps").glob("*.png"))
