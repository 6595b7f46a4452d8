"""MLflow's database: made once and whole, found under any name, refused with the remedy."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from clearsight.cli import main
from clearsight.errors import FileError
from clearsight.runs import Run, at_work
from clearsight.tracking.store import (
    database,
    end_killed_runs,
    experiment_of,
    open_client,
    sqlite_uri,
    store_uri,
)

BEGIN = """
import sys
from pathlib import Path
from clearsight.tracking.store import experiment_of, open_client, store_uri
folder = Path(sys.argv[1])
client = open_client(store_uri(folder))
client.create_run(experiment_of(client, folder))
"""


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of the installed MLflow; tests take copies, for making one takes seconds."""
    path = tmp_path_factory.mktemp("fresh") / "mlflow.db"
    open_client(sqlite_uri(path))
    return path


@pytest.fixture
def path(fresh: Path, tmp_path: Path) -> Path:
    shutil.copy(fresh, tmp_path)
    return tmp_path / "mlflow.db"


@pytest.mark.slow
def test_four_processes_that_start_together_share_one_database(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", BEGIN, str(tmp_path / "runs")],
            env=environment, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(4)
    ]  # fmt: skip
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    client = open_client(sqlite_uri(tmp_path / "runs" / "mlflow.db"))
    names = [experiment.name for experiment in client.search_experiments()]
    assert sorted(names) == ["Default", "clearsight"]
    experiment = client.get_experiment_by_name("clearsight")
    assert experiment is not None
    assert len(client.search_runs([experiment.experiment_id])) == 4
    assert [each.name for each in (tmp_path / "runs").iterdir()] == ["mlflow.db"]


@pytest.mark.parametrize("name", ["what?", "a#b", "50%41 done", "two words", "ünï", "a&b=c;d"])
def test_a_folder_of_any_name_has_its_database_in_it(
    name: str, fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    folder = tmp_path / name / "runs"
    folder.mkdir(parents=True)
    shutil.copy(fresh, folder)
    uri = store_uri(folder)
    assert database(uri) == folder / "mlflow.db"
    client = open_client(uri)
    client.create_run(experiment_of(client, folder))
    with closing(sqlite3.connect(folder / "mlflow.db")) as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (1,)
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_the_store_lies_beside_the_runs_or_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.chdir("/")
    assert store_uri(Path("runs")) == "sqlite:////runs/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000")
    assert store_uri(Path("runs")) == "http://localhost:5000"
    assert database("http://localhost:5000") is None
    assert database("sqlite:///:memory:") is None


def damage(path: Path) -> None:
    path.write_bytes(b"this is no database" * 100)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 3)


def change(*statements: str) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()

    return apply


@pytest.mark.parametrize(
    "spoil",
    [
        damage,
        cut,
        change("UPDATE alembic_version SET version_num = 'ffffffffffff'"),  # of a newer MLflow
        change(  # a migration that was cut short
            "UPDATE alembic_version SET version_num = '451aebb31d03'", "DROP TABLE latest_metrics"
        ),
        change("DROP TABLE alembic_version"),
    ],
    ids=["damaged", "cut", "newer", "half-migrated", "no version"],
)
def test_a_database_that_cant_be_used_is_one_sentence_with_the_remedy(
    spoil: Callable[[Path], None], path: Path
) -> None:
    spoil(path)
    with pytest.raises(
        FileError, match=r"MLflow can't use this database \(.+move it away"
    ) as found:
        open_client(sqlite_uri(path))
    assert str(path) in str(found.value)
    assert "\n" not in str(found.value)


def test_an_empty_file_becomes_a_database(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    path.touch()
    assert open_client(sqlite_uri(path)).search_experiments()[0].name == "Default"


def test_a_deleted_experiment_is_named_with_the_remedy(path: Path) -> None:
    client = open_client(sqlite_uri(path))
    client.delete_experiment(experiment_of(client, path.parent))
    with pytest.raises(FileError, match=r"'clearsight' was deleted; name another in \$MLFLOW_EXP"):
        experiment_of(client, path.parent)


def test_a_run_whose_database_is_damaged_is_trained_all_the_same(
    tmp_path: Path, new_run: Callable[..., Run], follow: Callable[..., None], screen: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    damage(tmp_path / "mlflow.db")
    follow(new_run(tmp_path / "run", "mlflow"))
    assert len(screen.lines) == 1
    assert screen.lines[0].startswith("warning: tracking stopped (")
    assert "move it away" in screen.lines[0]


def test_commands_name_a_damaged_database(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    damage(tmp_path / "mlflow.db")
    for words in (["registry", "list", "--runs", str(tmp_path)], ["ui", str(tmp_path)]):
        assert main(words) == 1
        assert "MLflow can't use this database" in capsys.readouterr().err


def test_killed_runs_are_ended_and_the_others_left_alone(
    path: Path, new_run: Callable[..., Run]
) -> None:
    client = open_client(sqlite_uri(path))
    experiment = experiment_of(client, path.parent)

    def track(folder: str, **tags: str) -> str:
        run = client.create_run(experiment, tags={"run_folder": folder, **tags})
        return run.info.run_id

    lost, alive = (new_run(path.parent / name, "mlflow") for name in ("lost", "alive"))
    parents = [client.create_run(experiment, tags={"clearsight.seeds": s}) for s in ("a", "b")]
    killed, running = (
        track(str(run.path), **{"mlflow.parentRunId": parent.info.run_id})
        for run, parent in zip((lost, alive), parents, strict=True)
    )
    elsewhere = track(str(path.parent / "on another machine"))
    foreign = client.create_run(experiment).info.run_id
    with at_work(alive):
        assert end_killed_runs(client) == 2
    status = {
        name: client.get_run(run).info.status
        for name, run in {
            "killed": killed, "running": running, "elsewhere": elsewhere, "foreign": foreign,
            "parent of killed": parents[0].info.run_id, "parent": parents[1].info.run_id,
        }.items()
    }  # fmt: skip
    assert status == {
        "killed": "KILLED", "running": "RUNNING", "elsewhere": "RUNNING", "foreign": "RUNNING",
        "parent of killed": "KILLED", "parent": "RUNNING",
    }  # fmt: skip
    assert client.get_run(killed).data.tags["ended"] == "its process was killed"
