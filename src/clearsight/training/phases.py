"""Where training stands: the part of a run's state that is numbers, and how budgets are shared."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from clearsight.config.schema import Config, PhaseConfig
from clearsight.training.schedules import Plan


@dataclass
class Position:
    """How far a run has come; `checkpoint.json` keeps it at the end of every epoch.

    - `phase`: number of the phase at work; `step`: steps done in it; `seconds`: time spent in it
    - `epoch`: epochs done in the run
    - `plan`: knots of the phase's plan, `()` where it has not begun
    - `history`, `timing`: the rows of `history.csv` and `timing.csv`
    - `best`: the row of the best epoch of the run, by validation accuracy, then loss
    - `phases`: one row per finished phase, for `evaluation.json`
    - `plans`: the plans of the finished phases
    """

    phase: int = 0
    step: int = 0
    epoch: int = 0
    seconds: float = 0.0
    plan: tuple[tuple[int, int], ...] = ()
    history: list[dict[str, Any]] = field(default_factory=list)
    timing: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] | None = None
    phases: list[dict[str, Any]] = field(default_factory=list)
    plans: list[tuple[tuple[int, int], ...]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Position":
        """What `to_dict` wrote."""
        known = dict(values)
        known["plan"] = _knots(known["plan"])
        known["plans"] = [_knots(plan) for plan in known["plans"]]
        return cls(**known)

    def validation_losses(self) -> list[float]:
        """Validation losses of the phase at work, by epoch."""
        rows = [row for row in self.history if row["phase"] == self.phase + 1]
        return [row["val_loss"] for row in rows if "val_loss" in row]

    def close_phase(self, row: dict[str, Any]) -> None:
        """Files the finished phase's row and turns to the next."""
        self.phases.append(row)
        self.plans.append(self.plan)
        self.phase, self.step, self.seconds, self.plan = self.phase + 1, 0, 0.0, ()


def first_plan(phase: PhaseConfig, steps_per_epoch: int) -> Plan:
    """The plan a phase starts with: as recorded, or its steps, or its epochs."""
    if phase.plan:
        return Plan(phase.plan)
    return Plan(((0, phase.steps or max(1, round(phase.epochs * steps_per_epoch))),))


def phase_budget(config: Config, position: Position) -> float | None:
    """Seconds for the phase at work: what the finished ones left, in proportion to epochs."""
    if config.training.budget is None:
        return None
    left = config.training.budget - sum(row["seconds"] for row in position.phases)
    epochs = [phase.epochs for phase in config.phases[position.phase :]]
    return max(left, 0.0) * epochs[0] / sum(epochs)


def planned_epochs(
    position: Position, plan: Plan, steps_per_epoch: int, skip: float = 0.0
) -> range:
    """Numbers, from 0 in the run, of the epochs that `plan` gives the phase at work, at most.

    `skip` is the fraction of the images that they may leave out.
    """
    done = sum(row["phase"] == position.phase + 1 for row in position.history)
    first = position.epoch - done
    shortest = max(1, math.floor(steps_per_epoch * (1 - skip)))
    return range(first, first + math.ceil(plan.total / shortest))


def resolved(config: Config, position: Position) -> Config:
    """The configuration that repeats a budgeted run exactly: its steps instead of its budget."""
    if config.training.budget is None:
        return config
    phases = tuple(
        replace(phase, steps=plan[-1][1], plan=plan)
        for phase, plan in zip(config.phases, position.plans, strict=True)
    )
    return replace(config, phases=phases, training=replace(config.training, budget=None))


def _knots(values: Any) -> tuple[tuple[int, int], ...]:
    return tuple((int(step), int(total)) for step, total in values)
