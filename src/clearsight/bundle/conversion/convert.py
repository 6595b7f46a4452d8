"""A bundle's model for another runtime: written, asked about real images, refused if it differs."""

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from clearsight.bundle.conversion import litert, openvino, torchscript, web
from clearsight.bundle.conversion.runtime import ABOUT, Runtime
from clearsight.bundle.engines import in_batches, onnx_engine
from clearsight.bundle.format import Bundle
from clearsight.bundle.parity import compare, margins
from clearsight.errors import BundleError, ClearsightError, UsageError, first_line, shown
from clearsight.files import file_digest, replacing
from clearsight.progress import SILENT, Progress

RUNTIMES: dict[str, Runtime] = {
    "openvino": openvino.RUNTIME,
    "litert": litert.RUNTIME,
    "torchscript": torchscript.RUNTIME,
    "web": web.RUNTIME,
}
MAKER = "clearsight"


def convert(
    bundle: Bundle,
    to: str,
    out: Path,
    images: np.ndarray,
    progress: Progress = SILENT,
) -> Path:
    """Writes the model of `bundle` for the runtime `to`, a key of `RUNTIMES`, as folder `out`.

    Beside the runtime's own files there is `about.json`: input, classes, thresholds, and how far
    the runtime's answers are from those of ONNX Runtime on `images`, uint8 [N, S, S, 3] with N ≥ 1,
    of which the first are compared. Returns `out`, whole or not at all; an older one is replaced.

    Raises `UsageError` where what it takes isn't installed, `BundleError` where the model can't be
    converted or the runtime disagrees, or where `out` holds anything else.
    """
    if to not in RUNTIMES:
        raise UsageError(f"to: found {shown(to)}, expected one of {', '.join(RUNTIMES)}")
    runtime = RUNTIMES[to]
    _check_out(out, runtime)
    compared = images[: runtime.images]
    with replacing(out) as folder:
        folder.mkdir()
        try:
            runtime.write(bundle, folder)
            run = runtime.engine(folder, bundle)
            with progress.task(f"comparing {runtime.title}", 2 * len(compared)) as advance:
                onnx = onnx_engine(bundle.onnx.read_bytes(), bundle.onnx.name, bundle)
                expected = in_batches(onnx, compared, advance)
                found = in_batches(run, compared, advance)
        except ClearsightError:
            raise
        except Exception as error:  # a converter's errors share no narrower base
            raise BundleError(
                f"{bundle.path}: {runtime.library} can't take the model "
                f"{bundle.architecture!r} ({first_line(error)}); nothing was written"
            ) from error
        temperature = bundle.calibration["temperature"] if bundle.calibration else 1.0
        parity = compare(
            expected, found, margins(expected.probabilities, temperature),
            file=f"{out.name}/", engines=f"{runtime.title} and ONNX Runtime",
            advice=f"try another version of {runtime.package}",
        )  # fmt: skip
        about = _about(bundle, to, runtime, folder, parity)
        text = json.dumps(about, indent=2, ensure_ascii=False, allow_nan=False)
        (folder / ABOUT).write_text(text + "\n", encoding="utf-8")
    return out


def _about(
    bundle: Bundle, to: str, runtime: Runtime, folder: Path, parity: Mapping[str, float]
) -> dict[str, Any]:
    square = [bundle.size, bundle.size, 3]
    outputs: dict[str, Any] = {"probabilities": [runtime.batch, len(bundle.classes)]}
    if bundle.features is not None:
        outputs |= {"features": [runtime.batch, bundle.features], "unlike": [runtime.batch]}
    accuracy = bundle.metrics.get("accuracy_without_tta") or bundle.metrics.get("accuracy")
    measured = accuracy and {
        "accuracy": accuracy, "split": bundle.metrics.get("split"), "n": bundle.metrics.get("n"),
    }  # fmt: skip
    return {
        "made_by": f"{MAKER} {version('clearsight')}",
        "runtime": to,
        "converter": runtime.library,
        "input": {
            "name": "images", "type": "uint8", "shape": [runtime.batch, *square],
            "size": bundle.size, "fit": bundle.fit,
        },
        "outputs": outputs,
        "classes": list(bundle.classes),
        **({} if bundle.calibration is None else {"calibration": bundle.calibration}),
        **({} if measured is None else {"measured": measured}),
        "parity": dict(parity),
        "bundle": bundle.checksum,
        "sha256": {path.name: file_digest(path) for path in sorted(folder.iterdir())},
    }  # fmt: skip


def _check_out(out: Path, runtime: Runtime) -> None:
    """Raises `BundleError` unless `out` is new, empty, or holds what such an export wrote."""
    try:
        if out.is_symlink() or (out.exists() and not out.is_dir()):
            raise BundleError(f"{out}: is not a folder; choose another --out")
        known = {ABOUT, *runtime.files}
        content = sorted(path.name for path in out.iterdir()) if out.exists() else []
        if Path.cwd().is_relative_to(out.resolve()):
            raise BundleError(
                f"{out}: is the working folder or holds it, and would be replaced; "
                "choose another --out"
            )
    except OSError as error:
        raise BundleError(f"{out}: can't be used ({error}); choose another --out") from error
    foreign = [name for name in content if name not in known]
    if content and ABOUT not in content:
        foreign = content
    if foreign:
        raise BundleError(
            f"{out}: holds other files ({', '.join(foreign[:3])}{', …' * (len(foreign) > 3)}) "
            "that the export would replace; choose another --out"
        )
