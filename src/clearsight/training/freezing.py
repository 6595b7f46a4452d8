"""What a phase trains, and how the rest is frozen: its values and its running statistics."""

from fnmatch import fnmatchcase

from torch import nn

from clearsight.config.parsing import did_you_mean
from clearsight.config.schema import PhaseConfig
from clearsight.errors import ConfigError
from clearsight.models.classifier import Classifier
from clearsight.models.stages import stages

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def selected(model: Classifier, trainable: str, field: str = "trainable") -> set[str]:
    """Names of the parameters that `trainable` of a phase means; `field` is its name for errors.

    Raises `ConfigError` for a stage that does not exist, and a pattern that no parameter matches.
    """
    names = [name for name, _ in model.named_parameters()]
    if trainable == "all":
        return set(names)
    if trainable == "head":
        return {name for name in names if name.startswith("head.")}
    if trainable.startswith("top:"):
        kept = _top_stages(model, trainable, field)
        inside = {id(p) for module in kept for p in module.parameters()}
        return {n for n, p in model.named_parameters() if id(p) in inside or n.startswith("head.")}
    found = set()
    for pattern in (part.strip() for part in trainable.split(",")):
        matched = {name for name in names if fnmatchcase(name, pattern)}
        if not matched:
            hint = did_you_mean(pattern, ("head", "top:1", "all", *names))
            raise ConfigError(
                f"{field}: {pattern!r} matches no parameter of {model.name}{hint}; expected head, "
                "top:1, top:2 …, all, or patterns such as head.*"
            )
        found |= matched
    return found


def freeze(model: Classifier, trainable: set[str], allowed: set[str]) -> None:
    """Makes the parameters `trainable` train and no others, as far as the network has `allowed` it.

    A network may keep parameters of its own fixed.
    """
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trainable & allowed)


def set_modes(model: Classifier, phase: PhaseConfig) -> None:
    """Train mode where the phase trains, eval mode in all that is frozen.

    A stage without a trainable parameter is in eval mode as a whole, its dropout included, and so
    is any module none of whose parameters is trainable. Trainable batch norm is in eval mode too
    where it is to keep its running statistics: scale and shift then train, mean and variance stay.
    """
    model.train()
    _freeze_modes(model)
    for _, modules in stages(model.backbone):
        if not any(p.requires_grad for module in modules for p in module.parameters()):
            for module in modules:
                module.eval()
    if phase.batch_norm == "running" or (phase.batch_norm == "auto" and phase.trainable != "all"):
        for module in model.modules():
            if isinstance(module, BATCH_NORMS):
                module.eval()


def frozen_depth(model: Classifier) -> int:
    """How many stages are frozen, from the first on; the number of stages if the backbone is.

    0 where a parameter of the backbone that belongs to no stage is trainable.
    """
    groups = stages(model.backbone)
    free = {id(p) for p in model.backbone.parameters() if p.requires_grad}
    depth = 0
    for _, modules in groups:
        if any(id(p) in free for module in modules for p in module.parameters()):
            break
        depth += 1
    staged = {id(p) for _, modules in groups for module in modules for p in module.parameters()}
    return depth if free <= staged else 0


def depths(model: Classifier) -> dict[int, int]:
    """How far below the head each parameter lies, by its id: the head 0, the last stage 1 …

    A parameter in no stage (a transformer's position embedding) lies as deep as the stem.
    """
    groups = stages(model.backbone)
    found = {id(p): len(groups) for p in model.parameters()}
    found |= {id(p): 0 for p in model.head.parameters()}
    for depth, (_, modules) in enumerate(reversed(groups), 1):
        found |= {id(p): depth for module in modules for p in module.parameters()}
    return found


def _top_stages(model: Classifier, trainable: str, field: str) -> list[nn.Module]:
    groups = stages(model.backbone)
    count = trainable.removeprefix("top:")
    if not count.isdecimal() or not 1 <= int(count) <= len(groups):
        raise ConfigError(
            f"{field}: found {trainable!r}; {model.name} has {len(groups)} stages "
            f"({', '.join(name for name, _ in groups)}), so top:1 to top:{len(groups)}"
        )
    return [module for _, modules in groups[-int(count) :] for module in modules]


def _freeze_modes(module: nn.Module) -> None:
    """Eval mode for every module inside `module` that has parameters, none of them trainable."""
    parameters = list(module.parameters())
    if parameters and not any(p.requires_grad for p in parameters):
        module.eval()
        return
    for child in module.children():
        _freeze_modes(child)
