"""The bundle: a folder with everything a trained classifier needs, and no training code.

    bundle.json         format version, architecture, input, preprocessing, classes, calibration,
                        metrics, parity of the two engines, provenance, SHA-256 of the other files
    model.safetensors   weights
    model.onnx          the whole model: `images` uint8 [N, S, S, 3] → `probabilities` [N, K],
                        `features` [N, D], `unlike` [N]
    model.int8.onnx     the same with 8-bit integers inside, where it was asked for
    MODEL_CARD.md       all of that for people
    validation.parquet  what the model says of every validation image, where there were any

docs/bundle.md documents every key, `bundle.schema.json` their types. `bundle.json` vouches for
itself as well: `checksum` is the SHA-256 of its own text with the 64 digits of the checksum
replaced by zeros.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearsight.bundle.card import model_card
from clearsight.data.images import Fit
from clearsight.errors import BundleError, ConfigError, FileError, first_line
from clearsight.files import check_regular, file_digest, parse_json, read_text, recover, replacing
from clearsight.formats import problem
from clearsight.notebook import table
from clearsight.wording import interval, percent

if TYPE_CHECKING:
    from clearsight.models.classifier import Classifier

FORMAT_VERSION = 2
MANIFEST, WEIGHTS, ONNX, CARD = "bundle.json", "model.safetensors", "model.onnx", "MODEL_CARD.md"
INT8, VALIDATION = "model.int8.onnx", "validation.parquet"
SCHEMA = Path(__file__).with_name("bundle.schema.json")
ZEROS = "0" * 64
_REQUIRED = (WEIGHTS, ONNX, CARD)
MEMBERS = frozenset({MANIFEST, *_REQUIRED, INT8, VALIDATION})
LARGEST = 2**26  # bytes of bundle.json
COPY_AGAIN = "copy the bundle again, or export it anew with `clearsight export`"


@dataclass(frozen=True, kw_only=True, repr=False)
class Bundle:
    """What `bundle.json` says; it stands for the path of its folder wherever one is asked for.

    - `architecture`: the network's name in the registry, or timm's; `head`: `linear` or `mlp`
    - `size`, `fit`: images are fitted to `size` × `size` px in this way before the model
    - `preprocessing`: `mean` and `std` (3 each, of pixel values divided by 255), `size` (px, None),
      `interpolation`, `scaled_twice`
    - `classes`: K names, in the order of the probabilities
    - `calibration`: `temperature`, which divides the logits, and from the `n` validation images
      `sure`, thresholds of probability by accuracy, and `sets`, by coverage; None without any
    - `features`: D, how many the network gives of an image; None where the bundle was exported
      before it gave any, nor how unlike its training images an image is
    - `metrics`: as `evaluation.json`; `parity`: `n`, `ties`, `max_difference`, see `export`
    - `int8`: what the int8 graph costs, see `quantize.judge`; None without one
    - `provenance`: how the model came to be
    - `sha256`: of the bundle's other files, by name; `checksum`: of `bundle.json`
    """

    path: Path
    architecture: str
    head: str = "linear"
    size: int
    fit: Fit
    preprocessing: dict[str, Any]
    classes: tuple[str, ...]
    metrics: dict[str, Any]
    parity: dict[str, Any]
    provenance: dict[str, Any]
    sha256: dict[str, str]
    checksum: str
    int8: dict[str, Any] | None = None
    calibration: dict[str, Any] | None = None
    features: int | None = None

    def __fspath__(self) -> str:
        return str(self.path)

    __str__ = __fspath__

    def __repr__(self) -> str:
        return f"<Bundle {self.path}: {self.architecture}, {len(self.classes)} classes>"

    def _repr_html_(self) -> str:
        return table([], self.facts())

    def facts(self) -> list[list[str]]:
        """Pairs of a name and what is known, for people; metrics may be another program's."""
        accuracy = self.metrics.get("accuracy")
        rows = [
            ["folder", str(self.path)],
            ["network", self.architecture],
            ["images", f"{self.size} × {self.size} px, {self.fit}"],
            [
                "classes",
                f"{len(self.classes)}: {', '.join(self.classes[:10])}"
                + ", …" * (len(self.classes) > 10),
            ],
        ]
        if accuracy:
            rows.append(
                [
                    f"{self.metrics['split']} accuracy",
                    f"{percent(accuracy['value'])} (95 % interval {interval(accuracy)}, "
                    f"n = {self.metrics['n']:,})",
                ]
            )
        files = [self.path / name for name in (MANIFEST, *self.sha256)]
        size = sum(path.stat().st_size for path in files if path.is_file())
        return [*rows, ["size", f"{size / 2**20:.1f} MiB"]]

    @property
    def weights(self) -> Path:
        return self.path / WEIGHTS

    @property
    def onnx(self) -> Path:
        return self.path / ONNX

    @property
    def int8_onnx(self) -> Path:
        """Absent where `int8` is None."""
        return self.path / INT8

    @property
    def validation(self) -> Path:
        """As a run's `predictions.parquet`; absent where no images were kept for validation."""
        return self.path / VALIDATION

    def classifier(self) -> "Classifier":
        """The classifier with its weights, on the CPU in eval mode; needs torch.

        Raises `BundleError` for an unknown architecture or weights of another network.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from clearsight.models.factory import build
        from clearsight.models.preprocess import Preprocess

        try:
            preprocess = Preprocess(**self.preprocessing)
            model = build(self.architecture, self.classes, preprocess, self.head)
        except ConfigError as error:
            raise BundleError(
                f"{self.path / MANIFEST}: architecture {self.architecture!r} is unknown to "
                f"clearsight {version('clearsight')}; upgrade it, or use the ONNX engine"
            ) from error
        try:
            model.load_state_dict(load_file(self.weights))
        except (OSError, RuntimeError, SafetensorError) as error:
            raise BundleError(
                f"{self.weights}: are no weights of {self.architecture} with {len(self.classes)} "
                f"classes ({first_line(error)}); {COPY_AGAIN}"
            ) from error
        model.temperature = self.calibration["temperature"] if self.calibration else 1.0
        return model.eval()


def write_bundle(
    out: Path,
    *,
    model: "Classifier",
    onnx: bytes,
    size: int,
    fit: Fit,
    metrics: Mapping[str, Any],
    parity: Mapping[str, Any],
    provenance: Mapping[str, Any],
    features: int | None = None,
    int8: tuple[bytes, Mapping[str, Any]] | None = None,
    calibration: Mapping[str, Any] | None = None,
    validation: bytes | None = None,
) -> Path:
    """Writes a bundle as the folder `out`, whole or not at all; an older bundle is replaced.

    `onnx` is the serialised graph, `int8` that in 8-bit integers with what it costs, `validation`
    the content of that file; the rest as in `Bundle`. Raises `BundleError` where `out` holds
    anything else, `FileError` where the disk refuses.
    """
    from safetensors.torch import save

    check_out(out)
    tensors = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    manifest = {
        "format_version": FORMAT_VERSION,
        "architecture": model.name,
        "head": model.head_kind,
        "input": {"size": size, "fit": fit},
        "preprocessing": model.preprocess.describe(),
        "classes": list(model.classes),
        **({} if features is None else {"features": features}),
        **({} if calibration is None else {"calibration": dict(calibration)}),
        "metrics": dict(metrics),
        "parity": dict(parity),
        **({} if int8 is None else {"int8": dict(int8[1])}),
        "provenance": dict(provenance),
    }
    wrong = problem(
        {**manifest, "sha256": dict.fromkeys(_REQUIRED, ZEROS), "checksum": ZEROS}, SCHEMA
    )
    if wrong:
        raise BundleError(f"bundle {out}: {wrong}; nothing was written")
    # One key: with more, safetensors would order them anew at every save.
    metadata = {"clearsight": json.dumps({"architecture": model.name, "classes": model.classes})}
    with replacing(out) as folder:
        folder.mkdir()
        (folder / WEIGHTS).write_bytes(save(tensors, metadata))
        (folder / ONNX).write_bytes(onnx)
        if int8 is not None:
            (folder / INT8).write_bytes(int8[0])
        (folder / CARD).write_text(model_card(manifest), encoding="utf-8")
        if validation is not None:
            (folder / VALIDATION).write_bytes(validation)
        manifest["sha256"] = {path.name: file_digest(path) for path in sorted(folder.iterdir())}
        (folder / MANIFEST).write_text(_sealed(manifest), encoding="utf-8")
    return out


def read_bundle(path: os.PathLike[str] | str, *, verify: bool = True) -> Bundle:
    """The bundle in folder `path`; torch is not needed.

    Raises `BundleError` where it is none, is of a newer format, breaks the schema of `bundle.json`,
    or, unless `verify` is false, where a file is missing, is a link out of the folder, or has
    another SHA-256 than `bundle.json` says.
    """
    path = Path(path)
    _check_folder(path)
    try:
        text = read_text(path / MANIFEST, LARGEST)
        manifest = parse_json(text, path / MANIFEST)
    except FileError as error:
        raise BundleError(f"{error}, or {COPY_AGAIN}") from error
    format_version = manifest.get("format_version") if isinstance(manifest, dict) else None
    if type(format_version) is not int:
        raise BundleError(f"{path / MANIFEST}: names no format version; {COPY_AGAIN}")
    if format_version > FORMAT_VERSION:
        raise BundleError(
            f"{path / MANIFEST}: format version {format_version}, clearsight "
            f"{version('clearsight')} reads versions up to {FORMAT_VERSION}; upgrade clearsight"
        )
    wrong = problem(manifest, SCHEMA)
    if wrong:
        raise BundleError(f"{path / MANIFEST}: {wrong}; {COPY_AGAIN}")
    if verify:
        _verify(path, text, manifest)
    return Bundle(
        path=path,
        architecture=manifest["architecture"],
        head=manifest.get("head", "linear"),
        size=int(manifest["input"]["size"]),  # 32.0 is an integer to JSON Schema
        fit=manifest["input"]["fit"],
        preprocessing=manifest["preprocessing"],
        classes=tuple(manifest["classes"]),
        metrics=manifest["metrics"],
        parity=manifest["parity"],
        provenance=manifest["provenance"],
        sha256=manifest["sha256"],
        checksum=manifest["checksum"],
        int8=manifest.get("int8"),
        calibration=manifest.get("calibration"),
        features=manifest.get("features"),
    )


def copy_bundle(bundle: Bundle, out: Path) -> None:
    """Copies the files that belong to a verified bundle to the new folder `out`, nothing else."""
    out.mkdir()
    for name in (MANIFEST, *bundle.sha256):
        shutil.copyfile(_member(bundle.path, name), out / name)


def check_out(out: Path) -> None:
    """Raises `BundleError` unless a bundle may be written to `out`: new, empty, or a bundle's."""
    try:
        if out.is_symlink() or (out.exists() and not out.is_dir()):
            found = "a link" if out.is_symlink() else "a file"
            raise BundleError(f"{out}: is {found}, a bundle is a folder; choose another --out")
        resolved = out.resolve()
        if Path.cwd().is_relative_to(resolved):
            raise BundleError(
                f"{out}: is the working folder or holds it, and a bundle replaces its folder; "
                "choose another --out"
            )
        around = next((folder for folder in resolved.parents if (folder / MANIFEST).exists()), None)
        if around:
            raise BundleError(f"{out}: lies inside the bundle {around}; choose another --out")
        content = sorted(out.iterdir()) if out.exists() else []
        foreign = [path.name for path in content if path.name not in MEMBERS or path.is_dir()]
        if not foreign and content and not (out / MANIFEST).exists():
            foreign = [path.name for path in content]  # alike by name only
    except (OSError, ValueError) as error:
        raise BundleError(f"{out}: can't be used ({error}); choose another --out") from error
    if foreign:
        raise BundleError(
            f"{out}: holds other files ({', '.join(foreign[:3])}{', …' * (len(foreign) > 3)}) "
            "that a bundle would replace; choose another --out"
        )


