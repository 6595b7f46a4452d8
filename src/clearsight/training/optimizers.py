"""Optimizers: which parameters train, in which groups, and Muon for filters."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from clearsight.config.schema import PhaseConfig
from clearsight.errors import TrainingError
from clearsight.models.classifier import Classifier
from clearsight.training.freezing import depths


def build_optimizers(model: Classifier, phase: PhaseConfig) -> list[Optimizer]:
    """The phase's optimizers, for what is not frozen. Each group keeps its rate as `peak_lr`.

    Groups: weights of the backbone; biases and normalisation; the head; each by stage where the
    rate decays from stage to stage. Weight decay leaves biases and normalisation alone, except in
    what Muon leaves to SGD, where it is part of the recipe the network comes from.
    """
    head = {id(p) for p in model.head.parameters()}
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        raise TrainingError(f"phase {phase.name!r}: nothing to train, all parameters are frozen")
    heads = [p for p in trained if id(p) in head and p.ndim > 1]
    biases = [p for p in trained if p.ndim <= 1]
    weights = [p for p in trained if id(p) not in head and p.ndim > 1]
    bias_lr = phase.lr if phase.bias_lr is None else phase.bias_lr
    head_lr = phase.lr if phase.head_lr is None else phase.head_lr
    below = depths(model) if phase.layer_decay < 1 else {}

    def groups(parameters: list[nn.Parameter], lr: float, decay: float) -> list[dict[str, Any]]:
        levels: dict[int, list[nn.Parameter]] = {}
        for p in parameters:
            levels.setdefault(below.get(id(p), 0), []).append(p)
        return [
            {"params": level, "lr": lr * phase.layer_decay**depth, "weight_decay": decay}
            for depth, level in sorted(levels.items())
        ]

    decay = phase.weight_decay
    optimizers: list[Optimizer] = []
    if phase.optimizer == "muon":
        momentum = phase.momentum if phase.bias_momentum is None else phase.bias_momentum
        others = groups(biases, bias_lr, 0.0) + groups(heads, head_lr, 0.0)
        for group in others:
            # Decoupled: the decay per step does not grow with the group's large learning rate.
            group["weight_decay"] = decay / group["lr"] if group["lr"] else 0.0
        if weights:
            filters = groups(weights, phase.lr, 0.0)
            optimizers.append(Muon(filters, lr=phase.lr, momentum=phase.momentum))
        if others:
            optimizers.append(SGD(others, lr=phase.lr, momentum=momentum, nesterov=momentum > 0))
    else:
        all_groups = [
            *groups(weights, phase.lr, decay),
            *groups(biases, bias_lr, 0.0),
            *groups(heads, head_lr, decay),
        ]
        momentum = phase.momentum
        if phase.optimizer == "sgd":
            optimizers = [SGD(all_groups, lr=phase.lr, momentum=momentum, nesterov=momentum > 0)]
        else:
            kind = Adam if phase.optimizer == "adam" else AdamW
            optimizers = [kind(all_groups, lr=phase.lr, betas=(momentum, 0.999))]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers


def set_rate(
    optimizers: Iterable[Optimizer], lr: float, factor: float, floor: float = 0.0
) -> float:
    """Sets every group to `factor` × its peak, not under `floor`; returns what `lr` becomes so."""

    def rate(peak: float) -> float:
        return max(peak * factor, min(floor, peak))

    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate(group["peak_lr"])
    return rate(lr)


class Muon(Optimizer):
    """Momentum whose update is orthogonalised, for weights of two and more dimensions.

    Filters [O, …] are seen as matrices [O, rest] and kept at norm √O, so that the step's size
    relative to the weights is the learning rate alone. After Jordan et al., "Muon", 2024; torch's
    own takes 2-D parameters only.
    """

    def __init__(self, parameters: Iterable[Any], lr: float, momentum: float) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # ty: ignore[incompatible-method-override]
        """One step over all parameters that have a gradient; takes no closure."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(p.grad)
                buffer = state["momentum_buffer"].mul_(group["momentum"]).add_(p.grad)
                nesterov = p.grad.add(buffer, alpha=group["momentum"])
                p.mul_(len(p) ** 0.5 / p.norm())
                update = orthogonalise(nesterov.flatten(1)).view_as(p)
                p.add_(update.to(p.dtype), alpha=-group["lr"])


def orthogonalise(matrix: Tensor, steps: int = 3) -> Tensor:
    """[A, B] → the nearest semi-orthogonal matrix, roughly: singular values come to 0.5 … 1.5.

    A quintic Newton–Schulz iteration with Jordan's coefficients (2024), in bf16: the update needs
    no more precision.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.bfloat16()
    x = x / (x.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x
