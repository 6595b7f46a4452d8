"""Corrupted images, and other data sets, measured through whole runs."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clearsight.cli import main
from clearsight.config.parsing import parse
from clearsight.config.schema import Config
from clearsight.data.images import ImageSet
from clearsight.errors import DataError, FileError, RunError, UsageError
from clearsight.evaluation.corruptions import CORRUPTIONS
from clearsight.files import read_json, write_json
from clearsight.runs import Run, open_run
from clearsight.workflows import loading, results
from clearsight.workflows.evaluate import evaluate
from clearsight.workflows.robustness import evaluate_corruptions
from clearsight.workflows.train import train
from tests.conftest import make_images


def save_images(path: Path, images: ImageSet) -> Path:
    np.savez(
        path, images=images.images, labels=images.labels, classes=np.array(images.classes),
        parts=images.parts,
    )  # fmt: skip
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with bands.npz (90 images of three classes) and, trained on it, a run."""
    folder = tmp_path_factory.mktemp("home")
    config = parse(
        Config,
        {
            "tracking": {"tracker": "none"},
            "data": {"source": str(save_images(folder / "bands.npz", make_images(90, size=16)))},
            "model": {"name": "airnet-tiny"},
            "training": {"batch": 16, "precision": "fp32"},
            "phases": [{"epochs": 2, "lr": 0.05}],
        },
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        train(config, out=folder / "run")
    return folder


@pytest.fixture
def run(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A copy of the finished run."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    shutil.copytree(home / "run", tmp_path / "run")
    return open_run(tmp_path / "run")


def test_corruptions_are_measured_kept_and_shown(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    before = run.evaluation.read_bytes()
    assert main(["evaluate", str(run.path), "--corruptions", "--sample", "6"]) == 0
    out = capsys.readouterr().out
    assert "n = 6 of 9 test images, one view each" in " ".join(out.split())
    assert "zoom blur" in out
    assert "quality 75" in out
    result = read_json(run.corruptions)
    assert (result["n"], result["of"], result["split"], result["size"]) == (6, 9, "test", 32)
    assert [row["name"] for row in result["corruptions"]] == list(CORRUPTIONS)
    assert (run.figures / "corruptions.png").is_file()
    page = run.report.read_text("utf-8")
    assert 'id="robustness"' in page
    assert "elastic transform" in page
    assert run.evaluation.read_bytes() == before
    # A second run sees the same pixels, and a larger sample is cut to what there is.
    assert evaluate_corruptions(run, n=6) == result
    assert evaluate_corruptions(run)["n"] == 9


def test_all_of_it_is_measured_on_images_loaded_once_and_reported_once(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reports, loads = [], []
    write, load = results.write_report, loading.load_images
    monkeypatch.setattr(results, "write_report", lambda r: reports.append(r) or write(r))
    monkeypatch.setattr(
        loading, "load_images", lambda *args, **kw: loads.append(args) or load(*args, **kw)
    )
    assert main(["evaluate", str(run.path), "--all"]) == 0
    assert "zoom blur" in capsys.readouterr().out
    assert (len(reports), len(loads)) == (1, 1)
    assert len(read_json(run.faithfulness)["rows"]) > 3
    assert 'id="robustness"' in run.report.read_text("utf-8")


def test_corruptions_of_an_unfinished_run_are_refused_before_anything_is_measured(
    run: Run,
) -> None:
    shutil.rmtree(run.last)
    before = run.evaluation.stat()
    with pytest.raises(RunError, match="its training has not finished"):
        evaluate(run, corruptions=True)
    assert run.evaluation.stat() == before


def test_all_of_it_is_of_the_own_part_and_not_of_another_set(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = save_images(tmp_path / "other.npz", make_images(60, size=16, seed=1))
    assert main(["evaluate", str(run.path), "--data", str(other), "--all"]) == 2
    assert "other.npz is another data set" in " ".join(capsys.readouterr().err.split())
    assert not run.other_data.exists()


def test_a_damaged_result_is_one_sentence(run: Run) -> None:
    write_json(run.corruptions, {"n": 0})
    with pytest.raises(FileError, match=r"corruptions\.json: lacks split"):
        evaluate(run)


def test_a_run_that_was_not_measured_is_refused(run: Run) -> None:
    run.evaluation.unlink()
    with pytest.raises(RunError, match="it was not measured yet"):
        evaluate_corruptions(run)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sample", "5"], "--sample: give 1 or more images, together with --corruptions"),
        (["--corruptions", "--sample", "0"], "--sample: give 1 or more images"),
        (["--corruptions", "--tta", "flip"], "--tta: corrupted images are measured with one view"),
    ],
)
def test_flags_that_do_not_go_together(words: list[str], message: str, run: Run, capsys) -> None:
    assert main(["evaluate", str(run.path), *words]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_another_set_is_measured_beside_the_own(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = run.evaluation.read_bytes()
    other = save_images(tmp_path / "other.npz", make_images(60, size=16, seed=1))
    assert main(["evaluate", str(run.path), "--data", str(other), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["name"], result["part"], result["n"], result["left_out"]) == (
        "other",
        "all",
        60,
        0,
    )
    assert result["own"]["accuracy"] == read_json(run.evaluation)["accuracy"]
    assert result["difference"]["value"] == pytest.approx(
        result["accuracy"]["value"] - result["own"]["accuracy"]["value"]
    )
    # Measured again it is one entry, and the run's own result is as it was.
    assert main(["evaluate", str(run.path), "--data", str(other)]) == 0
    assert "n = 60, all of its images" in " ".join(capsys.readouterr().out.split())
    assert read_json(run.other_data) == [result]
    assert run.evaluation.read_bytes() == before
    assert "other" in run.report.read_text("utf-8")


def test_classes_may_be_fewer_and_in_another_order(run: Run, tmp_path: Path) -> None:
    images = make_images(60, size=16, seed=1)
    names = images.classes
    # The last two classes, the last first.
    chosen = images.labels > 0
    turned = replace(
        images, images=images.images[chosen], labels=2 - images.labels[chosen],
        classes=(names[2], names[1]), ids=images.ids[chosen], parts=images.parts[chosen],
        files=images.files[chosen],
    )  # fmt: skip
    whole = evaluate(run, data=str(save_images(tmp_path / "whole.npz", images)))
    part = evaluate(run, data=str(save_images(tmp_path / "part.npz", turned)))
    assert (part["classes"], part["of"]) == (list(names[1:]), 3)
    assert part["per_class"] == whole["per_class"][1:]
    assert part["own"]["n"] == sum(
        row["support"] for row in read_json(run.evaluation)["per_class"][1:]
    )


def test_images_of_the_run_are_left_out(run: Run, home: Path, tmp_path: Path) -> None:
    own, new = make_images(90, size=16), make_images(200, size=16, seed=1)
    joined = replace(
        new,
        **{
            name: np.concatenate([getattr(new, name), getattr(own, name)[:30]])
            for name in ("images", "labels", "ids", "parts", "files")
        },
    )
    result = evaluate(run, data=str(save_images(tmp_path / "joined.npz", joined)))
    manifest = read_json(run.split)["parts"]
    used = {i for part in ("train", "validation") for i in manifest[part]["ids"]}
    known = sum(i.decode() in used for i in own.ids[:30].tolist())
    assert known > 0
    assert (result["left_out"], result["n"]) == (known, 230 - known)


def test_its_own_test_part_is_what_is_measured(run: Run, tmp_path: Path) -> None:
    images = make_images(60, size=16, seed=1)
    parts = np.where(np.arange(60) < 20, "test", "train")
    result = evaluate(run, data=str(save_images(tmp_path / "p.npz", replace(images, parts=parts))))
    assert (result["part"], result["n"]) == ("test", 20)


def test_the_own_set_incomplete_is_no_other_set(run: Run, home: Path, tmp_path: Path) -> None:
    own = make_images(90, size=16)
    most = replace(
        own,
        **{name: getattr(own, name)[:80] for name in ("images", "labels", "ids", "parts", "files")},
    )
    with pytest.raises(DataError, match="10 of the 90 images in the split manifest are missing"):
        evaluate(run, data=str(save_images(tmp_path / "most.npz", most)))
    assert evaluate(run, data=str(home / "bands.npz"))["split"] == "test"
    assert not run.other_data.exists()


def test_both_sides_have_the_same_views(run: Run, tmp_path: Path) -> None:
    other = save_images(tmp_path / "other.npz", make_images(60, size=16, seed=1))
    with pytest.raises(UsageError, match="tta: found flip, but another data set is measured as"):
        evaluate(run, data=str(other), tta="flip")
    assert evaluate(run, data=str(other), tta="none")["tta"] == "none"


def test_a_single_image_is_enough(run: Run, tmp_path: Path) -> None:
    assert evaluate_corruptions(run, n=1)["clean"]["value"] in (0.0, 1.0)
    images = make_images(3, size=16, seed=1)
    result = evaluate(run, data=str(save_images(tmp_path / "three.npz", images)))
    assert (result["n"], len(result["classes"])) == (3, 3)


def test_other_class_names_are_one_sentence(run: Run, tmp_path: Path) -> None:
    for name in ("axolotl", "dodo"):
        (tmp_path / "zoo" / name).mkdir(parents=True)
        Image.new("RGB", (16, 16), (9, 9, 9)).save(tmp_path / "zoo" / name / "1.png")
    with pytest.raises(DataError) as refused:
        evaluate(run, data=str(tmp_path / "zoo"))
    message = str(refused.value)
    assert message.startswith("zoo: found 'axolotl', 'dodo' among its classes, the model knows ")
    assert message.endswith("; rename the classes to these, or leave them out")
    assert not run.other_data.exists()
