"""What a phase trains, and how the rest is kept still: in value and in its statistics."""

from fnmatch import fnmatchcase

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from clearsight.config.parsing import did_you_mean
from clearsight.config.schema import PhaseConfig
from clearsight.errors import ConfigError
from clearsight.models.classifier import Classifier
from clearsight.models.stages import stages


def selected(model: Classifier, trains: str, where: str = "trains") -> set[str]:
    """Names of the parameters that `trains` of a phase means; `where` is its place in the recipe.

    Raises `ConfigError` for a stage there is none of, and a pattern that no parameter matches.
    """
    names = [name for name, _ in model.named_parameters()]
    if trains == "all":
        return set(names)
    if trains == "head":
        return {name for name in names if name.startswith("head.")}
    if trains.startswith("top:"):
        kept = _top_stages(model, trains, where)
        inside = {id(p) for module in kept for p in module.parameters()}
        return {n for n, p in model.named_parameters() if id(p) in inside or n.startswith("head.")}
    found = set()
    for pattern in (part.strip() for part in trains.split(",")):
        matched = {name for name in names if fnmatchcase(name, pattern)}
        if not matched:
            hint = did_you_mean(pattern, ("head", "top:1", "all", *names))
            raise ConfigError(
                f"{where}: {pattern!r} matches no parameter of {model.name}{hint}; expected head, "
                "top:1, top:2 …, all, or patterns such as head.*"
            )
        found |= matched
    return found


def freeze(model: Classifier, names: set[str], trainable: set[str]) -> None:
    """Lets the parameters `names` train, none else, and only what is `trainable` by the network."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in names & trainable)


def set_modes(model: Classifier, phase: PhaseConfig) -> None:
    """Train mode where the phase trains, eval mode in all that is frozen.

    A stage without a parameter that trains is in eval mode whole, its dropout included; and so is
    any module of which no parameter trains. Batch norm that trains is in eval mode too where it
    shall keep its running statistics: scale and shift then train, mean and variance stay.
    """
    model.train()
    _still(model)
    for _, modules in stages(model.backbone):
        if not any(p.requires_grad for module in modules for p in module.parameters()):
            for module in modules:
                module.eval()
    if phase.bn == "running" or (phase.bn == "auto" and phase.trains != "all"):
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                module.eval()


def frozen_depth(model: Classifier) -> int:
    """How many stages from the first on are frozen; 0 where a part of the backbone in none trains.

    The number of stages if the whole backbone is.
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

    What is in no stage (the position embedding of a transformer) lies as deep as the stem.
    """
    groups = stages(model.backbone)
    found = {id(p): len(groups) for p in model.parameters()}
    found |= {id(p): 0 for p in model.head.parameters()}
    for depth, (_, modules) in enumerate(reversed(groups), 1):
        found |= {id(p): depth for module in modules for p in module.parameters()}
    return found


def _top_stages(model: Classifier, trains: str, where: str) -> list[nn.Module]:
    groups = stages(model.backbone)
    count = trains.removeprefix("top:")
    if not count.isdecimal() or not 1 <= int(count) <= len(groups):
        raise ConfigError(
            f"{where}: found {trains!r}; {model.name} has {len(groups)} stages "
            f"({', '.join(name for name, _ in groups)}), so top:1 to top:{len(groups)}"
        )
    return [module for _, modules in groups[-int(count) :] for module in modules]


def _still(module: nn.Module) -> None:
    """Eval mode for all inside `module` that has parameters of which none trains."""
    parameters = list(module.parameters())
    if parameters and not any(p.requires_grad for p in parameters):
        module.eval()
        return
    for child in module.children():
        _still(child)
