"""Predictions of a bundle. Torch is imported only where its engine is asked for."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from PIL import Image

from clearsight.bundle import thresholds
from clearsight.bundle.engines import Engine, batch_size, cores, onnx_engine, torch_engine
from clearsight.bundle.format import Bundle, read_bundle
from clearsight.data.decoding import read_image, to_rgb
from clearsight.data.images import fit_image
from clearsight.errors import BundleError, ClearsightError, DataError, UsageError

OneImage = str | os.PathLike[str] | Image.Image | np.ndarray


@dataclass(frozen=True)
class Prediction:
    """What the model says of one image.

    `file`: its path as given, None for pixels; `label`: the most probable class, and its
    `probability`; `probabilities`: of every class, in the order of the bundle's classes.
    Where `sure` was asked for and not met, `label` is None and `reason` says `unsure`.
    `prediction_set`: the classes of the conformal set, likeliest first; None where none was asked
    for.
    """

    file: str | None
    label: str | None
    probability: float
    probabilities: dict[str, float]
    reason: Literal["unsure"] | None = None
    prediction_set: tuple[str, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """As `clearsight predict --json` prints it: without the last two where they are None."""
        optional = ("reason", "prediction_set")
        return {k: v for k, v in asdict(self).items() if v is not None or k not in optional}


@dataclass(frozen=True)
class Failure:
    """An image without a prediction.

    `file`: its path as given, None for pixels; `error`: why it can't be used, and what to do.
    """

    file: str | None
    error: str


@dataclass(frozen=True)
class Predictor:
    """A loaded bundle; `run` maps uint8 [N, S, S, 3] to probabilities float32 [N, K].

    With `truncated`, damaged files are used as far as they can be decoded.
    """

    bundle: Bundle
    engine: Engine
    run: Callable[[np.ndarray], np.ndarray]
    truncated: bool = False

    def predict(
        self,
        images: OneImage | Iterable[OneImage],
        *,
        sure: float | None = None,
        coverage: float | None = None,
    ) -> list[Prediction]:
        """One prediction per image, in their order.

        An image is the path of a file, a Pillow image, or uint8 pixels [H, W, 3]; give one,
        several, or uint8 [N, H, W, 3]. They are opened and fitted as in training. With `sure`, an
        accuracy such as 0.99, labels are held back where they would be right less often; with
        `coverage`, such as 0.9, every image also gets a set of classes that holds the true one
        that often. Both are promises about images like those of the validation part.
        Raises `DataError` for a file that can't be decoded, `UsageError` for other pixels and for
        what can't be promised, `BundleError` where the bundle has no calibration.
        """
        return list(self.stream(images, sure=sure, coverage=coverage))

    @overload
    def stream(
        self,
        images: OneImage | Iterable[OneImage],
        *,
        sure: float | None = None,
        coverage: float | None = None,
        errors: Literal["raise"] = "raise",
    ) -> Iterator[Prediction]: ...

    @overload
    def stream(
        self,
        images: OneImage | Iterable[OneImage],
        *,
        sure: float | None = None,
        coverage: float | None = None,
        errors: Literal["raise", "yield"],
    ) -> Iterator[Prediction | Failure]: ...

    def stream(
        self,
        images: OneImage | Iterable[OneImage],
        *,
        sure: float | None = None,
        coverage: float | None = None,
        errors: Literal["raise", "yield"] = "raise",
    ) -> Iterator[Prediction | Failure]:
        """As `predict`, a batch at a time: memory does not grow with the number of images.

        With `errors="yield"`, a file that can't be decoded gives a `Failure` in its place, and the
        rest goes on; else its `DataError` comes after the predictions of all images before it.
        """
        if errors not in ("raise", "yield"):
            raise UsageError(f"errors: found {errors!r}, expected raise or yield")
        above = None if sure is None else thresholds.sure(self.bundle, sure).probability
        set_from = None if coverage is None else thresholds.set_from(self.bundle, coverage)

        def prediction(file: str | None, row: np.ndarray) -> Prediction:
            return _prediction(file, row, self.bundle.classes, above, set_from)

        return self._stream(_several(images), prediction, errors == "yield")

    def _stream(
        self,
        images: Iterable[OneImage],
        prediction: Callable[[str | None, np.ndarray], Prediction],
        tolerant: bool,
    ) -> Iterator[Prediction | Failure]:
        rest = iter(images)
        with ThreadPoolExecutor(cores()) as pool:
            while batch := list(islice(rest, batch_size(self.bundle.size))):
                fitted = list(pool.map(self._fitted_or_error, batch))
                usable = [pixels for pixels in fitted if isinstance(pixels, np.ndarray)]
                rows = iter(self.run(np.stack(usable)) if usable else ())
                for image, pixels in zip(batch, fitted, strict=True):
                    file = os.fspath(image) if isinstance(image, str | os.PathLike) else None
                    if isinstance(pixels, np.ndarray):
                        yield prediction(file, next(rows))
                    elif tolerant and isinstance(pixels, DataError):
                        yield Failure(file, str(pixels).removeprefix(f"{file}: "))
                    else:
                        raise pixels

    def _fitted_or_error(self, image: OneImage) -> np.ndarray | ClearsightError:
        try:
            return self._fitted(image)
        except ClearsightError as error:
            return error

    def _fitted(self, image: OneImage) -> np.ndarray:
        size, fit = self.bundle.size, self.bundle.fit
        if isinstance(image, str | os.PathLike):
            opened = read_image(Path(image), os.fspath(image), truncated=self.truncated)
            return fit_image(opened, size, fit)
        if isinstance(image, Image.Image):
            return fit_image(to_rgb(image), size, fit)
        if not isinstance(image, np.ndarray):
            raise UsageError(
                f"images: found {type(image).__name__}, expected paths, Pillow images or "
                "uint8 arrays [H, W, 3]"
            )
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise UsageError(
                f"images: found an array {image.dtype} {list(image.shape)}, expected uint8 "
                "[H, W, 3] with pixels from 0 to 255"
            )
        return fit_image(Image.fromarray(image), size, fit)


def load(
    path: str | Path,
    engine: Literal["auto", "onnx", "int8", "torch"] = "auto",
    *,
    truncated: bool = False,
) -> Predictor:
    """The predictor of the bundle in folder `path`, after its checksums were verified.

    `auto` is ONNX Runtime where it is installed, else torch; both compute in fp32 on the CPU.
    With `truncated`, damaged files are used as far as they can be decoded.
    `int8` is ONNX Runtime over the graph that `clearsight export --int8` adds. Raises `BundleError`
    for a bundle that is damaged, newer than this clearsight, or without that graph.
    """
    if engine not in ("auto", "onnx", "int8", "torch"):
        raise UsageError(f"engine: found {engine!r}, expected one of auto, onnx, int8, torch")
    bundle = read_bundle(path)
    if engine == "auto":
        engine = "onnx" if find_spec("onnxruntime") else "torch"
    if engine == "torch":
        return Predictor(bundle, "torch", torch_engine(bundle), truncated)
    if engine == "int8" and bundle.int8 is None:
        raise BundleError(
            f"bundle {path}: no int8 graph in it; export it with `clearsight export RUN --int8`, "
            "or use another engine"
        )
    graph = bundle.int8_onnx if engine == "int8" else bundle.onnx
    return Predictor(bundle, engine, onnx_engine(graph.read_bytes(), str(graph), bundle), truncated)


def _prediction(
    file: str | None,
    row: np.ndarray,
    classes: Sequence[str],
    above: float | None,
    set_from: float | None,
) -> Prediction:
    """`row`: float32 [K]; `above` and `set_from` are the thresholds asked for."""
    top = int(row.argmax())
    unsure = above is not None and not row[top] > above
    prediction_set = None
    if set_from is not None:
        likely = [k for k in np.argsort(-row, kind="stable") if k == top or row[k] >= set_from]
        prediction_set = tuple(classes[k] for k in likely)
    return Prediction(
        file=file,
        label=None if unsure else classes[top],
        probability=float(row[top]),
        probabilities=dict(zip(classes, row.tolist(), strict=True)),
        reason="unsure" if unsure else None,
        prediction_set=prediction_set,
    )


def _several(images: OneImage | Iterable[OneImage]) -> Iterable[OneImage]:
    one = isinstance(images, str | os.PathLike | Image.Image)
    if one or (isinstance(images, np.ndarray) and images.ndim != 4):
        return [images]
    return images
