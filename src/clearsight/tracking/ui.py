"""MLflow's own web page over the tracked runs of a folder, on loopback."""

import json
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from clearsight.errors import UsageError
from clearsight.progress import SILENT, Progress
from clearsight.tracking.store import (
    DATABASE,
    NO_TELEMETRY,
    database,
    end_killed_runs,
    experiment_of,
    open_client,
    store_uri,
)

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

HOST = "127.0.0.1"
# MLflow's page keeps the columns that a reader chose in the browser, and shows no metric at first.
# What a link with this key shows is a tag of the experiment.
VIEW = "clearsight"
COLUMNS = ("accuracy", "accuracy_low", "accuracy_high", "n", "training_seconds")


def ui_command(folder: Path, port: int) -> tuple[list[str], dict[str, str], Path]:
    """(arguments, environment, working folder) of MLflow's server over the runs in `folder`.

    Raises `UsageError` where MLflow's page is not installed, the runs are tracked elsewhere, or
    none was tracked yet.
    """
    try:
        version("mlflow")  # the client alone is called mlflow-skinny
    except PackageNotFoundError as error:
        raise UsageError(
            "ui: MLflow's page is not installed; pip install 'clearsight[ui]'"
        ) from error
    uri = store_uri(folder)
    path = database(uri)
    if path is None:
        raise UsageError(f"ui: $MLFLOW_TRACKING_URI names {uri}; open that in a browser instead")
    if not path.is_file():
        raise UsageError(
            f"ui: found no {DATABASE} in {folder}; `clearsight train` makes it, "
            "or name the folder of your runs"
        )
    # Relative, for the server makes a folder under the quoted name of one such as `what?`.
    uri = f"sqlite:///{path.name}"
    arguments = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri,
        "--registry-store-uri", uri, "--host", HOST, "--port", str(port), "--workers", "1",
        "--uvicorn-opts", "--log-level error",
    ]  # fmt: skip
    environment = {
        **os.environ,
        **NO_TELEMETRY,
        "PYTHONWARNINGS": "ignore",  # MLflow's and Starlette's own, of no use to the reader
        "MLFLOW_LOGGING_LEVEL": "ERROR",
        # Job execution serves what is not used here, and triples the memory.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    return arguments, environment, path.parent


def serve_ui(folder: Path, port: int, progress: Progress = SILENT) -> None:
    """Becomes MLflow's server, so that Ctrl-C and signals reach it. Does not return.

    Before that, runs whose process was killed are marked so, and the page's address is said.
    """
    arguments, environment, place = ui_command(folder, port)
    client = open_client(store_uri(folder))
    end_killed_runs(client)
    experiment = experiment_of(client, folder)
    set_view(client, experiment)
    progress.say(
        f"the runs in {folder}, in some seconds, until Ctrl-C: "
        f"http://{HOST}:{port}/#/experiments/{experiment}/runs?viewStateShareKey={VIEW}"
    )
    os.chdir(place)
    os.execve(arguments[0], arguments, environment)


def set_view(client: "MlflowClient", experiment: str) -> None:
    """Has the page show the experiment as training of models, and metrics as columns."""
    columns = ["attributes.`Run Name`", *(f"metrics.`{name}`" for name in COLUMNS), "tags.`recipe`"]
    view = json.dumps({"selectedColumns": columns})
    client.set_experiment_tag(experiment, f"mlflow.sharedViewState.{VIEW}", view)
    client.set_experiment_tag(experiment, "mlflow.experimentKind", "custom_model_development")
