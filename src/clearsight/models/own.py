"""Weights of a classifier that clearsight trained, to train on from: a run, checkpoint or bundle.

The backbone is taken whole. Of the head the rows of classes with the same name are kept, whatever
their order; other classes get new rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from clearsight.config.schema import ModelConfig
from clearsight.errors import ClearsightError, ConfigError, WeightsError, first_line
from clearsight.files import check_regular, file_digest, read_json
from clearsight.models.classifier import Classifier
from clearsight.models.factory import build, rebuild
from clearsight.models.preprocess import Expectation, Preprocess
from clearsight.runs import Run

TENSORS, CHECKPOINT, BUNDLE, RECIPE = (
    "model.safetensors", "checkpoint.json", "bundle.json", "recipe.toml",
)  # fmt: skip

USUAL = ("bundle", "best", "last")


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A classifier to train on from, with its weights.

    `source` names it; `size` (px) and `fit` say how its images were fitted.
    """

    source: str
    model: Classifier
    size: int
    fit: str
    sha256: str

    def kept(self, classes: Sequence[str]) -> list[str]:
        """Those of `classes` that it knows."""
        return [name for name in classes if name in self.model.classes]


def find_trained(given: str | None) -> Trained | None:
    """The classifier in the folder that `model.weights` names; None where it names none.

    Raises `WeightsError` for another folder, and for one whose weights can't be used.
    """
    path = Path(given).expanduser() if given else None
    if path is None or not path.is_dir():
        return None
    try:
        if (path / RECIPE).is_file():
            folder = Run(path).weights
            if not folder.is_dir():
                raise WeightsError(
                    f"model.weights: run {path} has no checkpoint yet; train it first, or give "
                    "another"
                )
            return _of_checkpoint(folder, f"run {path.resolve().name}")
        if (path / CHECKPOINT).is_file():
            return _of_checkpoint(path, f"checkpoint {_label(path)}")
        if (path / BUNDLE).is_file():
            return _of_bundle(path)
    except KeyError as error:
        raise WeightsError(
            f"model.weights: {path} does not say its {error.args[0]}, so its model can't be built "
            "again; give another"
        ) from error
    raise WeightsError(
        f"model.weights: {path} is a folder without {RECIPE}, {CHECKPOINT} or {BUNDLE}; give a "
        "run, a bundle, or a file of tensors"
    )


def begin_from(trained: Trained, config: ModelConfig, classes: Sequence[str]) -> Classifier:
    """A classifier of `classes` with the weights of `trained`, normalising as that does.

    Rows of the head, where it is of the same kind, are kept by the names of their classes. Raises
    `ConfigError` for settings that contradict the weights, `WeightsError` for another network.
    """
    old = trained.model
    if config.name != old.name:
        raise WeightsError(
            f"model.weights: {trained.source} is {old.name}, and model.name is {config.name}; add "
            f"--model.name {old.name}, or give weights of {config.name}"
        )
    for field in ("mean", "std", "pixel_range", "channel_order"):
        if getattr(config, field) != getattr(ModelConfig, field):
            raise ConfigError(
                f"model.{field}: found {getattr(config, field)!r}, but {trained.source} brings its "
                "own preprocessing; leave it out"
            )
    about: dict[str, Any] = old.preprocess.describe()
    about |= {"size": config.size or about["size"]}
    about |= {"scaled_twice": True} if config.preprocess == "double-scaled" else {}
    model = build(old.name, classes, Preprocess(**about), config.head)
    try:
        model.backbone.load_state_dict(old.backbone.state_dict())
    except RuntimeError as error:
        raise WeightsError(
            f"model.weights: {trained.source} is {old.name} for images of {old.preprocess.size} "
            f"px, and {model.preprocess.size} px take other weights; leave model.size out"
        ) from error
    if model.head_kind == old.head_kind:
        _keep_rows(model, old)
        model.known = tuple(trained.kept(classes))
    licence = "not stated" if old.origin is None else old.origin["licence"]
    model.origin = {"source": trained.source, "licence": licence, "sha256": trained.sha256}
    own = old.preprocess
    own = old.preprocess
    model.expects = Expectation(
        mean=tuple(own.mean.flatten().tolist()), std=tuple(own.std.flatten().tolist()),
        size=model.preprocess.size, interpolation=own.interpolation,
        channel_order=own.channel_order,
    )  # fmt: skip
    return model


