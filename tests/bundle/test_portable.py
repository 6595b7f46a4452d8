"""The kept bundles of every format version, and the four ways of docs/bundle.md to load one."""

import copy
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from PIL import Image

from clearsight.bundle.format import FORMAT_VERSION, SCHEMA, read_bundle, write_bundle
from clearsight.bundle.mlflow_flavor import write_model
from clearsight.data.sources import load_images
from clearsight.errors import BundleError, UsageError
from clearsight.evaluation.predictions import read_predictions
from clearsight.models.factory import build
from clearsight.models.preprocess import Preprocess
from tools.docs.markdown import parse_page

BUNDLES = Path(__file__).parent
PAGE = Path(__file__).parents[2] / "docs" / "bundle.md"
SCHEMA_ITSELF = json.loads(SCHEMA.read_text(encoding="utf-8"))
WAYS = ("clearsight", "runtime", "mlflow", "torch")


def about_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "bundle.json").read_text(encoding="utf-8"))


def problems(about: Mapping[str, Any]) -> list[str]:
    return [e.message for e in jsonschema.Draft7Validator(SCHEMA_ITSELF).iter_errors(about)]


def undocumented(value: Any, schema: Mapping[str, Any], name: str = "") -> list[str]:
    """Keys of `value` that the schema does not name, where it names any."""
    if not isinstance(value, dict) or "properties" not in schema:
        return []
    found = [f"{name}.{key}" for key in value.keys() - schema["properties"].keys()]
    for key, inner in schema["properties"].items():
        found += undocumented(value.get(key), inner, f"{name}.{key}")
    return found


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of the page's examples: `my-model` and `photo.png`."""
    shutil.copytree(BUNDLES / f"v{FORMAT_VERSION}", tmp_path / "my-model")
    Image.fromarray(load_images("digits").images[7]).save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    return tmp_path


@pytest.mark.parametrize("number", range(1, FORMAT_VERSION + 1))
def test_a_bundle_of_every_released_format_is_kept_small_and_read(number: int) -> None:
    folder = BUNDLES / f"v{number}"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 200_000
    bundle = read_bundle(folder)
    assert bundle.classes == tuple("0123456789")
    assert about_of(folder)["format_version"] == number
    assert b"/home/" not in bundle.onnx.read_bytes()
    validation = read_predictions(bundle.validation)
    assert validation.classes == bundle.classes
    assert (validation.probabilities.argmax(1) == validation.labels).mean() > 0.9