def _check_folder(path: Path) -> None:
    """Raises `BundleError` unless `path` is a folder with a `bundle.json`."""
    try:
        recover(path)
        if (path / MANIFEST).exists():
            return
        if path.is_dir():
            found = "no bundle.json in it"
        else:
            found = (
                "is a file; unpack it first if it is an archive"
                if path.exists()
                else ("no such folder")
            )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BundleError(
            f"bundle {path}: can't be read ({reason}); check the path and its permissions"
        ) from error
    raise BundleError(f"bundle {path}: {found}; give the folder that `clearsight export` wrote")


def _member(folder: Path, name: str) -> Path:
    """The file `name` of a bundle. Raises `BundleError` unless it is a regular file in `folder`."""
    path = folder / name
    try:
        check_regular(path)
    except FileError as error:
        raise BundleError(f"{error}, or {COPY_AGAIN}") from error
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise BundleError(f"{path}: is a link to a file outside of the bundle; {COPY_AGAIN}")
    return path


def _verify(path: Path, text: str, manifest: Mapping[str, Any]) -> None:
    checksum = manifest["checksum"]
    found = hashlib.sha256(_with_last(text, checksum, ZEROS).encode()).hexdigest()
    required = [*_REQUIRED]
    required += [INT8] if "int8" in manifest else []
    required += [VALIDATION] if "calibration" in manifest else []
    expected = {MANIFEST: checksum, **dict.fromkeys(required), **manifest["sha256"]}
    for name, digest in expected.items():
        file = _member(path, name)
        try:
            found = found if name == MANIFEST else file_digest(file)
        except OSError as error:
            raise BundleError(
                f"{file}: can't be read ({error.strerror or error}); {COPY_AGAIN}"
            ) from error
        if found != digest:
            raise BundleError(
                f"{file}: SHA-256 is {found}, bundle.json says {digest}; {COPY_AGAIN}"
            )


def _sealed(manifest: Mapping[str, Any]) -> str:
    """`manifest` as JSON text with its own checksum; NaN is refused, for it is no JSON."""
    sealed = {**manifest, "checksum": ZEROS}
    text = json.dumps(sealed, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return _with_last(text, ZEROS, hashlib.sha256(text.encode()).hexdigest())


def _with_last(text: str, old: str, new: str) -> str:
    before, _, after = text.rpartition(old)
    return before + new + after
