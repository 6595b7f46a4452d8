"""MLflow's own web page over the tracked runs of a folder, on loopback."""

import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from clearsight.errors import UsageError
from clearsight.tracking.mlflow import DATABASE, NO_TELEMETRY, store_uri

HOST = "127.0.0.1"


def ui_command(folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
    """(arguments, environment) of MLflow's server over the runs in `folder`, at `port`.

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
    if not uri.startswith("sqlite:"):
        raise UsageError(f"ui: $MLFLOW_TRACKING_URI names {uri}; open that in a browser instead")
    if not Path(uri.removeprefix("sqlite:///")).is_file():
        raise UsageError(
            f"ui: found no {DATABASE} in {folder}; `clearsight train` makes it, "
            "or name the folder of your runs"
        )
    arguments = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--host", HOST,
        "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    # Job execution serves what is not used here, and triples the memory.
    return arguments, {**os.environ, **NO_TELEMETRY, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def serve_ui(folder: Path, port: int) -> None:
    """Becomes MLflow's server, so that Ctrl-C and signals reach it. Does not return."""
    arguments, environment = ui_command(folder, port)
    os.execve(arguments[0], arguments, environment)