def test_the_page_s_four_examples_give_equal_labels(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PAGE.read_text("utf-8").partition("\n## Search by features\n")[0]
    blocks = [block for block in parse_page(text).blocks if block.language]
    spaces: dict[str, dict[str, Any]] = {}
    printed = []
    for way, block in zip(WAYS, blocks, strict=True):
        spaces[way] = {}
        exec(compile(block.text, str(PAGE), "exec"), spaces[way])
        label, probability = capsys.readouterr().out.split()
        printed.append((label, float(probability)))
    assert len(blocks[1].text.split("\n\n")[1].splitlines()) <= 10
    assert {label for label, _ in printed} == {"7"}
    assert [value for _, value in printed] == pytest.approx([printed[0][1]] * 4, abs=1e-5)

    pixels = load_images("digits").images[:100]
    classes = np.array(spaces["runtime"]["classes"])
    labels = {
        "clearsight": [p.label for p in spaces["clearsight"]["model"].predict(pixels)],
        "runtime": classes[
            spaces["runtime"]["session"].run(None, {"images": pixels})[0].argmax(1)
        ].tolist(),
        "mlflow": [row["label"] for row in spaces["mlflow"]["model"].predict(pixels)],
        "torch": classes[spaces["torch"]["logits"](torch.tensor(pixels)).argmax(1)].tolist(),
    }
    assert labels["clearsight"] == labels["runtime"] == labels["mlflow"] == labels["torch"]
    assert len(set(labels["torch"])) == 10


def test_weights_go_into_plain_timm_by_their_names(tmp_path: Path) -> None:
    import timm
    from safetensors.torch import load_file

    torch.manual_seed(0)
    preprocess = Preprocess((0.5,) * 3, (0.25,) * 3, 64, "bicubic")
    model = build("test_resnet", ("a", "b", "c"), preprocess, "mlp").eval()
    folder = write_bundle(
        tmp_path / "bundle", model=model, onnx=b"", size=32, fit="crop", metrics={},
        parity={"n": 1, "ties": 0, "max_difference": 0.0}, provenance={},
    )  # fmt: skip
    assert problems(about_of(folder)) == []
    images = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    weights = load_file(folder / "model.safetensors")
    network = timm.create_model("test_resnet", num_classes=0).eval()
    network.load_state_dict(
        {k.removeprefix("backbone."): w for k, w in weights.items() if k.startswith("backbone.")}
    )
    with torch.inference_mode():
        hidden = torch.nn.functional.linear(
            network(model.preprocess(images)), weights["head.1.weight"], weights["head.1.bias"]
        )
        plain = torch.nn.functional.linear(
            hidden.relu(), weights["head.4.weight"], weights["head.4.bias"]
        )
        rebuilt = read_bundle(folder).classifier()(images)
    torch.testing.assert_close(plain, rebuilt)
    assert torch.equal(rebuilt, model(images))


def test_an_mlflow_model_holds_the_bundle_and_no_pickle(tmp_path: Path) -> None:
    folder = write_model(BUNDLES / "v1", tmp_path / "model")
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert files == {"MLmodel"} | {f"bundle/{p.name}" for p in (BUNDLES / "v1").iterdir()}
    assert "clearsight.bundle.mlflow_flavor" in (folder / "MLmodel").read_text("utf-8")
    with pytest.raises(UsageError, match="exists already; choose another"):
        write_model(BUNDLES / "v1", folder)


def test_an_mlflow_model_takes_no_parameters(place: Path) -> None:
    from clearsight.bundle.mlflow_flavor import _load_pyfunc

    with pytest.raises(UsageError, match="params: found tta; a bundle takes none"):
        _load_pyfunc("my-model").predict(np.zeros((1, 32, 32, 3), np.uint8), {"tta": "flip"})


def test_the_kept_bundles_and_what_is_written_today_follow_the_schema(tmp_path: Path) -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA_ITSELF)
    kept = BUNDLES / f"v{FORMAT_VERSION}"
    model = build("airnet-tiny", ("a", "b"), Preprocess((0.5,) * 3, (0.25,) * 3, 24)).eval()
    about = about_of(kept)
    share = {"value": 0.9, "low": 0.85, "high": 0.94}
    write_bundle(
        tmp_path / "bundle", model=model, onnx=b"graph", size=32, fit="crop",
        metrics=about["metrics"], parity=about["parity"], provenance=about["provenance"],
        validation=b"PAR1", calibration=about["calibration"],
        int8=(
            b"graph",
            {
                "n": 200, "accuracy": share, "accuracy_fp32": share, "difference": 0.0,
                "changed": 4, "calibration": 500,
            },
        ),
    )  # fmt: skip
    assert problems(about) == []
    written = about_of(tmp_path / "bundle")
    assert problems(written) == []
    del written["metrics"]  # whose other keys are those of `evaluation.json`
    assert undocumented(written, SCHEMA_ITSELF) == []


@pytest.mark.parametrize("key", SCHEMA_ITSELF["required"])
def test_the_reader_refuses_what_lacks_a_key_the_schema_requires(key: str, place: Path) -> None:
    about = about_of(place / "my-model")
    del about[key]
    assert problems(about)
    (place / "my-model" / "bundle.json").write_text(json.dumps(about), encoding="utf-8")
    with pytest.raises(BundleError, match=r"bundle\.json"):
        read_bundle("my-model")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["format_version"], 3),
        (["input", "fit"], "squash"),
        (["input", "size"], 0),
        (["preprocessing", "mean"], [0.5]),
        (["classes"], ["one"]),
        (["parity", "max_difference"], 0.5),
        (["sha256", "model.onnx"], "abc"),
        (["int8"], {"n": 200}),
        (["sha256", "model.int8.onnx"], "abc"),
    ],
)
def test_the_schema_refuses_what_is_wrong(path: list[str], value: object) -> None:
    about = copy.deepcopy(about_of(BUNDLES / "v1"))
    *parents, last = path
    here = about
    for key in parents:
        here = here[key]
    here[last] = value
    assert problems(about)


def test_every_key_of_the_graph_s_metadata_is_documented(place: Path) -> None:
    import onnx

    page = PAGE.read_text(encoding="utf-8")
    for entry in onnx.load("my-model/model.onnx").metadata_props:
        assert f"| `{entry.key}` |" in page
