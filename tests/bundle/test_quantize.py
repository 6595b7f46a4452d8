"""The int8 graph: what is in integers, how it is judged, and when it is refused."""

import copy
import json
import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from PIL import Image
from torch import Tensor, nn

from clearsight.bundle.engines import onnx_engine
from clearsight.bundle.export import export, onnx_graph
from clearsight.bundle.format import read_bundle
from clearsight.bundle.predict import load
from clearsight.bundle.quantize import Int8Images, int8_graph, judge, quantise
from clearsight.cli import main
from clearsight.config.parsing import parse
from clearsight.config.schema import Config
from clearsight.data.images import ImageSet, content_ids
from clearsight.errors import BundleError, DataError
from clearsight.files import read_json
from clearsight.models.classifier import Classifier
from clearsight.models.factory import build
from clearsight.models.preprocess import Preprocess
from clearsight.runs import Run
from clearsight.workflows.export import _for_int8
from clearsight.workflows.export import export as export_run
from clearsight.workflows.loading import load_run
from clearsight.workflows.train import train
from tests.recorder import Recorder

CLASSES = ("red", "green", "blue")
BLACK = np.zeros((20, 24, 24, 3), np.uint8)


def colours(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise, brighter in the channel that the label says: uint8 [N, 24, 24, 3], int64 [N]."""
    pixels = np.random.default_rng(seed).integers(0, 120, (n, 24, 24, 3), dtype=np.uint8)
    labels = np.arange(n) % 3
    for image, label in zip(pixels, labels, strict=True):
        image[:, :, label] += 100
    return pixels, labels


def trained(name: str, lr: float) -> Classifier:
    """A network that tells the colours apart, after some steps on 60 of them."""
    torch.manual_seed(0)
    pixels, labels = (torch.from_numpy(each) for each in colours(60, 0))
    model = build(name, CLASSES, Preprocess((0.4,) * 3, (0.25,) * 3))
    model.prepare(pixels)
    learned = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(learned, lr=lr)
    for _ in range(25):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(pixels), labels).backward()
        optimizer.step()
    with torch.no_grad():  # lets the statistics of the norms catch up
        for _ in range(20):
            model(pixels)
    return model.eval()


@pytest.fixture(scope="module")
def model() -> Classifier:
    return trained("airnet-tiny", lr=0.1)


@pytest.fixture(scope="module")
def graph(model: Classifier) -> bytes:
    return onnx_graph(model, size=24, fit="crop")


@pytest.fixture(scope="module")
def int8(graph: bytes) -> bytes:
    return quantise(graph, colours(60, 0)[0])


def given(calibration: np.ndarray) -> Int8Images:
    validation, labels = colours(150, 1)
    return Int8Images(calibration=calibration, validation=validation, labels=labels)


def export_int8(model: Classifier, out: Path, calibration: np.ndarray) -> Path:
    return export(
        model,
        out=out,
        fit="crop",
        size=24,
        metrics={},
        provenance={},
        test_images=colours(9, 2)[0],
        int8=given(calibration),
    )


def nodes(graph: bytes) -> tuple[list[onnx.NodeProto], dict[str, onnx.NodeProto], dict]:
    """All nodes, the node that makes each value, and the stored arrays by name."""
    proto = onnx.load_from_string(graph).graph
    made = {name: node for node in proto.node for name in node.output}
    stored = {each.name: numpy_helper.to_array(each) for each in proto.initializer}
    return list(proto.node), made, stored


def test_the_int8_graph_is_calibrated_and_keeps_its_labels(model: Classifier, int8: bytes) -> None:
    warmer = copy.deepcopy(model)
    warmer.temperature = 4.0
    images, _ = colours(60, 1)
    plain = onnx_engine(int8, "graph")(images).probabilities
    warm = quantise(onnx_graph(warmer, size=24, fit="crop"), colours(60, 0)[0])
    found = onnx_engine(warm, "graph")(images).probabilities
    expected = plain**0.25 / (plain**0.25).sum(1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_array_equal(found.argmax(1), plain.argmax(1))


def test_both_graphs_say_nearly_the_same(graph: bytes, int8: bytes) -> None:
    images, labels = colours(150, 1)
    fp32, by_int8 = (onnx_engine(each, "graph")(images) for each in (graph, int8))
    expected, found = fp32.probabilities, by_int8.probabilities
    assert (expected.argmax(1) == labels).mean() > 0.99
    assert (expected.argmax(1) == found.argmax(1)).mean() > 0.99
    assert 1e-5 < np.abs(expected - found).max() < 0.2
    assert found.sum(1) == pytest.approx(1, abs=1e-5)
    assert fp32.unlike is not None
    assert by_int8.unlike is not None
    assert np.corrcoef(fp32.unlike, by_int8.unlike)[0, 1] > 0.98
    assert fp32.features is not None
    assert by_int8.features is not None
    assert by_int8.features.shape == fp32.features.shape == (150, 16)


@pytest.mark.slow
def test_a_network_with_shortcuts_is_quantised_too() -> None:
    fp32 = onnx_graph(trained("resnet20", lr=0.03), size=24, fit="crop")
    _, cost = int8_graph(fp32, given(colours(60, 0)[0]))
    assert cost["accuracy_fp32"]["value"] > 0.95
    assert cost["changed"] < 5


def test_convolutions_behind_the_first_have_7_bits_and_a_scale_per_channel(int8: bytes) -> None:
    each, made, stored = nodes(int8)
    first, *rest = (node for node in each if node.op_type == "Conv")
    assert stored[first.input[1]].dtype == np.float32
    assert len(rest) == 6
    for node in rest:
        whole = made[node.input[1]]
        weights, scales = (stored[name] for name in whole.input[:2])
        assert whole.op_type == "DequantizeLinear"
        assert weights.dtype == np.int8
        assert 32 < np.abs(weights.astype(int)).max() <= 64
        assert scales.shape == weights.shape[:1]
        assert made[node.input[0]].op_type == "DequantizeLinear"
    (head,) = (node for node in each if node.op_type in ("Gemm", "MatMul"))
    assert {made[name].op_type for name in head.input if name in made} <= {"ReduceMax", "Transpose"}


def test_input_output_and_metadata_stay_and_nothing_of_this_machine_is_in_it(
    graph: bytes, int8: bytes
) -> None:
    before, after = onnx.load_from_string(graph), onnx.load_from_string(int8)
    assert list(after.graph.input) == list(before.graph.input)
    assert list(after.graph.output) == list(before.graph.output)
    assert sorted((p.key, p.value) for p in after.metadata_props) == sorted(
        (p.key, p.value) for p in before.metadata_props
    )
    assert {node.domain for node in after.graph.node} == {""}
    assert tempfile.gettempdir().encode() not in int8


def test_the_int8_graph_is_the_same_every_time(graph: bytes, int8: bytes) -> None:
    assert quantise(graph, colours(60, 0)[0]) == int8


def test_the_cost_is_counted_and_a_fall_of_exactly_half_a_point_is_allowed() -> None:
    labels, by_fp32, by_int8 = (np.zeros(200, np.int64) for _ in range(3))
    by_fp32[:10] = 1  # 190 right
    by_int8[1:12] = 1  # 189 right; the first image and the two after the tenth differ
    cost = judge(labels, by_fp32, by_int8)
    assert (cost["n"], cost["changed"], cost["difference"]) == (200, 3, -0.005)
    assert cost["accuracy"]["value"] == 0.945
    interval = {"value": 0.95, "low": 0.91042, "high": 0.97262}
    assert cost["accuracy_fp32"] == pytest.approx(interval, abs=1e-5)


def test_one_image_more_is_refused_with_both_accuracies_and_n() -> None:
    labels, by_fp32, by_int8 = (np.zeros(200, np.int64) for _ in range(3))
    by_fp32[:10] = by_int8[:12] = 1
    with pytest.raises(BundleError) as refusal:
        judge(labels, by_fp32, by_int8)
    assert str(refusal.value) == (
        "model.int8.onnx: validation accuracy falls from 95.00 % in fp32 to 94.00 % in int8 "
        "(n = 200), by more than 0.5 points; nothing was written; export without --int8"
    )


def test_a_graph_that_is_better_in_int8_is_welcome() -> None:
    labels, by_fp32 = np.zeros(4, np.int64), np.array([0, 0, 0, 1])
    assert judge(labels, by_fp32, labels)["difference"] == 0.25


class Pooled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).relu().amax((2, 3))


def test_a_network_of_one_convolution_has_nothing_to_quantise() -> None:
    model = Classifier(
        name="small", preprocess=Preprocess((0.5,) * 3, (0.2,) * 3), backbone=Pooled(),
        head=nn.Linear(4, 3), classes=CLASSES,
    ).eval()  # fmt: skip
    with pytest.raises(BundleError, match="no convolution behind its first"):
        quantise(onnx_graph(model, size=24, fit="crop"), BLACK)


@pytest.fixture(scope="module")
def bundle(model: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_int8(model, tmp_path_factory.mktemp("exported") / "bundle", colours(60, 0)[0])


def test_a_bundle_holds_the_graph_and_says_what_it_costs(bundle: Path, int8: bytes) -> None:
    about = read_bundle(bundle)
    assert about.int8_onnx.read_bytes() == int8
    assert about.int8 is not None
    assert (about.int8["n"], about.int8["calibration"]) == (150, 60)
    points = f"a difference of {100 * about.int8['difference']:+.2f} points"
    assert points in (bundle / "MODEL_CARD.md").read_text("utf-8")


def test_int8_is_an_engine_and_auto_stays_in_fp32(bundle: Path, graph: bytes, int8: bytes) -> None:
    images = colours(6, 3)[0]
    assert load(bundle).engine == "onnx"
    predictor = load(bundle, "int8")
    assert predictor.engine == "int8"
    found = predictor.run(images).probabilities
    assert np.array_equal(found, onnx_engine(int8, "int8")(images).probabilities)
    assert not np.array_equal(found, load(bundle).run(images).probabilities)


def test_the_command_line_predicts_in_int8(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(colours(3, 3)[0][2]).save(tmp_path / "image.png")
    words = ["predict", str(bundle), str(tmp_path / "image.png"), "--json", "--engine", "int8"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["label"] == "blue"


def test_ranges_taken_from_black_images_are_refused_and_the_older_bundle_stays(
    model: Classifier, bundle: Path
) -> None:
    before = {path: path.read_bytes() for path in bundle.iterdir()}
    with pytest.raises(BundleError, match=r"from 100\.00 % in fp32 to .* in int8 \(n = 150\)"):
        export_int8(model, bundle, BLACK)
    assert {path: path.read_bytes() for path in bundle.iterdir()} == before
    assert list(bundle.parent.iterdir()) == [bundle]


def image_set(n: int) -> ImageSet:
    pixels, labels = colours(n, 4)
    return ImageSet(
        images=pixels, labels=labels, classes=CLASSES, ids=content_ids(pixels),
        parts=np.full(n, "", dtype="U10"), name="colours",
    )  # fmt: skip


def run_on(images: ImageSet, out: Path, *, validation: float, epochs: int) -> Run:
    table = {
        "tracking": {"tracker": "none"},
        "data": {"source": "colours", "size": 24, "validation": validation},
        "model": {"name": "airnet-tiny"},
        "training": {"batch": 16, "precision": "fp32"},
        "phases": [{"epochs": epochs, "lr": 0.05}],
    }
    return train(parse(Config, table), out=out, data=images)


def test_a_run_is_calibrated_on_training_images_and_judged_on_validation(tmp_path: Path) -> None:
    images, screen = image_set(120), Recorder()
    run = run_on(images, tmp_path / "run", validation=0.2, epochs=3)
    ids = {name: part["ids"] for name, part in read_json(run.split)["parts"].items()}
    using = _for_int8(load_run(run, data=images))
    for part, pixels in (("train", using.calibration), ("validation", using.validation)):
        assert [each.decode() for each in content_ids(pixels).tolist()] == ids[part]

    bundle = read_bundle(export_run(run, int8=True, data=images, progress=screen))
    assert bundle.int8 is not None
    assert (bundle.int8["n"], bundle.int8["calibration"]) == (
        len(ids["validation"]),
        len(ids["train"]),
    )
    assert screen.lines[-1].startswith("int8: validation accuracy 100.00 % (95 % interval ")


def test_a_run_without_validation_part_is_refused_int8(tmp_path: Path) -> None:
    images = image_set(60)
    run = run_on(images, tmp_path / "run", validation=0.0, epochs=1)
    with pytest.raises(
        DataError, match="colours: the split has no validation images to judge int8"
    ):
        export_run(run, int8=True, data=images)
    assert not run.bundle.exists()
