"""Checkpoints: a folder with `model.safetensors`, `checkpoint.json`, and for resuming the state.

`model.safetensors` holds the weights to use (averaged, where the recipe averages); the state holds
what else the next epoch needs: optimizers, the losses of selective backprop, and the other set of
weights. The last checkpoint also has `margins.safetensors`, which `clearsight doubt` reads. No
pickle.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor
from torch.optim import Optimizer

from clearsight.errors import ConfigError, FileError, RunError, first_line
from clearsight.files import check_regular, read_json, recover, replacing, write_json
from clearsight.models.classifier import Classifier
from clearsight.models.factory import rebuild
from clearsight.training.averaging import Averaging

WEIGHTS, METADATA, STATE = "model.safetensors", "checkpoint.json", "state.safetensors"
MARGINS = "margins.safetensors"
TRAIN_STATE = "train_state"  # key in checkpoint.json
REMEDY = "restore the file, or train again"


def save_weights(
    folder: Path,
    model: Classifier,
    averaging: Averaging,
    metadata: Mapping[str, Any],
    margins: Mapping[str, Tensor] | None = None,
) -> None:
    """The weights to use, and what rebuilds the classifier; replaces `folder` whole.

    `margins` are the training images' (`training.margins.Margins`).
    """
    with replacing(folder) as temporary:
        _write(temporary, model, averaging, metadata)
        if margins is not None:
            (temporary / MARGINS).write_bytes(save(_plain(margins)))


def save_state(
    folder: Path,
    model: Classifier,
    averaging: Averaging,
    optimizers: Sequence[Optimizer],
    selection: Mapping[str, Tensor],
    metadata: Mapping[str, Any],
    margins: Mapping[str, Tensor],
) -> None:
    """The weights and all that resuming needs; replaces `folder` whole.

    `selection` is the state of the phase's selective backprop.
    """
    tensors = {f"selective_backprop.{name}": tensor for name, tensor in selection.items()}
    for number, optimizer in enumerate(optimizers):
        for index, values in optimizer.state_dict()["state"].items():
            for key, value in values.items():
                tensors[f"optimizer.{number}.{index}.{key}"] = value
    for name, tensor in averaging.slow.items():
        tensors[f"slow.{name}"] = tensor
        tensors[f"fast.{name}"] = averaging.fast[name]
    with replacing(folder) as temporary:
        _write(temporary, model, averaging, metadata)
        (temporary / MARGINS).write_bytes(save(_plain(margins)))
        (temporary / STATE).write_bytes(save(_plain(tensors)))


def load_classifier(folder: Path) -> Classifier:
    """The classifier of a checkpoint, in eval mode, float32, on the CPU, with its temperature.

    Raises `RunError`.
    """
    model = load_architecture(folder)
    load_weights(folder, model)
    model.temperature = load_metadata(folder).get("temperature", 1.0)
    return model.eval()


def load_architecture(folder: Path) -> Classifier:
    """The classifier of a checkpoint with random weights. Raises `RunError`."""
    try:
        return rebuild(load_metadata(folder))
    except ConfigError as error:
        raise RunError(f"checkpoint {folder / METADATA}: {error}; {REMEDY}") from error


def load_weights(folder: Path, model: Classifier) -> None:
    """A checkpoint's weights into a model of the same architecture. Raises `RunError`."""
    with _readable(folder / WEIGHTS):
        model.load_state_dict(_read(folder / WEIGHTS))


def load_metadata(folder: Path) -> dict[str, Any]:
    """What `checkpoint.json` says. Raises `RunError` if there is none, or not all of it."""
    recover(folder)
    try:
        metadata = read_json(folder / METADATA)
    except FileError as error:
        raise RunError(f"checkpoint {error}, or train again") from error
    if "position" in metadata:  # its former name, read until 1.0
        metadata[TRAIN_STATE] = metadata.pop("position")
    state = metadata.get(TRAIN_STATE)
    if state is not None:
        finished = {len(state["phases"]), len(state["plans"])}
        knots = [knot for plan in (state["plan"], *state["plans"]) for knot in plan]
        if finished != {state["phase"]} or any(step >= total for step, total in knots):
            raise RunError(
                f"checkpoint {folder / METADATA}: its phases, plans and steps disagree; {REMEDY}"
            )
    return metadata


def save_temperature(folder: Path, temperature: float) -> None:
    """Makes `temperature` part of a checkpoint, its weights untouched."""
    write_json(folder / METADATA, {**load_metadata(folder), "temperature": temperature})


def load_state(
    folder: Path,
    model: Classifier,
    averaging: Averaging,
    optimizers: Sequence[Optimizer],
    selection: Mapping[str, Tensor],
) -> None:
    """Weights, averages, optimizers and selection as `save_state` left them, in place."""
    load_weights(folder, model)
    tensors = _read(folder / STATE)
    with _readable(folder / STATE), torch.no_grad():
        for name, tensor in selection.items():
            former = f"curriculum.{name}"  # read until 1.0
            tensor.copy_(tensors[former if former in tensors else f"selective_backprop.{name}"])
        for name in averaging.slow:
            averaging.slow[name].copy_(tensors[f"slow.{name}"])
            averaging.fast[name].copy_(tensors[f"fast.{name}"])
        for number, optimizer in enumerate(optimizers):
            state: dict[int, dict[str, Tensor]] = {}
            for name, tensor in tensors.items():
                if name.startswith(f"optimizer.{number}."):
                    index, key = name.split(".", 3)[2:]
                    state.setdefault(int(index), {})[key] = tensor
            optimizer.load_state_dict(optimizer.state_dict() | {"state": state})


def load_margins(folder: Path, margins: Mapping[str, Tensor]) -> None:
    """The margins as they were saved, in place; a checkpoint of an earlier version leaves them.

    Raises `RunError` where the file is damaged or of another number of images.
    """
    if not (folder / MARGINS).exists():
        return
    tensors = _read(folder / MARGINS)
    with _readable(folder / MARGINS):
        for name, tensor in margins.items():
            tensor.copy_(tensors[name])


def _write(folder: Path, model: Classifier, averaging: Averaging, metadata: Mapping) -> None:
    folder.mkdir()
    with averaging.applied():
        # Not save_file, whose error of a full disk is none of the system's.
        (folder / WEIGHTS).write_bytes(save(_plain(model.state_dict())))
    write_json(folder / METADATA, metadata)


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """On the CPU and contiguous, as the format wants them (channels-last is a view's order)."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _read(path: Path) -> dict[str, Tensor]:
    with _readable(path):
        check_regular(path)
        return load_file(path)


@contextmanager
def _readable(path: Path) -> Generator[None]:
    """Turns what is wrong with a file of tensors into a `RunError`."""
    try:
        yield
    except (FileError, OSError, SafetensorError, RuntimeError, KeyError, ValueError) as error:
        raise RunError(
            f"checkpoint file {path}: can't be used ({first_line(error)}); {REMEDY}"
        ) from error
