"""Export: what the bundle and the graph hold, and the refusal of a graph that disagrees."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from clearsight.bundle.engines import onnx_engine
from clearsight.bundle.export import check_parity, export, onnx_graph
from clearsight.bundle.format import read_bundle
from clearsight.errors import BundleError, UsageError
from clearsight.models.classifier import Classifier
from clearsight.models.factory import build
from clearsight.models.preprocess import Preprocess
from tests.recorder import Recorder

CLASSES = ("cat", "dog", "Schäfer")


def small_model(backbone: nn.Module | None = None) -> Classifier:
    torch.manual_seed(0)
    return Classifier(
        name="small",
        preprocess=Preprocess((0.5, 0.4, 0.3), (0.2, 0.2, 0.2)),
        backbone=backbone or Pooled(),
        head=nn.Linear(4, 3),
        classes=CLASSES,
    )


class Pooled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)).relu().amax((2, 3))


class OtherWhenExported(Pooled):
    """Takes another branch in torch's exporter: the graph can't agree with the model."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(-x if torch.compiler.is_exporting() else x)


class OtherFeaturesWhenExported(Pooled):
    """Twice the features in torch's exporter, which a head of zeros does not tell apart."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (2 if torch.compiler.is_exporting() else 1)


class BranchesOnPixels(Pooled):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(-x if x.mean() > 0 else x)


def pixels(n: int, size: int = 16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def export_small(model: Classifier, out: Path, test_images: np.ndarray) -> Path:
    return export(
        model,
        out=out,
        fit="crop",
        size=16,
        metrics={"split": "test", "n": 7, "tta": "none"},
        provenance={"recipe": "small"},
        test_images=test_images,
    )


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Recorder]:
    """A bundle of `small_model`, and the progress reported while it was made."""
    seen = Recorder()
    out = export(
        small_model(),
        out=tmp_path_factory.mktemp("exported") / "bundle",
        fit="crop",
        size=16,
        metrics={"split": "test"},
        provenance={"recipe": "small", "recipe_hash": "0" * 64},
        test_images=pixels(250),
        progress=seen,
    )
    return out, seen


def test_the_bundle_holds_what_was_given_and_the_result_of_the_check(
    exported: tuple[Path, Recorder],
) -> None:
    out, seen = exported
    assert sorted(path.name for path in out.iterdir()) == [
        "MODEL_CARD.md", "bundle.json", "model.onnx", "model.safetensors",
    ]  # fmt: skip
    bundle = read_bundle(out)
    assert (bundle.size, bundle.fit, bundle.classes) == (16, "crop", CLASSES)
    assert bundle.metrics == {"split": "test"}
    assert bundle.provenance == {"recipe": "small", "recipe_hash": "0" * 64}
    assert bundle.parity["n"] == 250
    for key in ("max_difference", "features_difference", "unlike_difference"):
        assert bundle.parity[key] < 1e-5
    assert bundle.features == 4
    assert seen.totals == {"comparing engines": 500}
    assert sum(seen.steps["comparing engines"]) == 500


def test_the_graph_takes_raw_pixels_of_any_number_and_says_its_classes(
    exported: tuple[Path, Recorder],
) -> None:
    graph = onnx.load(exported[0] / "model.onnx")
    (given,), results = graph.graph.input, graph.graph.output
    assert (given.name, given.type.tensor_type.elem_type) == ("images", onnx.TensorProto.UINT8)
    assert [d.dim_param or d.dim_value for d in given.type.tensor_type.shape.dim] == [
        "N", 16, 16, 3,
    ]  # fmt: skip
    shapes = {"probabilities": ["N", 3], "features": ["N", 4], "unlike": ["N"]}
    assert [result.name for result in results] == list(shapes)
    for result in results:
        assert result.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        dims = result.type.tensor_type.shape.dim
        assert [d.dim_param or d.dim_value for d in dims] == shapes[result.name]
    about = {entry.key: entry.value for entry in graph.metadata_props}
    assert json.loads(about["classes"]) == list(CLASSES)
    assert (about["size"], about["fit"]) == ("16", "crop")
    assert json.loads(about["preprocessing"])["size"] is None


def test_the_graph_is_the_same_every_time_and_names_no_file_of_this_machine(
    exported: tuple[Path, Recorder],
) -> None:
    first = (exported[0] / "model.onnx").read_bytes()
    assert first == onnx_graph(small_model().eval(), size=16, fit="crop")
    assert str(Path(__file__).parents[2]).encode() not in first


@pytest.mark.parametrize(
    "name", ["airnet94", "resnet20", pytest.param("wrn-16-8", marks=pytest.mark.slow)]
)
def test_networks_agree_in_both_engines(name: str) -> None:
    torch.manual_seed(0)
    model = build(name, ("a", "b", "c"), Preprocess((0.5,) * 3, (0.25,) * 3)).eval()
    parity = check_parity(model, onnx_graph(model, size=32, fit="crop"), pixels(4, 32))
    assert parity["n"] == 4
    for key in ("max_difference", "features_difference", "unlike_difference"):
        assert parity[key] < 1e-5


def test_ties_are_counted_and_not_compared() -> None:
    model = small_model().eval()
    assert isinstance(model.head, nn.Linear)
    with torch.no_grad():
        model.head.weight[1] = model.head.weight[0]  # cat and dog are always equally likely
        model.head.bias[:] = torch.tensor([5.0, 5.0, -50.0])
    parity = check_parity(model, onnx_graph(model, size=16, fit="crop"), pixels(6))
    assert parity["ties"] == 6


def test_the_graph_of_a_calibrated_model_keeps_labels_that_nearly_tie() -> None:
    """Two logits that differ by less than float32 can show in a probability."""
    model = small_model().eval()
    assert isinstance(model.head, nn.Linear)
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias[:] = torch.tensor([1.0, np.nextafter(np.float32(1), np.float32(2)), -1.0])
    for temperature in (0.2, 1.0, 3.0, 50.0):
        model.temperature = temperature
        graph = onnx_graph(model, size=16, fit="crop")
        found = onnx_engine(graph, "graph")(pixels(2)).probabilities
        assert found.argmax(1).tolist() == [1, 1]
        with torch.inference_mode():
            expected = model.probabilities(torch.from_numpy(pixels(2))).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert expected.argmax(1).tolist() == [1, 1]


def test_a_graph_that_disagrees_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"model\.onnx: .* disagree: other labels on \d+ of 50"):
        export_small(small_model(OtherWhenExported()), tmp_path / "bundle", pixels(50))
    assert list(tmp_path.iterdir()) == []


def test_features_that_disagree_are_refused_though_labels_and_probabilities_agree(
    tmp_path: Path,
) -> None:
    model = small_model(OtherFeaturesWhenExported())
    assert isinstance(model.head, nn.Linear)
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias[:] = torch.tensor([1.0, 2.0, 3.0])
    with pytest.raises(BundleError, match=r"other labels on 0 of 9 .* differ by up to 0, 1, 0 \("):
        export_small(model, tmp_path / "bundle", pixels(9))
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_gives_nan_is_refused(tmp_path: Path) -> None:
    model = small_model()
    assert isinstance(model.head, nn.Linear)
    with torch.no_grad():
        model.head.bias[0] = float("nan")
    with pytest.raises(BundleError, match="differ by up to nan"):
        export_small(model, tmp_path / "bundle", pixels(5))
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_branches_on_pixel_values_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"model 'small': torch .* can't export it as ONNX"):
        export_small(small_model(BranchesOnPixels()), tmp_path / "bundle", pixels(5))
    assert list(tmp_path.iterdir()) == []


def test_the_model_is_left_as_it_was(tmp_path: Path) -> None:
    model = small_model().to(memory_format=torch.channels_last).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    export_small(model, tmp_path / "bundle", pixels(5))
    assert model.training
    weight = model.get_parameter("backbone.conv.weight")
    assert weight.is_contiguous(memory_format=torch.channels_last)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_test_images_of_another_size_or_none_are_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"test_images: found uint8 \[5, 8, 8, 3\]"):
        export_small(small_model(), tmp_path / "bundle", pixels(5, 8))
    with pytest.raises(UsageError, match="at least one image"):
        export_small(small_model(), tmp_path / "bundle", pixels(0))


def test_export_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    export_small(small_model(), tmp_path / "bundle", pixels(5))
    assert capfd.readouterr() == ("", "")


def test_the_model_card_s_lines_for_onnx_runtime_alone_work(
    exported: tuple[Path, Recorder], tmp_path: Path
) -> None:
    out = exported[0]
    card = (out / "MODEL_CARD.md").read_text(encoding="utf-8")
    code = card.split("```python\n")[2].split("```")[0]
    assert len(code.strip().splitlines()) <= 10
    Image.fromarray(pixels(1)[0]).save(tmp_path / "image.png")
    shutil.copy(out / "model.onnx", tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        encoding="utf-8",
    )
    label, probability = done.stdout.split()
    with torch.inference_mode():
        expected = small_model().eval()(torch.from_numpy(pixels(1))).softmax(1)[0]
    assert label == CLASSES[expected.argmax()]
    assert float(probability) == pytest.approx(float(expected.max()), abs=1e-5)
