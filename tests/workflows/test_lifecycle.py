"""A run from its name to its report: what is missing is made, what was edited is refused."""

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clearsight
from clearsight.bundle.card import model_card
from clearsight.bundle.format import read_bundle
from clearsight.cli import main
from clearsight.config.parsing import parse
from clearsight.config.recipes import to_toml
from clearsight.config.schema import Config
from clearsight.data.images import ImageSet
from clearsight.errors import DataError, FileError, RunError, TrainingError, UsageError
from clearsight.files import read_json, write_text
from clearsight.ledger import record
from clearsight.runs import Run, at_work, is_at_work, open_run
from clearsight.workflows import results
from clearsight.workflows.evaluate import evaluate
from clearsight.workflows.explain import explain
from clearsight.workflows.export import export
from clearsight.workflows.results import missing
from clearsight.workflows.train import resume, train
from tests.conftest import make_images
from tests.recorder import Recorder


def recipe(source: Path | str, **tables: Any) -> Config:
    table: dict[str, Any] = {
        "tracking": {"tracker": "none"},
        "data": {"source": str(source)},
        "model": {"name": "airnet-tiny"},
        "training": {"batch": 16, "precision": "fp32"},
        "phases": [{"epochs": 2, "lr": 0.05}],
    }
    return parse(Config, table | tables)


def save_images(path: Path, images: ImageSet, parts: list[str] | None = None) -> Path:
    """The images as an npz file, with the parts that it gives them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    given = np.array(images.parts if parts is None else parts)
    classes = np.array(images.classes)
    np.savez(path, images=images.images, labels=images.labels, classes=classes, parts=given)
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data/bands.npz and, trained on it, runs/whole."""
    folder = tmp_path_factory.mktemp("home")
    data = save_images(folder / "data" / "bands.npz", make_images(90, size=16))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        train(recipe(data), out=folder / "runs" / "whole")
    return folder


