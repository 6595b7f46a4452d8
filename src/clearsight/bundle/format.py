"""The bundle: a folder with everything a trained classifier needs, and no training code.

    bundle.json         format version, architecture, input, preprocessing, classes, metrics,
                        parity of the two engines, provenance, SHA-256 of the other files
    model.safetensors   weights
    model.onnx          the whole model: `images` uint8 [N, S, S, 3] → `probabilities` [N, K]
    model.int8.onnx     the same with 8-bit integers inside, where it was asked for
    MODEL_CARD.md       all of that for people
    validation.parquet  what the model says of every validation image, where there were any

docs/bundle.md documents every key, `bundle.schema.json` their types. `bundle.json` vouches for
itself as well: `checksum` is the SHA-256 of its own text with the 64 digits of the checksum
replaced by zeros.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from clearsight.bundle.card import model_card
from clearsight.data.images import Fit
from clearsight.errors import BundleError, ConfigError
from clearsight.files import recover, replacing

if TYPE_CHECKING:
    from clearsight.models.classifier import Classifier

FORMAT_VERSION = 1
MANIFEST, WEIGHTS, ONNX, CARD = "bundle.json", "model.safetensors", "model.onnx", "MODEL_CARD.md"
INT8, VALIDATION = "model.int8.onnx", "validation.parquet"
SCHEMA = Path(__file__).with_name("bundle.schema.json")
ZEROS = "0" * 64
COPY_AGAIN = "copy the bundle again, or export it anew with `clearsight export`"


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """What `bundle.json` says.

    - `architecture`: the network's name in the registry, or timm's; `head`: `linear` or `mlp`
    - `size`, `fit`: images are fitted to `size` × `size` px in this way before the model
    - `preprocessing`: `mean` and `std` (3 each, of pixel values divided by 255), `size` (px, None),
      `interpolation`, `scaled_twice`
    - `classes`: K names, in the order of the probabilities
    - `metrics`: as `evaluation.json`; `parity`: `n`, `ties`, `max_difference`, see `export`
    - `int8`: what the int8 graph costs, see `quantising.judge`; None without one
    - `provenance`: how the model came to be
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
    int8: dict[str, Any] | None = None

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
            model.load_state_dict(load_file(self.weights))
        except ConfigError as error:
            raise BundleError(
                f"{self.path / MANIFEST}: architecture {self.architecture!r} is unknown to "
                f"clearsight {version('clearsight')}; upgrade it, or use the ONNX engine"
            ) from error
        except (OSError, RuntimeError, SafetensorError) as error:
            raise BundleError(
                f"{self.weights}: no weights of {self.architecture} ({_first_line(error)}); "
                f"{COPY_AGAIN}"
            ) from error
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
    int8: tuple[bytes, Mapping[str, Any]] | None = None,
    validation: bytes | None = None,
) -> Path:
    """Writes a bundle as the folder `out`, whole or not at all; an older bundle is replaced.

    `onnx` is the serialised graph, `int8` that in 8-bit integers with what it costs, `validation`
    the content of that file; the rest as in `Bundle`. Raises `BundleError` where `out` holds
    anything else, `FileError` where the disk refuses.
    """
    from safetensors.torch import save

    check_place(out)
    tensors = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    about = {
        "format_version": FORMAT_VERSION,
        "architecture": model.name,
        "head": model.head_kind,
        "input": {"size": size, "fit": fit},
        "preprocessing": model.preprocess.describe(),
        "classes": list(model.classes),
        "metrics": dict(metrics),
        "parity": dict(parity),
        **({} if int8 is None else {"int8": dict(int8[1])}),
        "provenance": dict(provenance),
    }
    # One key: with more, safetensors would order them anew at every save.
    metadata = {"clearsight": json.dumps({"architecture": model.name, "classes": model.classes})}
    with replacing(out) as folder:
        folder.mkdir()
        (folder / WEIGHTS).write_bytes(save(tensors, metadata))
        (folder / ONNX).write_bytes(onnx)
        if int8 is not None:
            (folder / INT8).write_bytes(int8[0])
        (folder / CARD).write_text(model_card(about), encoding="utf-8")
        if validation is not None:
            (folder / VALIDATION).write_bytes(validation)
        about["sha256"] = {path.name: _sha256(path) for path in sorted(folder.iterdir())}
        (folder / MANIFEST).write_text(_sealed(about), encoding="utf-8")
    return out


