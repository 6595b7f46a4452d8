"""Predictions of a bundle. Torch is imported only where its engine is asked for."""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

import numpy as np
from PIL import Image

from clearsight.bundle import thresholds
from clearsight.bundle.engines import (
    Answers,
    Engine,
    Run,
    batch_size,
    cores,
    onnx_engine,
    torch_engine,
)
from clearsight.bundle.format import Bundle, read_bundle
from clearsight.data.decoding import read_image, to_rgb
from clearsight.data.images import fit_image
from clearsight.errors import BundleError, ClearsightError, DataError, UsageError
from clearsight.notebook import paragraphs, table
from clearsight.wording import percent

OneImage = str | os.PathLike[str] | Image.Image | np.ndarray
_SHOWN = 50
Computed = tuple[list[OneImage], list[np.ndarray | ClearsightError], Answers | None]


class Asked(NamedTuple):
    """Thresholds of what was asked for: of a label, of a class in a set, of a familiar image."""

    above: float | None
    set_from: float | None
    unlike: float | None


@dataclass(frozen=True)
class Prediction:
    """What the model says of one image.

    `file`: its path as given, None for pixels; `label`: the most probable class, and its
    `probability`; `probabilities`: of every class, in the order of the bundle's classes.
    Where `sure` was asked for and not met, `label` is None and `reason` says `unsure`; where
    `familiar` was and the image is unlike those of the training, it says `unlike`.
    `unlike`: larger is less like the training images; None where the bundle has no such score.
    `prediction_set`: the classes of the conformal set, likeliest first; None where none was asked
    for.
    """

    file: str | None
    label: str | None
    probability: float
    probabilities: dict[str, float]
    reason: Literal["unsure", "unlike"] | None = None
    prediction_set: tuple[str, ...] | None = None
    unlike: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """As `clearsight predict --json` prints it: without the last three where they are None."""
        optional = ("reason", "prediction_set", "unlike")
        return {k: v for k, v in asdict(self).items() if v is not None or k not in optional}


class Predictions(list[Prediction]):
    """A list of them, shown as a table in a notebook."""

    def __repr__(self) -> str:
        return f"<{len(self):,} predictions>"

    def _repr_html_(self) -> str:
        rows = [
            [
                f"{number}" if each.file is None else each.file,
                each.label or f"– ({each.reason})",
                percent(each.probability, 1),
                *([] if each.prediction_set is None else [", ".join(each.prediction_set)]),
            ]
            for number, each in enumerate(self[:_SHOWN])
        ]
        sets = ["set"] * any(each.prediction_set is not None for each in self[:1])
        more = [f"… and {len(self) - _SHOWN:,} more"] * (len(self) > _SHOWN)
        return table(["image", "label", "probability", *sets], rows) + paragraphs(more)


@dataclass(frozen=True)
class Failure:
    """An image without a prediction.

    `file`: its path as given, None for pixels; `error`: why it can't be used, and what to do.
    """

    file: str | None
    error: str


