"""Commands over image files of which some are bad: the others are answered, and the exit is 1."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clearsight.bundle.export import export
from clearsight.cli import main
from clearsight.models.factory import build
from clearsight.models.preprocess import Preprocess


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    model = build("resnet20", ("cat", "dog"), Preprocess((0.5,) * 3, (0.25,) * 3))
    out = tmp_path_factory.mktemp("exported") / "bundle"
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    export(model, out=out, fit="letterbox", size=32, metrics={}, provenance={}, test_images=images)
    return str(out)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """good, missing, empty, damaged, good."""
    names = ("first.png", "missing.png", "empty.png", "damaged.png", "last.png")
    paths = [tmp_path / "images" / name for name in names]
    paths[0].parent.mkdir()
    for path in (paths[0], paths[4]):
        Image.new("RGB", (40, 30), "teal").save(path)
    paths[2].touch()
    paths[3].write_bytes(paths[0].read_bytes()[:50])
    return [str(path) for path in paths]


def test_predict_answers_the_good_files_and_exits_with_1(
    bundle: str, files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", bundle, *files, "--json"]) == 1
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["file"] for row in rows] == files
    assert ["error" in row for row in rows] == [False, True, True, True, False]
    assert err == "3 files could not be used\n"


def test_predict_as_text_and_csv(
    bundle: str, files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", bundle, *files]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [" error: " in line for line in lines] == [False, True, True, True, False]
    assert main(["predict", bundle, *files, "--csv"]) == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [bool(row["error"]) for row in rows] == [False, True, True, True, False]
    assert [bool(row["label"]) for row in rows] == [True, False, False, False, True]


def test_predict_of_good_files_only_says_nothing_and_exits_with_0(
    bundle: str, files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", bundle, files[0], files[4]]) == 0
    assert capsys.readouterr().err == ""


def test_strict_stops_at_the_first_with_what_came_before(
    bundle: str, files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", bundle, *files, "--strict"]) == 1
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == files[:1]
    assert err.startswith(f"error: {files[1]}: can't be read")


def test_a_reader_that_goes_away_ends_predict_quietly(bundle: str, files: list[str]) -> None:
    command = [sys.executable, "-m", "clearsight", "predict", bundle, *[files[0], files[1]] * 500]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline().startswith(os.fsencode(files[0]))
        process.stdout.close()
        assert process.stderr.read() == b""


def test_explain_draws_the_good_files_and_names_the_bad(
    bundle: str, files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "drawn"
    assert main(["explain", bundle, *files, "--out", str(out)]) == 1
    printed, err = capsys.readouterr()
    drawn = [str(out / "first_heatmap.png"), str(out / "last_heatmap.png")]
    assert printed.splitlines() == drawn
    assert [line.split(": ")[1] for line in err.splitlines()[:3]] == files[1:4]
    assert err.splitlines()[-1] == "3 files could not be used"
    assert main(["explain", bundle, *files, "--out", str(out), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["figures"] == drawn
    assert [error["file"] for error in found["errors"]] == files[1:4]
    assert main(["explain", bundle, *files, "--out", str(out), "--strict"]) == 1
    assert capsys.readouterr().out == ""


def test_audit_lists_damaged_files_and_exits_with_1(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for k in range(12):
            pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{k}.png")
    data = str(tmp_path / "pets")
    assert main(["audit", data]) == 0
    capsys.readouterr()
    (tmp_path / "pets" / "cat" / "3.png").write_bytes(b"no image")
    assert main(["audit", data]) == 1
    out, err = capsys.readouterr()
    assert [line for line in out.splitlines() if line.startswith("corrupt: ")]
    assert "pets: 23 images" in out
    assert err.splitlines()[-1] == "1 file could not be used"
    assert main(["audit", data, "--strict"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "3.png" in err
