"""The bundle: written whole or not at all, read back equal, and every damage named."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from clearsight.bundle.format import Bundle, _sealed, check_out, read_bundle, write_bundle
from clearsight.errors import BundleError, FileError
from clearsight.models.classifier import Classifier
from clearsight.models.factory import build
from clearsight.models.preprocess import Preprocess

CLASSES = ("cat", "dog")


def model(size: int | None = None) -> Classifier:
    torch.manual_seed(0)
    preprocess = Preprocess((0.5, 0.25, 0.75), (0.25, 0.5, 0.125), size)
    return build("resnet20", CLASSES, preprocess).eval()


def write(out: Path, classifier: Classifier | None = None, **changes: Any) -> Path:
    given: dict[str, Any] = {
        "onnx": b"graph",
        "size": 32,
        "fit": "letterbox",
        "metrics": {},
        "parity": {"n": 3, "ties": 0, "max_difference": 1e-6},
        "provenance": {"data": "pets"},
    }
    return write_bundle(out, model=classifier or model(), **(given | changes))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "bundle")


def test_what_was_written_is_read_back(folder: Path) -> None:
    bundle = read_bundle(str(folder))
    assert bundle == Bundle(
        path=folder,
        architecture="resnet20",
        size=32,
        fit="letterbox",
        preprocessing={
            "mean": [0.5, 0.25, 0.75],
            "std": [0.25, 0.5, 0.125],
            "size": None,
            "interpolation": "bilinear",
            "scaled_twice": False,
        },
        classes=CLASSES,
        metrics={},
        parity={"n": 3, "ties": 0, "max_difference": 1e-6},
        provenance={"data": "pets"},
        sha256={
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in folder.iterdir()
            if path.name != "bundle.json"
        },
        checksum=json.loads((folder / "bundle.json").read_text("utf-8"))["checksum"],
    )
    assert bundle.onnx.read_bytes() == b"graph"


def test_the_classifier_is_rebuilt_with_its_weights_and_preprocessing(tmp_path: Path) -> None:
    original = model(size=24)
    rebuilt = read_bundle(write(tmp_path / "bundle", original)).classifier()
    images = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    assert not rebuilt.training
    assert rebuilt.classes == CLASSES
    with torch.inference_mode():
        assert torch.equal(rebuilt(images), original(images))


def test_weights_have_one_metadata_key_and_bundles_of_one_model_are_equal(
    folder: Path, tmp_path: Path
) -> None:
    with safe_open(folder / "model.safetensors", "pt") as weights:
        assert list(weights.metadata()) == ["clearsight"]
    again = write(tmp_path / "again", model().to(memory_format=torch.channels_last))
    for path in folder.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name


@pytest.mark.parametrize("name", ["model.safetensors", "model.onnx", "MODEL_CARD.md"])
def test_a_changed_byte_is_refused_with_file_and_both_checksums(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(BundleError) as refusal:
        read_bundle(folder)
    expected = json.loads((folder / "bundle.json").read_text())["sha256"][name]
    assert str(refusal.value).startswith(f"{folder / name}: SHA-256 is ")
    assert f"bundle.json says {expected}; copy the bundle again" in str(refusal.value)
    assert read_bundle(folder, verify=False).classes == CLASSES


def test_every_changed_byte_of_bundle_json_is_refused(folder: Path) -> None:
    path = folder / "bundle.json"
    original = path.read_bytes()
    for place in range(0, len(original), 7):
        changed = bytearray(original)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(BundleError, match=r"bundle\.json"):
            read_bundle(folder)
    path.write_bytes(original)
    read_bundle(folder)


def test_a_hash_of_zeros_among_the_contents_is_kept(tmp_path: Path) -> None:
    provenance = {"recipe_hash": "0" * 64}
    bundle = read_bundle(write(tmp_path / "bundle", provenance=provenance))
    assert bundle.provenance == provenance


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"model\.onnx: can't be read \(No such file"):
        read_bundle(folder)


def test_a_newer_format_is_refused_before_anything_else_is_read(folder: Path) -> None:
    (folder / "bundle.json").write_text('{"format_version": 3, "surprise": true}')
    with pytest.raises(BundleError, match=r"format version 3, clearsight .* up to 2; upgrade"):
        read_bundle(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format_version": "1"}', "\N{SNOWMAN}"])
def test_a_bundle_json_that_is_none_is_refused(folder: Path, text: str) -> None:
    (folder / "bundle.json").write_text(text, encoding="utf-8")
    with pytest.raises(BundleError, match=r"bundle\.json: (invalid JSON|names no format)"):
        read_bundle(folder)


def test_missing_fields_are_named_where_checksums_are_not_asked_for(folder: Path) -> None:
    (folder / "bundle.json").write_text('{"format_version": 1, "architecture": "resnet20"}')
    with pytest.raises(BundleError, match=r"bundle\.json: lacks input, preprocessing, classes"):
        read_bundle(folder, verify=False)


def test_no_folder_and_a_folder_without_bundle_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such folder; give the folder that"):
        read_bundle(tmp_path / "nowhere")
    with pytest.raises(BundleError, match=r"no bundle\.json in it"):
        read_bundle(tmp_path)


def test_an_architecture_of_another_version_is_named(folder: Path) -> None:
    manifest = folder / "bundle.json"
    manifest.write_text(manifest.read_text().replace("resnet20", "vit9000"))
    with pytest.raises(BundleError, match="architecture 'vit9000' is unknown to clearsight"):
        read_bundle(folder, verify=False).classifier()


def test_weights_of_another_network_are_refused(folder: Path) -> None:
    manifest = folder / "bundle.json"
    manifest.write_text(manifest.read_text().replace("resnet20", "airnet94"))
    with pytest.raises(BundleError, match=r"model\.safetensors: are no weights of airnet94"):
        read_bundle(folder, verify=False).classifier()


def test_an_older_bundle_is_replaced_and_anything_else_is_not(tmp_path: Path) -> None:
    out = write(tmp_path / "bundle")
    write(out, onnx=b"new graph")
    assert read_bundle(out).onnx.read_bytes() == b"new graph"
    (out / "notes.txt").write_text("mine")
    with pytest.raises(BundleError, match=r"holds other files \(notes\.txt\)"):
        write(out)
    assert (out / "notes.txt").read_text() == "mine"
    with pytest.raises(BundleError, match="is a file, a bundle is a folder"):
        check_out(out / "notes.txt")
    (tmp_path / "empty").mkdir()
    check_out(tmp_path / "empty")


def test_nothing_is_left_behind_when_writing_fails(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write(tmp_path / "bundle", metrics={"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_can_not_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="can't be written"):
        write(tmp_path / "file" / "bundle")


def test_the_card_tells_numbers_with_interval_and_n_and_the_weak_points(tmp_path: Path) -> None:
    metrics = {
        "split": "test",
        "n": 10_000,
        "tta": "flip",
        "accuracy": {"value": 0.9312, "low": 0.9261, "high": 0.936},
        "accuracy_without_tta": {"value": 0.925, "low": 0.9197, "high": 0.93},
        "macro": {"precision": 0.93, "recall": 0.93, "f1": 0.9311},
        "per_class": [
            {"name": "cat", "recall": 0.85, "support": 5000},
            {"name": "dog", "recall": 0.95, "support": 5000},
        ],
        "pairs": [{"true": "cat", "predicted": "dog", "count": 750}],
    }
    card = (write(tmp_path / "bundle", metrics=metrics) / "MODEL_CARD.md").read_text("utf-8")
    assert "| accuracy (test, test-time augmentation flip) | 93.12 % | 92.61 to 93.60 %" in card
    assert "| accuracy as shipped (test, one view) | 92.50 % | 91.97 to 93.00 % | 10,000 |" in card
    assert "Its weakest class is `cat`: 85.0% of 5,000 images recognised." in card
    assert "`cat` as `dog` (750)" in card
    for heading in ("What it does", "Classes", "Measured", "Limits", "How to use it"):
        assert f"\n## {heading}\n\n" in card


def test_the_card_says_what_probabilities_are_worth(tmp_path: Path) -> None:
    def score(value: float) -> dict[str, float]:
        return {"value": value, "low": value / 2, "high": 2 * value}

    scores = {"ece": 0.2, "adaptive_ece": 0.19, "brier": 0.15, "nll": 0.4}
    before = {name: score(value) for name, value in scores.items()}
    after = {name: score(value / 10) for name, value in scores.items()}
    share = {"value": 0.9625, "low": 0.95, "high": 0.97}
    judged = {"before": before, "after": after, "curve": [{"coverage": 0.9, "accuracy": share}]}
    metrics = {
        "split": "test", "n": 800, "tta": "none", "accuracy": share, "probabilities": judged,
    }  # fmt: skip
    promise = {"accuracy": 0.98, "probability": 0.875, "coverage": 0.8}
    calibration = {"temperature": 0.504, "n": 400, "sure": [promise], "sets": []}
    out = write(tmp_path / "bundle", metrics=metrics, calibration=calibration, validation=b"PAR1")
    card = (out / "MODEL_CARD.md").read_text("utf-8")
    assert (
        "| expected calibration error (test, one view, 0.200 before calibration) | 0.020 | "
        "0.010 to 0.040 | 800 |"
    ) in card
    assert "Right are 96.25 % of the surest 90 % of images." in card
    assert (
        "(logits divided by 0.504, fitted on 400 images). Accuracy promised there with 95 % "
        "confidence: 98 % above a probability of 0.8750 (80.0 % of the images)."
    ) in card
    del judged["after"]
    card = (write(out, metrics=metrics) / "MODEL_CARD.md").read_text("utf-8")
    assert "| expected calibration error (test, one view) | 0.200 |" in card
    assert "the network's own and were not calibrated" in card


def test_a_calibrated_bundle_needs_its_validation_part(tmp_path: Path) -> None:
    calibration = {"temperature": 0.5, "n": 4, "sure": [], "sets": []}
    out = write(tmp_path / "bundle", calibration=calibration, validation=b"PAR1")
    assert read_bundle(out).classifier().temperature == 0.5
    (out / "validation.parquet").unlink()
    with pytest.raises(BundleError, match=r"validation\.parquet: can't be read"):
        read_bundle(out)
    with pytest.raises(BundleError, match=r"calibration: lacks n; nothing was written"):
        write(out, calibration={"temperature": 0.5, "sure": [], "sets": []})


def test_the_card_says_where_weights_are_from_and_warns_of_a_mistake_put_in(
    tmp_path: Path,
) -> None:
    origin = {"source": "package x 1.0", "licence": "Apache-2.0", "sha256": "ab" * 32}
    wrong = model()
    wrong.preprocess.scaled_twice = True
    sound = write(tmp_path / "sound", provenance={"weights": origin}) / "MODEL_CARD.md"
    forced = write(tmp_path / "forced", wrong) / "MODEL_CARD.md"
    for value in origin.values():
        assert value in sound.read_text("utf-8")
    assert "a mistake reproduced on purpose" not in sound.read_text("utf-8")
    assert "a mistake reproduced on purpose" in forced.read_text("utf-8")


def assert_vouched_for(bundle: Bundle, file: Path) -> None:
    """With one byte of `file` changed, and without the file, the bundle is refused."""
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BundleError, match=rf"{re.escape(file.name)}: SHA-256 is"):
        read_bundle(bundle.path)
    file.unlink()
    with pytest.raises(BundleError, match=rf"{re.escape(file.name)}: can't be read"):
        read_bundle(bundle.path)


def test_validation_predictions_travel_along_and_are_vouched_for(
    folder: Path, tmp_path: Path
) -> None:
    assert not read_bundle(folder).validation.exists()
    bundle = read_bundle(write(tmp_path / "with", validation=b"PAR1"))
    assert bundle.validation.read_bytes() == b"PAR1"
    write(bundle.path, validation=b"PAR1")  # known as part of a bundle, which may be replaced
    assert_vouched_for(bundle, bundle.validation)


COST = {
    "n": 5000,
    "accuracy": {"value": 0.937, "low": 0.93, "high": 0.9434},
    "accuracy_fp32": {"value": 0.938, "low": 0.931, "high": 0.9444},
    "difference": -0.001,
    "changed": 31,
    "calibration": 500,
}


def test_an_int8_graph_is_vouched_for_and_its_cost_said(folder: Path, tmp_path: Path) -> None:
    assert read_bundle(folder).int8 is None
    bundle = read_bundle(write(tmp_path / "with", int8=(b"int8 graph", COST)))
    assert bundle.int8 == COST
    card = (bundle.path / "MODEL_CARD.md").read_text("utf-8")
    assert (
        'calibrated on 500 training images and used where `engine="int8"` is asked for; its '
        "validation accuracy 93.70 % (95 % interval 93.00 to 94.34 %), 93.80 % (95 % interval "
        "93.10 to 94.44 %) in fp32, n = 5,000: a difference of -0.10 points, 31 images got another "
        "label."
    ) in card
    assert "model.int8.onnx" not in (folder / "MODEL_CARD.md").read_text("utf-8")
    assert_vouched_for(bundle, bundle.int8_onnx)


def test_a_new_bundle_without_int8_takes_the_older_one_s_graph_away(tmp_path: Path) -> None:
    out = write(tmp_path / "bundle", int8=(b"int8 graph", COST))
    write(out)
    assert not read_bundle(out).int8_onnx.exists()


def test_an_int8_graph_without_its_checksum_is_refused(tmp_path: Path) -> None:
    out = write(tmp_path / "bundle", int8=(b"int8 graph", COST))
    about = json.loads((out / "bundle.json").read_text("utf-8"))
    del about["sha256"]["model.int8.onnx"], about["checksum"]
    (out / "bundle.json").write_text(_sealed(about), encoding="utf-8")
    with pytest.raises(BundleError, match=r"model\.int8\.onnx: SHA-256 is .* says None"):
        read_bundle(out)
