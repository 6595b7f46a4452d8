"""The predictor: every kind of image, both engines, no torch for ONNX, and bad input."""

import os
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Generator, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image

import clearsight
from clearsight.bundle.engines import Answers, batch_size, onnx_engine
from clearsight.bundle.export import export
from clearsight.bundle.format import read_bundle
from clearsight.bundle.predict import Failure, Prediction, Predictor, load
from clearsight.errors import BundleError, DataError, UsageError
from clearsight.models.factory import build
from clearsight.models.preprocess import Preprocess

CLASSES = ("cat", "dog", "ship")


def pixels(n: int, size: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = build("resnet20", CLASSES, Preprocess((0.5,) * 3, (0.25,) * 3))
    return export(
        model,
        out=tmp_path_factory.mktemp("exported") / "bundle",
        fit="letterbox",
        size=32,
        metrics={},
        provenance={},
        test_images=pixels(3),
    )


@pytest.fixture(scope="module")
def predictor(bundle: Path) -> Predictor:
    return load(bundle)


def test_both_engines_say_the_same_of_every_image(bundle: Path) -> None:
    images = pixels(150)
    by_onnx, by_torch = (load(bundle, engine).predict(images) for engine in ("onnx", "torch"))
    assert len(by_onnx) == len(by_torch) == 150
    for one, other in zip(by_onnx, by_torch, strict=True):
        assert one.label == other.label
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)


def test_predictions_are_what_the_model_says_of_the_fitted_image(bundle: Path) -> None:
    images = pixels(2)
    with torch.inference_mode():
        model = read_bundle(bundle).classifier()
        expected = model(torch.from_numpy(images)).softmax(1).numpy()
    for prediction, row in zip(load(bundle).predict(images), expected, strict=True):
        assert prediction.file is None
        assert prediction.label == CLASSES[row.argmax()]
        assert prediction.label is not None
        assert prediction.probability == prediction.probabilities[prediction.label]
        assert list(prediction.probabilities) == list(CLASSES)
        assert list(prediction.probabilities.values()) == pytest.approx(row.tolist(), abs=1e-5)


def test_a_path_an_opened_image_and_pixels_of_it_give_the_same(
    predictor: Predictor, tmp_path: Path
) -> None:
    array = pixels(1)[0, :20]  # 20 × 32: to be fitted
    file = tmp_path / "image.png"
    Image.fromarray(array).save(file)
    forms = [str(file), file, Image.open(file), array]
    predictions = predictor.predict(forms)
    assert [p.file for p in predictions] == [str(file), str(file), None, None]
    assert len({p.probability for p in predictions}) == 1
    for form in (*forms, array[None]):
        (alone,) = predictor.predict(form)
        assert alone.probabilities == pytest.approx(predictions[0].probabilities, abs=1e-6)


def test_turned_16_bit_and_transparent_files_are_opened_as_in_training(
    predictor: Predictor, tmp_path: Path
) -> None:
    upright = Image.fromarray(pixels(1)[0])
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90° clockwise
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    grey = pixels(1)[0, :, :, 0]
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    clear = Image.new("RGBA", (32, 32), (10, 20, 30, 0))
    clear.save(tmp_path / "clear.png")
    found = predictor.predict([tmp_path / name for name in ("turned.png", "deep.png", "clear.png")])
    white = np.full((32, 32, 3), 255, np.uint8)
    expected = predictor.predict([upright, np.repeat(grey[..., None], 3, 2), white])
    assert [p.probabilities for p in found] == [p.probabilities for p in expected]
    (opened,) = predictor.predict(clear)
    assert opened.probabilities == pytest.approx(expected[2].probabilities, abs=1e-6)


def test_images_are_taken_a_batch_at_a_time(predictor: Predictor) -> None:
    taken = 0

    def images() -> Iterator[np.ndarray]:
        nonlocal taken
        for image in pixels(250):
            taken += 1
            yield image

    stream = predictor.stream(images())
    assert taken == 0
    next(stream)
    assert batch_size(32) == 100
    assert 100 <= taken <= 200  # the next is decoded meanwhile
    assert len(list(stream)) == 249


