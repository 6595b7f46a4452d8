"""The web: a folder with the model, ONNX Runtime Web and one page, for any static host.

The page computes in the visitor's browser and asks no other address. ONNX Runtime Web is fetched
once, by npm, into the user's cache; what arrives must have the checksum that stands here.
"""

import hashlib
import os
import shutil
import subprocess
import sysconfig
import tarfile
import tempfile
from pathlib import Path

import numpy as np

from clearsight.bundle.conversion.runtime import Runtime
from clearsight.bundle.engines import Answers, Run
from clearsight.bundle.format import ONNX, Bundle
from clearsight.errors import LINE, BundleError, UsageError
from clearsight.files import replacing
from clearsight.runtime.disk_cache import cache_folder

PAGE = Path(__file__).parent / "page"
PAGE_FILES = ("index.html", "app.js", "fit.js", "style.css")
LIBRARY = "onnxruntime-web"
VERSION = "1.30.0"
SHA512 = (
    "ab4cbe26baedba45d2cec05610c71c55fa97db92d19a8b171c5f8269126683ca"
    "590a5cdc57bb2f35ce2b298de32f4d956fb42644c0ecd528a0a91e025c07ca61"
)
LIBRARY_FILES = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
)
PATIENCE = 300  # seconds for npm, and for Node.js with a batch


def _write(bundle: Bundle, folder: Path) -> None:
    _program("node")  # both before anything is fetched
    library = _library()
    for name in PAGE_FILES:
        shutil.copyfile(PAGE / name, folder / name)
    for name in LIBRARY_FILES:
        shutil.copyfile(library / name, folder / name)
    shutil.copyfile(bundle.onnx, folder / ONNX)


def _engine(folder: Path, bundle: Bundle) -> Run:
    """The library as it lies in the folder, in Node.js."""
    node = _program("node")

    def run(pixels: np.ndarray) -> Answers:
        with tempfile.TemporaryDirectory() as temporary:
            given, answered = Path(temporary) / "pixels", Path(temporary) / "answers"
            given.write_bytes(pixels.tobytes())
            _call(
                [node, str(PAGE / "answer.mjs"), str(folder), str(given), str(answered),
                 str(len(pixels)), str(pixels.shape[1])],
                f"{folder}: Node.js can't run {LIBRARY} {VERSION}",
            )  # fmt: skip
            found = {}
            for name in Answers._fields:
                file = answered.with_name(f"answers.{name}")
                if file.exists():
                    found[name] = np.fromfile(file, np.float32)
        for name in ("probabilities", "features"):
            if name in found:
                found[name] = found[name].reshape(len(pixels), -1)
        return Answers(**found)

    return run


def _library() -> Path:
    """The cache's folder with `LIBRARY_FILES`, fetched where it is not there yet."""
    folder = cache_folder(LIBRARY) / VERSION
    if all((folder / name).is_file() for name in LIBRARY_FILES):
        return folder
    npm = _program("npm")
    with tempfile.TemporaryDirectory() as temporary:
        _call(
            [npm, "pack", f"{LIBRARY}@{VERSION}", "--silent"],
            f"export --to web: npm can't fetch {LIBRARY} {VERSION}",
            temporary,
        )
        archive = Path(temporary) / f"{LIBRARY}-{VERSION}.tgz"
        found = hashlib.sha512(archive.read_bytes()).hexdigest()
        if found != SHA512:
            raise BundleError(
                f"export --to web: npm gave another {LIBRARY} {VERSION}, with the SHA-512 {found}, "
                f"expected {SHA512}; check which registry npm is set to"
            )
        with replacing(folder) as fresh, tarfile.open(archive) as members:
            fresh.mkdir()
            for name in LIBRARY_FILES:
                content = members.extractfile(f"package/dist/{name}")
                assert content is not None, name  # the archive is the one that was tried
                (fresh / name).write_bytes(content.read())
    return folder


def _program(name: str) -> str:
    """The path of `npm` or `node`: the system's, or that of the extra `web`."""
    places = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    found = shutil.which(name, path=places)
    if found is None:
        raise UsageError(
            f"export --to web: {name} is not installed; install Node.js, or "
            "pip install 'clearsight[web]'"
        )
    return found


def _call(command: list[str], what: str, folder: str | None = None) -> None:
    """Runs a program. Raises `BundleError`, which begins with `what`, where it fails."""
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace",
            timeout=PATIENCE, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise BundleError(f"{what} within {PATIENCE} seconds; nothing was written") from None
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        # Node.js shows the code first, which may be one line of a megabyte.
        reason = next((line for line in lines if "rror" in line[:60]), lines[0] if lines else "")
        raise BundleError(f"{what} ({reason[:LINE]}); nothing was written")


RUNTIME = Runtime(
    title="ONNX Runtime Web",
    files=(*PAGE_FILES, *LIBRARY_FILES, ONNX),
    write=_write,
    engine=_engine,
    images=200,
    package=LIBRARY,
    pinned=VERSION,
)
