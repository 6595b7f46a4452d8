"""Where training stands: the part of a run's state that is numbers."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class TrainState:
    """How far a run has come; `checkpoint.json` keeps it at the end of every epoch.

    - `phase`: number of the current phase; `step`: steps done in it; `seconds`: time spent in it
    - `epoch`: epochs done in the run
    - `plan`: knots of the phase's plan, `()` where it has not begun
    - `history`, `timing`: the rows of `history.csv` and `timing.csv`
    - `best`: the row of the epoch whose weights are to be used, as `restore` of the phases says
    - `best_before`: what `best` was when the current phase began
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
    best_before: dict[str, Any] | None = None
    phases: list[dict[str, Any]] = field(default_factory=list)
    plans: list[tuple[tuple[int, int], ...]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainState":
        """What `to_dict` wrote."""
        known = dict(values)
        known["plan"] = _knots(known["plan"])
        known["plans"] = [_knots(plan) for plan in known["plans"]]
        return cls(**known)

    @property
    def run_seconds(self) -> float:
        """Time spent in all phases."""
        return self.seconds + sum(row["seconds"] for row in self.phases)

    def phase_rows(self) -> list[dict[str, Any]]:
        """The rows of `history` that belong to the current phase."""
        return [row for row in self.history if row["phase"] == self.phase + 1]

    def validation_losses(self) -> list[float]:
        """Validation losses of the current phase, by epoch."""
        return [row["val_loss"] for row in self.phase_rows() if "val_loss" in row]

    def close_phase(self, row: dict[str, Any]) -> None:
        """Files the finished phase's row and turns to the next."""
        self.phases.append(row)
        self.plans.append(self.plan)
        self.best_before = self.best
        self.phase, self.step, self.seconds, self.plan = self.phase + 1, 0, 0.0, ()


def _knots(values: Any) -> tuple[tuple[int, int], ...]:
    return tuple((int(step), int(total)) for step, total in values)
