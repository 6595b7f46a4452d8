"""The command line as a user meets it: what it prints where, and how it exits."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import clearsight
from clearsight.cli import main
from clearsight.config.describe import settings
from clearsight.config.schema import Config
from clearsight.errors import DataError
from clearsight.files import write_json
from clearsight.runs import create_run

RECIPE = '[data]\nsource = "digits"\n[[phases]]\nepochs = 1\n'

ENVIRONMENT = {"started": "2025-01-02T03:04:05+00:00"}


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    path = tmp_path / "my.toml"
    path.write_text(RECIPE, "utf-8")
    return str(path)


def test_version_and_help_go_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == clearsight.__version__
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for command in ("train", "evaluate", "explain", "export", "predict", "audit", "runs", "demo"):
        assert command in out


def test_help_of_train_shows_every_field_of_the_configuration(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["train", "--help"]) == 0
    out = capsys.readouterr().out
    words = " ".join(out.split())
    rows = [row for _, rows in settings() for row in rows]
    assert len(rows) > 40
    for row in rows:
        assert f"{row.flag} {row.type} {' '.join(row.help.split())}" in words
        if row.default:
            assert f"[default: {row.default}]" in words


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("trian", 'Unknown command "trian". Did you mean "train"?'),
        ("train", "found no recipe"),
        ("train {recipe} --data.sise 3", "data.sise: no such setting (did you mean 'size'?)"),
        ("train {recipe} --phases.0.epoch=3", "no such setting (did you mean 'epochs'?)"),
        ("train {recipe} --data.size x", "data.size: found 'x', expected a whole number"),
        ("train {recipe} --data.size", "--data.size: found no value"),
        ("train {recipe} --budget 5x", "training.budget: found '5x'"),
        ("train {recipe} --seed one", 'Invalid value for --seed: unable to convert "one"'),
        (
            "train {recipe} --epochs 3",
            "a field of the recipe: write --phases.0.epochs.",
        ),
        ("train {recipe} --lr=0.1", "write --phases.0.lr."),
        ("train --batch 64 {recipe}", "write --training.batch."),
        ("train {recipe} --batch-size 64", "write --training.batch."),
        ("train {recipe} --learning-rate 1", "write --phases.0.lr."),
        ("train {recipe} --size 64", "write --data.size or --model.size."),
        ("train {recipe} --weight-decay 1", "write --phases.0.weight_decay."),
        ("train {recipe} --dta pets", "Did you mean --data?"),
        ("train {recipe} --budget 5", "found '5', expected a duration with its unit"),
        ("train {recipe} --training.budget=5", "found '5', expected a duration with its unit"),
        ("demo --budget 5", "--budget: found '5', expected a duration with its unit"),
        ("train {recipe} --seeds 0", "--seeds: found 0"),
        ("train {recipe} --resume run", "--resume: found other settings beside it"),
        ("train nothing.toml", "recipe nothing.toml: can't be read"),
        ("train {recipe} --data.source.x 1", "data.source has no settings of its own"),
        ("evaluate", "parameter RUN requires an argument"),
        ("predict bundle a.png --json --csv", "found both --json and --csv"),
        ("record run", "parameter --name requires an argument"),
    ],
)
def test_wrong_use_is_one_sentence_on_stderr_and_exit_code_2(
    words: str, message: str, recipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.format(recipe=recipe).split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message.lower() in err.lower()


def test_work_that_fails_exits_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["record", "nowhere", "--name", "x"]) == 1
    assert capsys.readouterr().err.startswith("error: run nowhere: no such folder")


def test_debug_adds_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["record", "nowhere", "--name", "x", "--debug"]) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("error: run nowhere")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (KeyboardInterrupt("resume with X"), 130, "interrupted: resume with X\n"),
        (DataError("a file is bad"), 1, "error: a file is bad\n"),
        (OSError(28, "No space left on device", "x.bin"), 1, "error: x.bin: No space left"),
        (MemoryError(), 1, "error: out of memory"),
        (RuntimeError("Could not determine home directory."), 1, "error: found no home directory"),
        (ZeroDivisionError("by zero"), 1, "error: unexpected ZeroDivisionError (by zero)"),
    ],
)
def test_what_a_command_raises_becomes_a_line_and_a_code(
    error: BaseException,
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(folder: Path) -> None:
        raise error

    monkeypatch.setattr("clearsight.ledger.list_runs", fail)
    assert main(["runs"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(message)
    assert err.count("\n") == 1


def test_a_reader_that_goes_away_ends_the_command_quietly(tmp_path: Path) -> None:
    for number in range(300):
        create_run(tmp_path / f"run{number}", Config(), ENVIRONMENT)
    command = f"'{sys.executable}' -m clearsight runs '{tmp_path}' | head -1"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert result.stdout.startswith("run ")
    assert result.stderr == ""


def test_recipes_lists_and_shows(capsys: pytest.CaptureFixture[str], recipe: str) -> None:
    assert main(["recipes"]) == 0
    assert "airnet94" in capsys.readouterr().out
    assert main(["recipes", recipe]) == 0
    assert capsys.readouterr().out == RECIPE
    assert main(["recipes", recipe, "--json"]) == 0
    table = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert table["data"]["source"] == "digits"
    assert table["phases"][0]["epochs"] == 1.0


def test_runs_lists_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["runs", str(tmp_path)]) == 0
    assert "no runs in" in capsys.readouterr().out
    create_run(tmp_path / "first", Config(name="resnet20"), ENVIRONMENT)
    assert main(["runs", str(tmp_path)]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["run", "recipe", "data"]
    assert row.split()[1:5] == ["resnet20", "cifar10", "0", "started"]
    assert main(["runs", str(tmp_path), "--json"]) == 0
    [entry] = json.loads(capsys.readouterr().out)["runs"]
    assert entry["state"] == "started"


def test_runs_in_a_terminal_of_80_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    for name, n, value in (("20260102-transfer-8000-s0", 10_000, 1.0), ("a", 20, 0.05)):
        run = create_run(Path("runs") / name, Config(name="transfer"), ENVIRONMENT)
        accuracy = {"value": value, "low": 0.05, "high": value}
        write_json(
            run.evaluation,
            {"split": "test", "n": n, "tta": "flip", "accuracy": accuracy,
             "phases": [{"seconds": 40}, {"seconds": 3600}]},
        )  # fmt: skip
    assert main(["runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    head, first, second = lines
    assert head.split()[0] == "run"
    assert "100.00 %  5.00–100.00 %" in first
    assert "5.00 %    5.00–5.00 %" in second
    # Numbers end below each other.
    assert first.index(" %") == second.index(" %")
    assert "1:00:40" in first


def test_runs_of_no_folder_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", str(tmp_path / "nosuch")]) == 1
    assert "nosuch: no such folder" in capsys.readouterr().err


def test_recipes_fit_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80


def test_figures_do_not_depend_on_the_users_matplotlib(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("no such key: 3\nfigure.facecolor: red\n", "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "clearsight", "audit", "digits", "--out", "figures"],
        cwd=tmp_path, env=os.environ | {"MPLBACKEND": "module://no_such_notebook"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in (tmp_path / "figures").iterdir()} >= {"sample_images.png"}