@dataclass(frozen=True, repr=False)
class Predictor:
    """A loaded bundle; `run` maps uint8 [N, S, S, 3] to what the engine says of them.

    With `truncated`, damaged files are used as far as they can be decoded.
    """

    bundle: Bundle
    engine: Engine
    run: Run
    truncated: bool = False

    def __repr__(self) -> str:
        return f"<Predictor of {self.bundle.path}, engine {self.engine}>"

    def _repr_html_(self) -> str:
        return table([], [*self.bundle.facts(), ["engine", self.engine]])

    def predict(
        self,
        images: OneImage | Iterable[OneImage],
        *,
        sure: float | None = None,
        coverage: float | None = None,
        familiar: bool = False,
    ) -> Predictions:
        """One prediction per image, in their order.

        An image is the path of a file, a Pillow image, or uint8 pixels [H, W, 3]; give one,
        several, or uint8 [N, H, W, 3]. They are opened and fitted as in training. With `sure`, an
        accuracy such as 0.99, labels are held back where they would be right less often; with
        `coverage`, such as 0.9, every image also gets a set of classes that holds the true one
        that often. Both are promises about images like those of the validation part. With
        `familiar`, labels are held back from images that are less like those of the training than
        99 % of the validation images are: no guarantee, for many images from elsewhere are not.
        Raises `DataError` for a file that can't be decoded, `UsageError` for other pixels and for
        what can't be promised, `BundleError` where the bundle has no calibration.
        """
        return Predictions(self.stream(images, sure=sure, coverage=coverage, familiar=familiar))

    def features(self, images: OneImage | Iterable[OneImage]) -> np.ndarray:
        """What the network gives to its head, float32 [N, D]: for search, clustering and the like.

        `images` as in `predict`. Raises `DataError` for a file that can't be decoded, `UsageError`
        for other pixels, `BundleError` for a bundle exported before graphs gave features.
        """
        if self.bundle.features is None:
            raise BundleError(
                f"bundle {self.bundle.path}: features were asked for, but its graph gives none; "
                "export its run anew"
            )
        parts = [np.empty((0, self.bundle.features), np.float32)]
        for _, fitted, answers in self._computed(_several(images)):
            for error in fitted:
                if not isinstance(error, np.ndarray):
                    raise error
            assert answers is not None
            assert answers.features is not None
            parts.append(answers.features)
        return np.concatenate(parts)

    @overload
    def stream(
        self,
        images: OneImage | Iterable[OneImage],
        *,
        sure: float | None = None,
        coverage: float | None = None,
        familiar: bool = False,
        errors: Literal["raise"] = "raise",
    ) -> Iterator[Prediction]: ...

    @overload
    def stream(
        self,
        images: OneImage | Iterable[OneImage],
        *,
        sure: float | None = None,
        coverage: float | None = None,
        familiar: bool = False,
        errors: Literal["raise", "yield"],
    ) -> Iterator[Prediction | Failure]: ...

    def stream(
        self,
        images: OneImage | Iterable[OneImage],
        *,
        sure: float | None = None,
        coverage: float | None = None,
        familiar: bool = False,
        errors: Literal["raise", "yield"] = "raise",
    ) -> Iterator[Prediction | Failure]:
        """As `predict`, a batch at a time: memory does not grow with the number of images.

        With `errors="yield"`, a file that can't be decoded gives a `Failure` in its place, and the
        rest goes on; else its `DataError` comes after the predictions of all images before it.
        """
        if errors not in ("raise", "yield"):
            raise UsageError(f"errors: found {errors!r}, expected raise or yield")
        asked = Asked(
            None if sure is None else thresholds.sure(self.bundle, sure).probability,
            None if coverage is None else thresholds.set_from(self.bundle, coverage),
            thresholds.unlike(self.bundle) if familiar else None,
        )
        return self._stream(_several(images), asked, errors == "yield")

    def _stream(
        self, images: Iterable[OneImage], asked: Asked, tolerant: bool
    ) -> Iterator[Prediction | Failure]:
        for batch, fitted, answers in self._computed(images):
            rows = iter(() if answers is None else _rows(answers))
            for image, pixels in zip(batch, fitted, strict=True):
                file = os.fspath(image) if isinstance(image, str | os.PathLike) else None
                if isinstance(pixels, np.ndarray):
                    yield prediction(file, *next(rows), self.bundle.classes, asked)
                elif tolerant and isinstance(pixels, DataError):
                    yield Failure(file, str(pixels).removeprefix(f"{file}: "))
                else:
                    raise pixels

    def _computed(self, images: Iterable[OneImage]) -> Iterator[Computed]:
        """Batch by batch: images, each one's pixels or error, and the answers to all pixels.

        While the network computes one batch, the next is taken and decoded.
        """
        rest, size = iter(images), batch_size(self.bundle.size)
        with ThreadPoolExecutor(cores()) as decoders, ThreadPoolExecutor(1) as reader:

            def read() -> tuple[list[OneImage], list[np.ndarray | ClearsightError]]:
                batch = list(islice(rest, size))
                return batch, list(decoders.map(self._fitted_or_error, batch))

            ahead = reader.submit(read)
            while (found := ahead.result())[0]:
                batch, fitted = found
                ahead = reader.submit(read)
                usable = [pixels for pixels in fitted if isinstance(pixels, np.ndarray)]
                yield batch, fitted, self.run(np.stack(usable)) if usable else None

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
    path: Bundle | Path | str,
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


def _rows(answers: Answers) -> Iterator[tuple[np.ndarray, float | None]]:
    """Probabilities, float32 [K], and the score of each image."""
    if answers.unlike is None:
        yield from ((row, None) for row in answers.probabilities)
    else:
        yield from zip(answers.probabilities, answers.unlike.tolist(), strict=True)


def prediction(
    file: str | None, row: np.ndarray, unlike: float | None, classes: Sequence[str], asked: Asked
) -> Prediction:
    """What is said of an image, its path `file` or None, under the thresholds `asked` for.

    `row`: float32 [K]; `unlike`: its score, a number where `asked` has that threshold.
    """
    top = int(row.argmax())
    reason: Literal["unsure", "unlike"] | None = None
    if asked.above is not None and not row[top] > asked.above:
        reason = "unsure"
    if asked.unlike is not None and not (unlike is not None and unlike <= asked.unlike):
        reason = "unlike"  # says more: of such an image the probability means nothing
    prediction_set = None
    if asked.set_from is not None:
        likely = [
            k for k in np.argsort(-row, kind="stable") if k == top or row[k] >= asked.set_from
        ]
        prediction_set = tuple(classes[k] for k in likely)
    return Prediction(
        file=file,
        label=classes[top] if reason is None else None,
        probability=float(row[top]),
        probabilities=dict(zip(classes, row.tolist(), strict=True)),
        reason=reason,
        prediction_set=prediction_set,
        unlike=unlike,
    )


def _several(images: OneImage | Iterable[OneImage]) -> Iterable[OneImage]:
    one = isinstance(images, str | os.PathLike | Image.Image)
    if one or (isinstance(images, np.ndarray) and images.ndim != 4):
        return [images]
    return images
