"""MLflow's store: by default an SQLite file beside the run folders, made whole by one process."""

import logging
import os
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearsight.errors import FileError
from clearsight.files import locked, remove_empty, replacing
from clearsight.runs import Run, is_at_work

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

EXPERIMENT = "clearsight"
DATABASE = "mlflow.db"
FOLDER_TAG = "run_folder"
SEEDS_TAG = "clearsight.seeds"
PARENT_TAG = "mlflow.parentRunId"

# A server that is gone shall be noticed in seconds; MLflow's own defaults try for minutes.
QUICK_TO_FAIL = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
NO_TELEMETRY = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


def store_uri(folder: Path) -> str:
    """Where the runs in `folder` are tracked: `$MLFLOW_TRACKING_URI`, else `folder/mlflow.db`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or sqlite_uri(folder.resolve() / DATABASE)


def sqlite_uri(path: Path) -> str:
    """The URI of an SQLite file, whatever characters are in its path."""
    from sqlalchemy import URL

    uri = URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)
    if database(uri) != path:  # SQLAlchemy 2.0 does not quote
        raise FileError(f"{path}: SQLAlchemy 2.1 or newer is needed for a path with ? or %")
    return uri


def database(uri: str) -> Path | None:
    """The file of an SQLite URI; None for another store, such as a server."""
    if not uri.startswith("sqlite:"):
        return None
    from sqlalchemy import make_url

    name = make_url(uri).database
    return Path(name) if name and name != ":memory:" else None


def load_client() -> "type[MlflowClient]":
    """MLflow's client class, imported with telemetry off and its log kept quiet."""
    os.environ.update(NO_TELEMETRY)
    for name, value in QUICK_TO_FAIL.items():
        os.environ.setdefault(name, value)
    from mlflow.tracking import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return MlflowClient


def open_client(uri: str) -> "MlflowClient":
    """MLflow's client on the store at `uri`; an SQLite database that is not there yet is made.

    Of several processes one makes it, and a killed one leaves no half of it. Raises `FileError`
    with the remedy where the database is damaged or of another version of MLflow.
    """
    path = database(uri)
    if path is None:
        return load_client()(uri, registry_uri=uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.parent), _one_sentence(path, uri):
        if not path.exists() or path.stat().st_size == 0:
            with replacing(path) as temporary:
                _connect(sqlite_uri(temporary))
        _check_readable(path)
        return _connect(uri)


def experiment_of(client: "MlflowClient", folder: Path) -> str:
    """The id of the experiment of the runs in `folder`, which is made where it is not there yet.

    It is called `clearsight`, or `$MLFLOW_EXPERIMENT_NAME`. Raises `FileError` where it was
    deleted.
    """
    from mlflow.exceptions import MlflowException

    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
    found = client.get_experiment_by_name(name)
    if found is None:
        local = database(client.tracking_uri) is not None
        artifacts = (folder.resolve() / "mlflow-artifacts").as_uri() if local else None
        try:
            return client.create_experiment(name, artifact_location=artifacts)
        except MlflowException:  # another process was quicker, or it really can't be made
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        raise FileError(
            f"{client.tracking_uri}: its experiment {name!r} was deleted; name another in "
            f"$MLFLOW_EXPERIMENT_NAME, or bring it back with `mlflow experiments restore "
            f"--experiment-id {found.experiment_id}` under this $MLFLOW_TRACKING_URI"
        )
    return found.experiment_id


def end_killed_runs(client: "MlflowClient") -> int:
    """Marks as KILLED what is RUNNING in the store though no process is at work in it; counts it.

    A run that is resumed later becomes RUNNING, then FINISHED. Runs of others than clearsight, and
    folders that are not on this machine, are left alone.
    """
    every = [experiment.experiment_id for experiment in client.search_experiments()]
    running = client.search_runs(every, "attributes.status = 'RUNNING'", max_results=1000)
    killed = [run for run in running if _is_killed(run)]
    ended = {run.info.run_id for run in killed}
    alive = {run.data.tags.get(PARENT_TAG) for run in running if run.info.run_id not in ended}
    killed += [
        run for run in running if SEEDS_TAG in run.data.tags and run.info.run_id not in alive
    ]
    for run in killed:
        client.set_tag(run.info.run_id, "ended", "its process was killed")
        client.set_terminated(run.info.run_id, "KILLED")
    return len(killed)


def _is_killed(found: Any) -> bool:
    folder = found.data.tags.get(FOLDER_TAG)
    return bool(folder) and Path(folder).is_dir() and not is_at_work(Run(Path(folder)))


def _connect(uri: str) -> "MlflowClient":
    """A client whose stores are open. Removes the folders that MLflow makes for a quoted path."""
    try:
        client = load_client()(uri, registry_uri=uri)
        client.search_experiments(max_results=1)
        client.search_registered_models(max_results=1)
        return client
    finally:
        quoted = Path(uri.removeprefix("sqlite:///"))
        if quoted != database(uri):
            remove_empty(quoted.parents)


def _check_readable(path: Path) -> None:
    """Raises `sqlite3.DatabaseError` at once; MLflow would try a damaged file for two minutes."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=20)) as connection:
        connection.execute("SELECT name FROM sqlite_master").fetchall()


@contextmanager
def _one_sentence(path: Path, uri: str) -> Generator[None]:
    """What MLflow, SQLAlchemy, Alembic and SQLite say of a bad database, with the remedy."""
    try:
        yield
    except (FileError, OSError):
        raise
    except Exception as error:  # they have no base in common
        reason = " ".join(str(error).split())[:200]
        raise FileError(
            f"{path}: MLflow can't use this database ({reason}); move it away, and a new one is "
            "made (the run folders have everything), or take the MLflow that made it; for one of "
            f"an older MLflow, `mlflow db upgrade {uri}`"
        ) from error