@pytest.fixture
def run(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A copy of the finished run."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    shutil.copytree(home / "runs" / "whole", tmp_path / "run")
    return open_run(tmp_path / "run")


def files(run: Run) -> dict[str, bytes]:
    return {
        path.relative_to(run.path).as_posix(): path.read_bytes()
        for path in run.path.rglob("*")
        if path.is_file()
    }


EVERYTHING = [
    "evaluation.json", "predictions.parquet", "predictions-validation.parquet", "report.html",
    "calibration.json",
    "stages.json", "history.csv", "timing.csv", "figures/training_curves.png",
    "figures/sample_images.png", "figures/heatmap_samples.png", "figures",
]  # fmt: skip


def remove(run: Run, name: str) -> None:
    path = run.path / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize("name", EVERYTHING)
def test_resuming_makes_whatever_is_missing(name: str, run: Run) -> None:
    before = files(run)
    assert missing(run) == []
    remove(run, name)
    assert missing(run) != []
    resume(run.path)
    after = files(run)
    assert after.keys() == before.keys()
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {"report.html", "stages.json"}  # which name the folder, and are in any order
    assert missing(run) == []


@pytest.mark.parametrize("name", ["report.html", "figures", "predictions.parquet", "stages.json"])
@pytest.mark.parametrize("mend", [evaluate, explain])
def test_evaluating_and_explaining_make_what_is_missing_too(
    mend: Callable[..., Any], name: str, run: Run
) -> None:
    before = files(run)
    remove(run, name)
    mend(run)
    dossier = {"dossier.json", "dossier.png"} if mend is explain else set()
    assert files(run).keys() == before.keys() | dossier
    assert missing(run) == []


def test_what_a_killed_process_left_is_swept(run: Run) -> None:
    before = files(run)
    run.report.unlink()
    (run.path / ".report.html.999999999.tmp").write_text("half")
    (run.figures / ".per_class.png.999999999.tmp").write_text("half")
    shutil.copytree(run.best, run.best.with_name(".best.old"))
    run.last.rename(run.last.with_name(".last.old"))  # killed between the two renames
    resume(run.path)
    assert files(run).keys() == before.keys()


def test_a_run_that_was_evaluated_half_way_is_trained_to_its_end(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupting(Recorder):
        def epoch(self, row: object) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    config = recipe(home / "data" / "bands.npz")
    with pytest.raises(KeyboardInterrupt, match="the run is kept, resume it with"):
        train(config, out=tmp_path / "run", progress=Interrupting())
    listener = Recorder()
    evaluate(tmp_path / "run", progress=listener)
    assert "its training has not finished" in listener.lines[-1]
    run = resume(tmp_path / "run")
    whole = files(open_run(home / "runs" / "whole"))
    different = {name for name, content in files(run).items() if content != whole[name]}
    assert different <= {"report.html", "timing.csv", "environment.json", "evaluation.json",
                         "stages.json", "checkpoints/last/checkpoint.json"}  # fmt: skip
    results = [read_json(each / "evaluation.json") for each in (run.path, home / "runs" / "whole")]
    assert results[0]["confusion"] == results[1]["confusion"]


@pytest.mark.parametrize("stage", ["explain_run", "write_report"])
def test_ctrl_c_after_training_keeps_the_run_and_says_how_to_resume(
    stage: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    with monkeypatch.context() as patch:
        real = getattr(results, stage)

        def press(*args: Any, **settings: Any) -> Any:
            os.kill(os.getpid(), signal.SIGINT)
            return real(*args, **settings)

        patch.setattr(results, stage, press)
        with pytest.raises(KeyboardInterrupt, match=rf"--resume {tmp_path}/run"):
            train(recipe(home / "data" / "bands.npz"), out=tmp_path / "run")
    run = resume(tmp_path / "run")
    assert files(run).keys() == files(open_run(home / "runs" / "whole")).keys()


def test_an_error_after_an_epoch_keeps_the_run(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(Recorder):
        def task(self, name: str, total: float, **settings: Any) -> Any:
            if name.startswith("measuring"):
                raise TrainingError("the disk is gone")
            return super().task(name, total, **settings)

    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    with pytest.raises(TrainingError):
        train(recipe(home / "data" / "bands.npz"), out=tmp_path / "run", progress=Failing())
    assert missing(open_run(tmp_path / "run")) == ["measured", "explained", "explored", "reported"]


def edit(run: Run, **changes: Any) -> None:
    write_text(run.recipe, to_toml(replace(run.config(), **changes)))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda c: {"phases": (replace(c.phases[0], lr=0.1),)}, r"phases\.0\.lr = 0\.1, .* 0\.05"),
        (lambda c: {"phases": c.phases * 2}, r"phases\.1\."),
        (lambda c: {"training": replace(c.training, seed=7)}, r"training\.seed = 7, .* with 0"),
        (lambda c: {"data": replace(c.data, seed=7)}, r"data\.seed = 7, .* with 42"),
        (lambda c: {"evaluation": replace(c.evaluation, target=0.1)}, r"target = 0\.1, .* nothing"),
    ],
)
def test_an_edited_recipe_is_refused_by_the_name_of_the_field(
    change: Callable[[Config], dict[str, Any]], field: str, run: Run
) -> None:
    edit(run, **change(run.config()))
    for command in (resume, evaluate, explain, export):
        with pytest.raises(RunError, match=field):
            command(run.path)
    with pytest.raises(RunError, match=field):
        record([run], "edited", run.path.parent / "results")


def test_what_decides_nothing_may_be_edited(run: Run) -> None:
    config = run.config()
    edit(
        run,
        training=replace(config.training, device="cpu"),
        cache=replace(config.cache, memory=0.5),
    )
    assert evaluate(run)["n"] == 9


def test_a_budgeted_run_may_write_its_steps_but_nobody_else(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    training = {"batch": 16, "precision": "fp32", "budget": 1.0}
    run = train(recipe(home / "data" / "bands.npz", training=training), out=tmp_path / "run")
    resolved = run.config()
    assert resolved.training.budget is None
    assert evaluate(run)["n"] == 9
    # Killed after its last checkpoint, before its steps were written.
    edit(run, training=replace(resolved.training, budget=1.0),
         phases=(replace(resolved.phases[0], steps=None, plan=()),))  # fmt: skip
    resume(run.path)
    evaluate(run)
    edit(run, phases=(replace(resolved.phases[0], steps=1 + (resolved.phases[0].steps or 0)),))
    with pytest.raises(RunError, match=r"phases\.0\.steps"):
        evaluate(run)


def test_data_that_moved_are_named_with_data(
    run: Run, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = tmp_path / "elsewhere" / "renamed.npz"
    moved.parent.mkdir()
    shutil.copy(home / "data" / "bands.npz", moved)
    edit(run, data=replace(run.config().data, source=str(tmp_path / "gone.npz")))
    for command in (["evaluate"], ["export"], ["explain"], ["train", "--resume"]):
        if command[-1] == "--resume":
            run.report.unlink()
        assert main([*command, str(run.path)]) == 1
        assert "there is no such path" in capsys.readouterr().err
        assert main([*command, str(run.path), "--data", str(moved)]) == 0
    assert run.config().data.source.endswith("gone.npz")
    other = save_images(tmp_path / "other.npz", make_images(90, size=16, seed=1))
    with pytest.raises(DataError, match="missing"):
        explain(run.path, data=str(other))
    capsys.readouterr()
    assert main(["train", "--resume", str(run.path), "--data.size", "8"]) == 2


def test_images_given_by_python_are_enough_for_every_step(tmp_path: Path) -> None:
    images = make_images(90, size=16)
    config = replace(recipe("cifar10"), evaluation=parse(Config, {}).evaluation)
    config = replace(config, evaluation=replace(config.evaluation, target=0.65))
    listener = Recorder()
    run = train(config, out=str(tmp_path / "run"), data=images, progress=listener)
    assert any(line.startswith("the target of 65 % is left out") for line in listener.lines)
    before = evaluate(str(run.path), data=images)
    assert (before["n"], before["target"]) == (9, None)
    assert run.config().data.source == images.name == "bands"
    elsewhere = evaluate(run, data=make_images(30, size=16, seed=1))
    assert (elsewhere["source"], elsewhere["n"], elsewhere["own"]["n"]) == ("bands", 30, 9)
    assert explain(run, data=images)
    with pytest.raises(UsageError, match="overrides: found some beside a Config"):
        train(config, data=images, overrides={"training.seed": 1}, out=tmp_path / "other")
    (run.figures / "per_class.png").unlink()
    assert resume(run.path, data=images) == run
    assert export(run, out=str(tmp_path / "bundle"), data=images).path == tmp_path / "bundle"
    with pytest.raises(DataError, match=r"found images of 32 px .* trained on 16 px"):
        evaluate(run, data=make_images(90))


def test_every_public_function_takes_paths_as_text(run: Run, home: Path, tmp_path: Path) -> None:
    images = str(home / "data" / "bands.npz")
    other = clearsight.train(recipe(images), out=str(tmp_path / "x"))
    assert other.path == tmp_path / "x"
    bundle = clearsight.export(str(run.path), out=str(tmp_path / "bundle"))
    picture = run.figures / "per_class.png"
    written = clearsight.explain(str(bundle), [str(picture)], out=str(tmp_path / "maps"))
    assert [path.parent for path in written] == [tmp_path / "maps"]
    assert clearsight.evaluate(str(run.path))["n"] == 9


def test_a_run_at_work_is_left_alone(run: Run) -> None:
    with at_work(run):
        assert is_at_work(run)
        for command in (resume, evaluate, explain):
            with pytest.raises(RunError, match="another process is at work in it"):
                command(run.path)
        assert evaluate(run, tta="flip")["tta"] == "flip"  # which writes nothing
    assert not is_at_work(run)


def test_the_name_is_reserved_before_the_images_are_decoded(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two trainings with the default name, the second begun while the first decodes."""
    monkeypatch.chdir(tmp_path)
    config = recipe(save_images(tmp_path / "data" / "new.npz", make_images(90, size=16)))
    second: list[Path] = []

    class Decoding(Recorder):
        def task(self, name: str, total: float, **settings: Any) -> Any:
            if not second:
                second.append(train(config).path)
            return super().task(name, total, **settings)

    first = train(config, progress=Decoding()).path
    assert second == [first.with_name(f"{first.name}-2")]
    assert missing(open_run(first)) == missing(open_run(second[0])) == []


def test_a_training_that_fails_before_its_first_epoch_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = save_images(tmp_path / "bands.npz", make_images(90, size=16))
    settings = {
        "training": {"batch": 4, "precision": "fp32"},
        "phases": [{"epochs": 1, "lr": 1e4, "weight_decay": 1e3, "schedule": "constant"}],
    }
    for out in (None, "runs/x", "a/b/c"):
        with pytest.raises(DataError):
            train(recipe("absent.npz"), out=out)
        with pytest.raises(TrainingError):
            train(recipe(data, **settings), out=out)
    assert [path.name for path in tmp_path.iterdir()] == ["bands.npz"]


def test_a_run_killed_before_its_first_epoch_survives_a_resume_that_fails(
    run: Run, home: Path
) -> None:
    shutil.rmtree(run.path / "checkpoints")
    run.split.unlink()
    source = run.config().data.source
    edit(run, data=replace(run.config().data, source="absent.npz"))
    with pytest.raises(DataError):
        resume(run.path)
    edit(run, data=replace(run.config().data, source=source))
    resume(run.path)
    assert files(run).keys() == files(open_run(home / "runs" / "whole")).keys()


def test_a_folder_that_cant_be_written_is_one_sentence(home: Path) -> None:
    with pytest.raises(FileError, match="can't be written"):
        train(recipe(home / "data" / "bands.npz"), out="/proc/nothing/run")


def test_test_images_that_are_training_images_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = make_images(96, size=16)
    pixels = images.images.copy()
    pixels[90:93] = pixels[0:3]  # three of the twelve test images, one of each class
    parts = ["train"] * 84 + ["test"] * 12
    data = save_images(tmp_path / "copied.npz", replace(images, images=pixels), parts)
    listener = Recorder()
    run = train(recipe(data), out=tmp_path / "run", progress=listener)
    assert any(
        line.startswith("warning: 3 of 12 images to measure on are copies of training images")
        for line in listener.lines
    )
    evaluation = read_json(run.evaluation)
    assert evaluation["copies"] == 3
    assert evaluation["accuracy_without_copies"]["n"] == 9
    assert evaluation["near_duplicates"] >= 3, "copies count among them"
    slices = read_json(run.slices)
    assert slices["n"] == 12
    assert sum(row["n"] for row in slices["slices"] if row["property"] == "near duplicates") == 12
    sentence = "3 of 12 test images are copies of training images; without them the accuracy is"
    assert sentence in run.report.read_text("utf-8")
    card = (export(run).path / "MODEL_CARD.md").read_text("utf-8")
    assert sentence in card
    assert model_card(read_json(run.bundle / "bundle.json")) == card
    assert read_bundle(run.bundle).metrics["copies"] == 3