def test_the_next_batch_is_decoded_while_the_network_computes(predictor: Predictor) -> None:
    asked = threading.Event()

    def images() -> Iterator[np.ndarray]:
        yield from pixels(100)
        asked.set()
        yield from pixels(1)

    def run(several: np.ndarray) -> Answers:
        assert asked.wait(10)  # only then is the first batch answered
        return predictor.run(several)

    assert len(list(replace(predictor, run=run).stream(images()))) == 101


def test_an_error_of_the_images_comes_after_the_predictions_before_it(
    predictor: Predictor,
) -> None:
    def images() -> Iterator[np.ndarray]:
        yield from pixels(100)
        raise OSError("the pipe broke")

    stream = predictor.stream(images())
    assert sum(1 for _ in islice(stream, 100)) == 100
    with pytest.raises(OSError, match="the pipe broke"):
        next(stream)


def test_a_stream_that_is_left_stops_reading(predictor: Predictor) -> None:
    taken = 0

    def images() -> Iterator[np.ndarray]:
        nonlocal taken
        while True:
            taken += 1
            yield np.zeros((32, 32, 3), np.uint8)

    stream = cast(Generator[Prediction], predictor.stream(images()))
    next(stream)
    stream.close()
    before = taken
    time.sleep(0.2)
    assert taken == before <= 200


def test_batches_of_large_images_are_small() -> None:
    assert [batch_size(size) for size in (8, 64, 224, 1024)] == [100, 100, 8, 1]


def test_no_images_give_no_predictions(predictor: Predictor) -> None:
    assert predictor.predict([]) == []