def read_bundle(path: Path | str, *, verify: bool = True) -> Bundle:
    """The bundle in folder `path`; torch is not needed.

    Raises `BundleError` where it is none, is of a newer format, misses a file or, unless `verify`
    is false, where a file's SHA-256 differs from what `bundle.json` says.
    """
    path = Path(path)
    recover(path)
    manifest = path / MANIFEST
    try:
        text = manifest.read_text(encoding="utf-8")
        about = json.loads(text)
    except FileNotFoundError as error:
        found = "no bundle.json in it" if path.is_dir() else "no such folder"
        raise BundleError(
            f"bundle {path}: {found}; give the folder that `clearsight export` wrote"
        ) from error
    except OSError as error:
        raise BundleError(
            f"{manifest}: can't be read ({error.strerror or error}); check its permissions"
        ) from error
    except ValueError as error:
        raise BundleError(f"{manifest}: no valid JSON ({error}); {COPY_AGAIN}") from error
    format_version = about.get("format_version") if isinstance(about, dict) else None
    if not isinstance(format_version, int):
        raise BundleError(f"{manifest}: names no format version; {COPY_AGAIN}")
    if format_version > FORMAT_VERSION:
        raise BundleError(
            f"{manifest}: format version {format_version}, clearsight {version('clearsight')} "
            f"reads versions up to {FORMAT_VERSION}; upgrade clearsight"
        )
    if verify:
        _verify(path, text, about)
    try:
        return Bundle(
            path=path,
            architecture=about["architecture"],
            head=about.get("head", "linear"),
            size=about["input"]["size"],
            fit=about["input"]["fit"],
            preprocessing=about["preprocessing"],
            classes=tuple(about["classes"]),
            metrics=about["metrics"],
            parity=about["parity"],
            provenance=about["provenance"],
            int8=about.get("int8"),
        )
    except (KeyError, TypeError) as error:
        raise BundleError(f"{manifest}: {error} is missing or misplaced; {COPY_AGAIN}") from error


def check_place(out: Path) -> None:
    """Raises `BundleError` unless a bundle may be written to `out`: new, empty, or a bundle's."""
    if not out.exists():
        return
    if not out.is_dir():
        raise BundleError(f"{out}: is a file, a bundle is a folder; choose another --out")
    known = {MANIFEST, WEIGHTS, ONNX, INT8, CARD, VALIDATION}
    foreign = sorted({p.name for p in out.iterdir()} - known)
    if foreign:
        raise BundleError(
            f"{out}: holds other files ({', '.join(foreign[:3])}{', …' * (len(foreign) > 3)}) "
            "that a bundle would replace; choose another --out"
        )


def _verify(path: Path, text: str, about: Mapping[str, Any]) -> None:
    checksum = str(about.get("checksum"))
    found = hashlib.sha256(_with_last(text, checksum, ZEROS).encode()).hexdigest()
    digests = cast("Mapping[str, str]", about.get("sha256", {}))
    required = [WEIGHTS, ONNX, CARD, *([INT8] if "int8" in about else [])]
    expected: dict[str, str | None] = {MANIFEST: checksum, **dict.fromkeys(required), **digests}
    for name, digest in expected.items():
        try:
            found = found if name == MANIFEST else _sha256(path / name)
        except OSError as error:
            raise BundleError(
                f"{path / name}: can't be read ({error.strerror or error}); {COPY_AGAIN}"
            ) from error
        if found != digest:
            raise BundleError(
                f"{path / name}: SHA-256 is {found}, bundle.json says {digest}; {COPY_AGAIN}"
            )


def _sealed(about: Mapping[str, Any]) -> str:
    """`about` as JSON text with its own checksum; NaN is refused, for it is no JSON."""
    sealed = {**about, "checksum": ZEROS}
    text = json.dumps(sealed, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return _with_last(text, ZEROS, hashlib.sha256(text.encode()).hexdigest())


def _with_last(text: str, old: str, new: str) -> str:
    before, _, after = text.rpartition(old)
    return before + new + after


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(":")
