"""The model for other runtimes: what is written, how it is judged, and when it is refused."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clearsight.bundle.conversion import convert as conversion
from clearsight.bundle.conversion import web
from clearsight.bundle.conversion.convert import RUNTIMES, convert
from clearsight.bundle.engines import Answers, Run, onnx_engine
from clearsight.bundle.export import export
from clearsight.bundle.format import Bundle, read_bundle
from clearsight.bundle.parity import compare, margins
from clearsight.cli import main
from clearsight.errors import BundleError, UsageError
from clearsight.models.factory import build
from clearsight.models.preprocess import Preprocess
from tests.recorder import Recorder

CLASSES = ("red", "green", "blå")
SIZE = 24
LITERT = "litert-torch==0.10.0"
CALIBRATION = {
    "temperature": 0.5, "n": 40, "sure": [{"accuracy": 0.9, "probability": 0.5, "coverage": 0.4}],
    "sets": [], "unlike": {"threshold": 0.0, "passing": 0.99},
}  # fmt: skip


def pixels(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    torch.manual_seed(0)
    model = build("airnet-tiny", CLASSES, Preprocess((0.5, 0.4, 0.3), (0.2, 0.25, 0.3)))
    model.prepare(torch.from_numpy(pixels(50)))
    return read_bundle(
        export(
            model,
            out=tmp_path_factory.mktemp("converted") / "bundle",
            fit="crop",
            size=SIZE,
            metrics={
                "split": "test",
                "n": 7,
                "tta": "none",
                "accuracy": {"value": 0.5, "low": 0.2, "high": 0.8},
            },
            provenance={"recipe": "small"},
            test_images=pixels(20),
            calibration=CALIBRATION,
            validation=b"",
        )
    )


def by_onnx(bundle: Bundle, images: np.ndarray) -> Answers:
    return onnx_engine(bundle.onnx.read_bytes(), "model.onnx")(images)


@pytest.mark.parametrize("to", ["openvino", "torchscript"])
def test_the_files_and_what_is_said_of_them(bundle: Bundle, tmp_path: Path, to: str) -> None:
    seen = Recorder()
    out = convert(bundle, to, tmp_path / "new" / "there", pixels(30), seen)
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ["about.json", *RUNTIMES[to].files]
    )
    about = json.loads((out / "about.json").read_text(encoding="utf-8"))
    assert about["classes"] == list(CLASSES)
    assert about["input"]["shape"] == [None, SIZE, SIZE, 3]
    assert about["outputs"] == {
        "probabilities": [None, 3], "features": [None, bundle.features], "unlike": [None],
    }  # fmt: skip
    assert about["calibration"] == CALIBRATION
    assert about["measured"]["accuracy"]["value"] == 0.5
    assert about["parity"]["n"] == 30
    assert about["parity"]["max_difference"] < 1e-5
    assert about["bundle"] == bundle.checksum
    assert set(about["sha256"]) == set(RUNTIMES[to].files)
    assert seen.tasks == {f"comparing {RUNTIMES[to].title}": [60, 60]}
    # Any number of images, and an older folder is replaced.
    convert(bundle, to, out, pixels(1))
    run = RUNTIMES[to].engine(out, bundle)
    for n in (1, 5):
        found, expected = run(pixels(n, 1)), by_onnx(bundle, pixels(n, 1))
        for name in Answers._fields:
            np.testing.assert_allclose(
                getattr(found, name), getattr(expected, name), rtol=1e-3, atol=1e-5
            )


def test_torchscript_is_read_without_clearsight(bundle: Bundle, tmp_path: Path) -> None:
    out = convert(bundle, "torchscript", tmp_path / "script", pixels(4))
    np.save(tmp_path / "pixels.npy", pixels(3))
    code = (
        "import sys, numpy, torch; sys.modules['clearsight'] = None\n"
        f"model = torch.jit.load({str(out / 'model.pt')!r})\n"
        f"images = torch.from_numpy(numpy.load({str(tmp_path / 'pixels.npy')!r}))\n"
        "print(model(images)[0].argmax(1).tolist())"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == by_onnx(bundle, pixels(3)).probabilities.argmax(1).tolist()


def test_openvino_reports_nothing_to_its_makers(bundle: Bundle, tmp_path: Path) -> None:
    """Importing it would write an identifier into the home folder and open a thread that sends."""
    np.save(tmp_path / "pixels.npy", pixels(3))
    code = (
        "import sys, numpy\nfrom pathlib import Path\n"
        "from clearsight.bundle.conversion.convert import convert\n"
        "from clearsight.bundle.format import read_bundle\n"
        f"bundle = read_bundle({str(bundle.path)!r})\n"
        f"images = numpy.load({str(tmp_path / 'pixels.npy')!r})\n"
        f"convert(bundle, 'openvino', Path({str(tmp_path / 'out')!r}), images)\n"
        "print('openvino' in sys.modules, 'openvino_telemetry' in sys.modules)"
    )
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env=os.environ | {"HOME": str(home), "CI": "false"},
    )  # fmt: skip
    assert done.stdout.split() == ["True", "False"]
    assert [path.name for path in home.rglob("*") if "openvino" in path.name] == []


def lying(
    change: Callable[[np.ndarray], np.ndarray], to: str = "torchscript"
) -> Callable[[Path, Bundle], Run]:
    """An engine that treats the pixels in another way before it asks the real one."""
    honest = RUNTIMES[to].engine
    return lambda folder, bundle: lambda images: honest(folder, bundle)(change(images))


@pytest.mark.parametrize(
    "change",
    [
        lambda images: images[..., ::-1].copy(),  # BGR
        lambda images: images.transpose(0, 2, 1, 3).copy(),  # rows for columns
        lambda images: images // 2,  # scaled twice
        lambda images: np.minimum(images, 254),  # one value of 256
    ],
)
def test_a_runtime_that_disagrees_is_refused_and_nothing_is_written(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    change: Callable[[np.ndarray], np.ndarray],
) -> None:  # fmt: skip
    wrong = replace(RUNTIMES["torchscript"], engine=lying(change))
    monkeypatch.setitem(conversion.RUNTIMES, "torchscript", wrong)
    with pytest.raises(BundleError, match=r"TorchScript and ONNX Runtime disagree.*nothing was"):
        convert(bundle, "torchscript", tmp_path / "out", pixels(200))
    assert list(tmp_path.iterdir()) == []


def test_a_converter_that_fails_is_named(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(bundle: Bundle, folder: Path) -> None:
        raise RuntimeError("no such operator\nand more")

    monkeypatch.setitem(conversion.RUNTIMES, "openvino", replace(RUNTIMES["openvino"], write=fails))
    with pytest.raises(BundleError, match=r"openvino \d.*'airnet-tiny' \(no such operator\);"):
        convert(bundle, "openvino", tmp_path / "out", pixels(4))
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_installed_is_named_with_its_extra(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setitem(sys.modules, "litert_torch", None)
    monkeypatch.setattr(web.shutil, "which", lambda name, path: None)
    for to in ("openvino", "litert", "web"):
        with pytest.raises(UsageError, match=rf"export --to {to}: .*clearsight\[{to}\]"):
            convert(bundle, to, tmp_path / "out", pixels(4))
    assert list(tmp_path.iterdir()) == []


def test_another_folder_is_never_replaced(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model.pt").write_text("kept")
    (tmp_path / "file").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    for name, said in (("mine", "holds other files"), ("file", "is not"), ("link", "is not")):
        with pytest.raises(BundleError, match=f"{said}.*choose another --out"):
            convert(bundle, "torchscript", tmp_path / name, pixels(2))
    monkeypatch.chdir(tmp_path / "mine")
    with pytest.raises(BundleError, match="working folder"):
        convert(bundle, "torchscript", tmp_path, pixels(2))
    assert (tmp_path / "mine" / "model.pt").read_text() == "kept"
    with pytest.raises(UsageError, match="found 'tensorrt', expected one of openvino, litert"):
        convert(bundle, "tensorrt", tmp_path / "out", pixels(2))


def test_margins_are_distances_of_logits() -> None:
    # Logits 1, 3 and 2 at temperature 0.5: the top two are 1 apart.
    logits = np.array([[1.0, 3.0, 2.0]]) / 0.5
    probabilities = np.exp(logits) / np.exp(logits).sum()
    assert margins(probabilities, 0.5) == pytest.approx([1.0])
    assert margins(np.array([[1.0, 0.0]]), 1.0) == [np.inf]


def test_only_ties_may_get_another_label() -> None:
    one, other = np.array([[0.50001, 0.49999]]), np.array([[0.49999, 0.50001]])

    def compared(margin: float) -> dict[str, float]:
        return compare(
            Answers(one), Answers(other), np.array([margin]), file="x", engines="a and b",
            advice="try again",
        )  # fmt: skip

    told = compared(4e-5)
    assert (told["n"], told["ties"]) == (1, 1)
    assert told["max_difference"] == pytest.approx(2e-5)
    with pytest.raises(BundleError, match="other labels on 1 of 1 test images"):
        compared(1e-3)


def test_words_that_exclude_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tmp_path), "--to", "openvino", "--int8"]) == 2
    assert "found both --to and --int8" in capsys.readouterr().err


@pytest.mark.slow
def test_litert_in_an_environment_of_its_own(bundle: Bundle, tmp_path: Path) -> None:
    """Its converter takes older libraries than the tools of development, so it lies above them."""
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    own = next((environment / "lib").glob("python*/site-packages"))
    (own / "below.pth").write_text("\n".join(path for path in sys.path if path))
    python = environment / "bin" / "python"
    installed = subprocess.run(
        [python, "-m", "pip", "install", "-q", LITERT], capture_output=True, text=True, check=False
    )
    if installed.returncode:
        pytest.skip(f"{LITERT} can't be installed here")
    np.save(tmp_path / "pixels.npy", pixels(5))
    code = (
        "import numpy\nfrom pathlib import Path\n"
        "from clearsight.bundle.conversion.convert import convert\n"
        "from clearsight.bundle.format import read_bundle\n"
        f"images = numpy.load({str(tmp_path / 'pixels.npy')!r})\n"
        f"out = Path({str(tmp_path / 'out')!r})\n"
        f"convert(read_bundle({str(bundle.path)!r}), 'litert', out, images)"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "DONE" not in done.stdout + done.stderr  # the converter's reports on its steps
    about = json.loads((tmp_path / "out" / "about.json").read_text(encoding="utf-8"))
    assert about["input"]["shape"] == [1, SIZE, SIZE, 3]
    assert about["parity"]["n"] == 5
    assert about["parity"]["max_difference"] < 1e-4