def test_a_damaged_or_missing_file_is_named(predictor: Predictor, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.new("RGB", (40, 40)).save(good)
    bad.write_bytes(good.read_bytes()[:50])
    with pytest.raises(DataError, match=r"bad\.png: can't be decoded"):
        predictor.predict([good, bad])
    with pytest.raises(DataError, match=r"missing\.png"):
        predictor.predict(tmp_path / "missing.png")


def test_bad_files_give_failures_in_their_places_and_the_rest_goes_on(
    predictor: Predictor, tmp_path: Path
) -> None:
    good, empty, text = (tmp_path / name for name in ("good.png", "empty.png", "text\n.png"))
    Image.new("RGB", (40, 40)).save(good)
    empty.touch()
    text.write_text("no image")
    names = [good, tmp_path / "missing.png", empty, text, tmp_path, str(good), "a\0b.png"]
    found = list(predictor.stream(names * 40, errors="yield"))  # several batches of 100
    assert len(found) == 280
    assert [type(each) for each in found[:7]] == [Prediction, *[Failure] * 4, Prediction, Failure]
    assert [each.file for each in found[:7]] == [os.fspath(name) for name in names]
    reasons = [each.error for each in found[:7] if isinstance(each, Failure)]
    assert reasons[0].startswith("can't be read (No such file or directory)")
    assert reasons[1].startswith("is an empty file")
    assert found[7:14] == found[:7]


def test_a_batch_of_bad_files_only_gives_failures_only(predictor: Predictor) -> None:
    found = list(predictor.stream(["missing.png"] * 3, errors="yield"))
    assert [type(each) for each in found] == [Failure] * 3


def test_an_error_comes_after_the_predictions_before_it(
    predictor: Predictor, tmp_path: Path
) -> None:
    good = tmp_path / "good.png"
    Image.new("RGB", (40, 40)).save(good)
    stream = predictor.stream([good, good, tmp_path / "missing.png", good])
    assert [next(stream).file for _ in range(2)] == [str(good)] * 2
    with pytest.raises(DataError, match=r"missing\.png"):
        next(stream)


def test_memory_does_not_grow_with_the_number_of_images(predictor: Predictor) -> None:
    pixels_of_one = np.zeros((64, 64, 3), np.uint8)

    def images(n: int) -> Iterator[np.ndarray | str]:
        yield "missing.png"
        for _ in range(n):
            yield pixels_of_one.copy()

    def most_memory(n: int) -> int:
        tracemalloc.start()
        try:
            assert sum(1 for _ in predictor.stream(images(n), errors="yield")) == n + 1
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    most_memory(200)
    assert most_memory(2000) < 1.5 * most_memory(200)


def test_wrong_pixels_are_wrong_use_also_where_bad_files_are_passed_over(
    predictor: Predictor,
) -> None:
    with pytest.raises(UsageError, match="found an array float32"):
        list(predictor.stream(np.zeros((1, 4, 4, 3), np.float32), errors="yield"))
    with pytest.raises(UsageError, match="expected raise or yield"):
        predictor.stream([], errors="ignore")  # ty: ignore[no-matching-overload]


@pytest.mark.parametrize(
    ("image", "found"),
    [
        (np.zeros((32, 32, 3), np.float32), r"an array float32 \[32, 32, 3\]"),
        (np.zeros((32, 32), np.uint8), r"an array uint8 \[32, 32\]"),
        (np.zeros((0, 32, 3), np.uint8), r"an array uint8 \[0, 32, 3\]"),
        ([3], "found int"),
    ],
)
def test_other_pixels_are_wrong_use(predictor: Predictor, image: Any, found: str) -> None:
    with pytest.raises(UsageError, match=found):
        predictor.predict(image)


def test_a_bundle_without_int8_graph_says_how_to_get_one(bundle: Path) -> None:
    with pytest.raises(BundleError, match=r"no int8 graph in it; export it with .* --int8"):
        load(bundle, "int8")


def test_an_unknown_engine_is_wrong_use(bundle: Path) -> None:
    with pytest.raises(UsageError, match="expected one of auto, onnx, int8, torch"):
        load(bundle, "tensorrt")  # ty: ignore[invalid-argument-type]


def test_a_graph_that_is_none_is_refused() -> None:
    with pytest.raises(BundleError, match=r"model\.onnx: ONNX Runtime .* can't load it"):
        onnx_engine(b"no graph", "model.onnx")


def test_load_is_a_public_name(bundle: Path) -> None:
    assert clearsight.load(bundle).engine == "onnx"


def test_the_onnx_engine_needs_no_torch_and_does_not_report_usage(bundle: Path) -> None:
    code = (
        "import os, sys, clearsight, numpy\n"
        "assert 'ORT_DISABLE_TELEMETRY' not in os.environ\n"
        "import clearsight.bundle.predict\n"
        "assert not {'onnxruntime', 'ORT_DISABLE_TELEMETRY'} & {*sys.modules, *os.environ}\n"
        f"clearsight.load({str(bundle)!r}).predict(numpy.zeros((32, 32, 3), 'uint8'))\n"
        "print(os.environ['ORT_DISABLE_TELEMETRY'])\n"
        "print(sorted({'torch', 'matplotlib', 'pyarrow', 'sklearn', 'onnx'} & {*sys.modules}))\n"
    )
    surroundings = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        encoding="utf-8",
        env=surroundings,
    )
    assert done.stdout.split("\n")[:2] == ["1", "[]"]
    assert done.stderr == ""


def test_a_truncated_file_is_used_on_request(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    Image.fromarray(pixels(1)[0]).save(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"cut\.jpg: can't be decoded.*with --truncated"):
        load(bundle).predict(path)
    assert load(bundle, truncated=True).predict(path)[0].label in CLASSES


def test_the_commands_take_truncated(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from clearsight.cli import main

    for i in range(12):
        path = tmp_path / "photos" / ("cat", "dog")[i % 2] / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.roll(pixels(1)[0], i)).save(path)
    path.write_bytes(path.read_bytes()[:-20])
    photos, out = str(tmp_path / "photos"), str(tmp_path / "out")
    for words in (
        ["predict", str(bundle), str(path)],
        ["explain", str(bundle), str(path), "--out", out],
        ["audit", photos],
    ):
        main(words)
        assert "with --truncated" in "".join(capsys.readouterr())
        assert main([*words, "--truncated"]) == 0
        assert "with --truncated" not in "".join(capsys.readouterr())