def told(trained: Trained, model: Classifier, fit: str) -> list[str]:
    """Sentences on what `model`, whose images are fitted by `fit`, kept of `trained`."""
    kept = model.known
    new = [name for name in model.classes if name not in kept]
    gone = [name for name in trained.model.classes if name not in kept]
    whole = model.head_kind == trained.model.head_kind
    line = f"weights of {trained.source} ({model.name}): "
    if not whole:
        line += f"the backbone; its head is {trained.model.head_kind}, so this one starts anew"
    elif not kept:
        line += "the backbone; none of the classes has the name of one that it knows"
    else:
        line += f"the backbone, and {len(kept):,} of {len(model.classes):,} classes by their names"
    line += f"; new: {_named(new)}" if new and kept and whole else ""
    line += f"; left behind: {_named(gone)}" if gone and whole else ""
    if fit == trained.fit:
        return [line]
    return [line, f"its images were fitted by {trained.fit}, these are by {fit}: see data.fit"]


def _label(path: Path) -> str:
    """The folder's name; with that above where every run has one so called."""
    path = path.resolve()
    return f"{path.parent.name}/{path.name}" if path.name in USUAL else path.name


def _named(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + f" and {len(names) - most:,} more" * (len(names) > most)


def _of_checkpoint(folder: Path, source: str) -> Trained:
    try:
        about = read_json(folder / CHECKPOINT)
        model = rebuild(about)
    except ClearsightError as error:
        raise WeightsError(f"model.weights: {source} can't be used: {error}") from error
    data = about["data"]
    return _trained(folder, source, model, int(data["size"]), data["fit"])


def _of_bundle(path: Path) -> Trained:
    source = f"bundle {_label(path)}"
    try:
        about = read_json(path / BUNDLE)
        model = rebuild(
            {
                "model": about["architecture"],
                "head": about.get("head", "linear"),
                "classes": about["classes"],
                "preprocess": about["preprocessing"],
                "weights": about["provenance"].get("weights"),
            }
        )
    except ClearsightError as error:
        raise WeightsError(f"model.weights: {source} can't be used: {error}") from error
    size, fit = int(about["input"]["size"]), about["input"]["fit"]
    return _trained(path, source, model, size, fit, about["sha256"][TENSORS])


def _trained(
    folder: Path, source: str, model: Classifier, size: int, fit: str, sha256: str | None = None
) -> Trained:
    """With the weights in `folder`, which must have the checksum, where it is known."""
    try:
        check_regular(folder / TENSORS)
        found = file_digest(folder / TENSORS)
        if sha256 not in (None, found):
            raise WeightsError(
                f"model.weights: {folder / TENSORS} has the SHA-256 {found}, bundle.json says "
                f"{sha256}; copy the bundle again"
            )
        model.load_state_dict(load_file(folder / TENSORS))
    except (OSError, RuntimeError, SafetensorError, ClearsightError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(
            f"model.weights: {folder / TENSORS} can't be used ({first_line(error)}); restore it, "
            "or give another"
        ) from error
    return Trained(source=source, model=model.eval(), size=size, fit=fit, sha256=found)


@torch.no_grad()
def _keep_rows(model: Classifier, old: Classifier) -> None:
    """The old head's tensors, those of its last layer by the names of the classes."""
    tensors, before = model.head.state_dict(), old.head.state_dict()
    last = _last_layer(model.head)
    places = [
        (row, old.classes.index(name))
        for row, name in enumerate(model.classes)
        if name in old.classes
    ]
    rows, old_rows = (list(each) for each in zip(*places, strict=True)) if places else ([], [])
    for name, tensor in tensors.items():
        if name.rpartition(".")[0] == last:
            tensor[rows] = before[name][old_rows]
        elif places:  # layers below serve the rows that are kept
            tensor.copy_(before[name])


def _last_layer(head: nn.Module) -> str:
    """The name in front of the head's last tensors: empty where it is one layer."""
    names: Mapping[str, Tensor] | dict[str, Any] = head.state_dict()
    return list(names)[-1].rpartition(".")[0]
