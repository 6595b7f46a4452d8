"""The run folder: created once, written whole or not at all."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest

from clearsight.config.recipes import load_recipe
from clearsight.config.schema import Config
from clearsight.errors import FileError, RunError
from clearsight.files import read_csv, read_json, recover, replacing, write_csv, write_json
from clearsight.runs import create_numbered_run, create_run, open_run


def test_a_new_run_holds_its_recipe_and_environment(tmp_path: Path) -> None:
    run = create_run(tmp_path / "deep" / "run", load_recipe("digits"), {"cpu": "some"})
    assert open_run(run.path).config() == load_recipe("digits")
    assert "some" in run.environment.read_text()


def test_a_folder_with_content_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match=r"exists already; choose another --out"):
        create_run(tmp_path, Config(), {})
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_what_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such folder"):
        open_run(tmp_path / "absent")
    with pytest.raises(RunError, match=r"no recipe\.toml in it"):
        open_run(tmp_path)


def test_figures_are_had_by_name(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", Config(), {})
    with pytest.raises(RunError, match="it has no figure 'x'; it has none"):
        run.figure("x")
    run.figures.mkdir()
    for name in ("a", "b"):
        (run.figures / f"{name}.png").write_bytes(b"")
    assert run.figure("b", "a") == [run.figures / "b.png", run.figures / "a.png"]
    with pytest.raises(RunError, match="it has no figure 'x'; it has a, b"):
        run.figure("a", "x")


def test_a_run_that_was_not_measured_says_how_to_finish_it(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", Config(), {})
    assert repr(run) == f"Run('{run.path}')"
    assert "not finished; clearsight.resume(" in run._repr_html_()


def test_a_path_that_cant_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match=r"can't be written \(Not a directory\)"):
        create_run(tmp_path / "file" / "run", Config(), {})


def test_a_run_folder_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        create_run(tmp_path / "deep" / "run", Config(), {"load": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_csv_that_is_missing_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"history\.csv: can't be read"):
        read_csv(tmp_path / "history.csv")


def test_new_runs_are_dated_named_and_numbered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_recipe("digits", {"training.seed": 3})
    first = create_numbered_run(config, {}).path
    assert first == Path("runs") / f"{datetime.now().astimezone().date()}-digits-s3"
    assert create_numbered_run(config, {}).path.name == f"{first.name}-2"


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="Out of range"):
        write_json(path, {"a": float("nan")})
    assert path.read_text() == '{\n  "a": 1\n}\n'

    def interrupted() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == '{\n  "a": 1\n}\n'
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_whole_and_recovered_if_cut_short(tmp_path: Path) -> None:
    folder = tmp_path / "last"
    for content in ("one", "two"):
        with replacing(folder) as temporary:
            temporary.mkdir()
            (temporary / "x").write_text(content)
    assert (folder / "x").read_text() == "two"
    assert list(tmp_path.iterdir()) == [folder]
    # The state in which a killed process may leave it: the old one aside, the new one not there.
    folder.rename(tmp_path / ".last.old")
    recover(folder)
    assert (folder / "x").read_text() == "two"


def test_csv_keeps_numbers_and_gaps(tmp_path: Path) -> None:
    rows = [{"epoch": 1, "loss": 0.5, "name": "a"}, {"epoch": 2, "loss": None, "name": "b"}]
    write_csv(tmp_path / "h.csv", rows)
    assert read_csv(tmp_path / "h.csv") == rows


def test_of_several_that_want_a_name_one_gets_it(tmp_path: Path) -> None:
    def create(number: int) -> bool:
        try:
            create_run(tmp_path / "run", Config(name=f"c{number}"), {"number": number})
        except RunError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(create, range(8)))
    assert got.count(True) == 1
    run = open_run(tmp_path / "run")
    winner = got.index(True)
    assert (run.config().name, read_json(run.environment)) == (f"c{winner}", {"number": winner})


def test_several_that_take_the_default_name_get_one_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda n: create_numbered_run(Config(), {"n": n}), range(4)))
    assert len({run.path for run in runs}) == 4
    assert [read_json(run.environment)["n"] for run in runs] == [0, 1, 2, 3]


def test_a_run_may_lie_in_an_empty_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert create_run(Path(), Config(), {}).recipe.is_file()
    with pytest.raises(RunError, match="exists already"):
        create_run(Path(), Config(), {})
