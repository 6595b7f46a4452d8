"""A bundle as an MLflow model: `mlflow.pyfunc` loads it by this module's name, without a pickle.

MLmodel     says that `clearsight.bundle.mlflow_flavor` loads the folder `bundle`
bundle/     the bundle, unchanged
"""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from clearsight.bundle.format import copy_bundle, read_bundle
from clearsight.bundle.predict import Predictor, load
from clearsight.errors import UsageError
from clearsight.files import replacing, write_json

MODEL, FOLDER = "MLmodel", "bundle"


@dataclass(frozen=True)
class BundleModel:
    """What `mlflow.pyfunc` calls."""

    predictor: Predictor

    def predict(self, images: Any, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """One dict per image, as `clearsight predict --json` prints them.

        `images`: as `Predictor.predict`. Raises `UsageError` for `params`; there are none.
        """
        if params:
            raise UsageError(f"params: found {', '.join(params)}; a bundle takes none")
        return [prediction.to_dict() for prediction in self.predictor.predict(images)]


def write_model(bundle: Path | str, out: Path) -> Path:
    """Writes the MLflow model of a bundle as the folder `out`, which must not exist yet."""
    read = read_bundle(bundle)
    if out.exists():
        raise UsageError(f"{out}: exists already; choose another folder for the MLflow model")
    with replacing(out) as folder:
        folder.mkdir()
        copy_bundle(read, folder / FOLDER)
        metadata = {
            "flavors": {
                "python_function": {
                    "loader_module": __name__,
                    "data": FOLDER,
                    "python_version": platform.python_version(),
                },
                "clearsight": {"version": version("clearsight"), "data": FOLDER},
            }
        }
        write_json(folder / MODEL, metadata)  # the file is YAML, and JSON is YAML
    return out


def _load_pyfunc(path: str) -> BundleModel:
    """MLflow's entry: the model of the bundle in folder `path`."""
    return BundleModel(load(path))
