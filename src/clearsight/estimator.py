"""`ClearsightClassifier`: recipes as a scikit-learn classifier."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
from PIL import Image
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from clearsight.bundle.format import MANIFEST
from clearsight.bundle.predict import Predictor, load
from clearsight.config.recipes import load_recipe
from clearsight.data.memory import from_arrays, pixels_of
from clearsight.errors import UsageError
from clearsight.files import replacing
from clearsight.notebook import shown
from clearsight.progress import SILENT
from clearsight.workflows.fitting import fit_bundle


class ClearsightClassifier(ClassifierMixin, BaseEstimator):
    """A recipe as a scikit-learn classifier of images.

    `recipe` is the name of a shipped one or a TOML file. Every other keyword is a field of it, with
    two underscores for each dot: `training__budget="30s"`, `phases__0__lr=0.1`. In `GridSearchCV`
    and pipelines they are parameters like any other. With `verbose`, fitting shows its progress in
    a notebook.

    X is what `from_arrays` takes: uint8 [N, H, W, 3] or [N, H, W], or a list of Pillow images or of
    arrays of any size; y are N labels, numbers or text; `score` is the accuracy. There are no
    `n_features_in_`, for images have none, and scikit-learn's `check_estimator` does not apply: it
    fits tables of numbers.

    After `fit`:

    - `classes_`: the labels, sorted; columns of `predict_proba` are in their order
    - `bundle_`: the exported bundle, bytes by file name. A pickle holds these and no code; like any
      pickle it is opened only where its source is trusted, while `export` writes a bundle, which
      `clearsight.load` reads safely
    - `evaluation_`: as `evaluation.json`, measured on the validation part that `fit` set aside
    """

    classes_: np.ndarray
    bundle_: dict[str, bytes]
    evaluation_: dict[str, Any]

    def __init__(
        self, recipe: str | Path = "transfer", *, verbose: bool = False, **fields: Any
    ) -> None:
        self.recipe = recipe
        self.verbose = verbose
        self.fields = fields

    def fit(self, X: Any, y: Sequence[Any] | np.ndarray) -> Self:
        """Trains on a part of the images, chooses and calibrates on the rest.

        The share of the rest is the recipe's `data.validation`; nothing is set aside for testing,
        for X is the training side. The run is not kept: use `train` for one with a report. The
        export at its end takes some seconds. Raises `ClearsightError`s, and scikit-learn's
        `ValueError` for labels that are no classes.
        """
        labels = np.asarray(y)
        if labels.ndim != 1:
            raise UsageError(f"y: found shape {list(labels.shape)}, expected one label per image")
        check_classification_targets(labels)
        classes, numbers = np.unique(labels, return_inverse=True)
        overrides = {name.replace("__", "."): value for name, value in self.fields.items()}
        config = load_recipe(self.recipe, {"data": "arrays", "data.test": 0} | overrides)
        images = from_arrays(
            X, numbers, [str(name) for name in classes], size=config.data.size, fit=config.data.fit
        )
        try:
            with TemporaryDirectory(prefix="clearsight-") as folder:
                progress = shown(None) if self.verbose else SILENT
                bundle = fit_bundle(config, images, Path(folder) / "run", progress)
                names = [MANIFEST, *bundle.sha256]
                files = {name: (bundle.path / name).read_bytes() for name in names}
                predictor = load(bundle)
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt("the classifier is not fitted, and its run not kept") from error
        self.bundle_, self.evaluation_ = files, bundle.metrics
        self.classes_, self._predictor = classes, predictor
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label of each image, [N], of the kind that y had."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Calibrated probabilities, float32 [N, K], in the order of `classes_`."""
        check_is_fitted(self)
        found = self._loaded().predict(map(Image.fromarray, pixels_of(X)))
        return np.array([list(each.probabilities.values()) for each in found], np.float32)

    def export(self, out: str | Path) -> Path:
        """Writes the bundle into the folder `out`, which must not exist yet; returns its path."""
        check_is_fitted(self)
        if Path(out).exists():
            raise UsageError(f"{out}: exists already; choose another folder or remove it")
        with replacing(Path(out)) as folder:
            folder.mkdir()
            for name, content in self.bundle_.items():
                (folder / name).write_bytes(content)
        return Path(out)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """`recipe`, `verbose`, and the fields of the recipe that were given."""
        return {**super().get_params(deep), **self.fields}

    def set_params(self, **params: Any) -> Self:
        """Changes these, and leaves the others; any field of the recipe may be given."""
        for name, value in params.items():
            if name in ("recipe", "verbose"):
                setattr(self, name, value)
            else:
                self.fields = {**self.fields, name: value}
        return self

    def _loaded(self) -> Predictor:
        if not hasattr(self, "_predictor"):  # after pickling
            with TemporaryDirectory(prefix="clearsight-") as folder:
                self._predictor = load(self.export(Path(folder) / "bundle"))
        return self._predictor

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_predictor"}

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags
