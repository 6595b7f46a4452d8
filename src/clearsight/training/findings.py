"""What a check before training found."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["pixels", "labels", "input", "weights", "features", "loss", "map"]


@dataclass(frozen=True)
class Finding:
    """One thing the check found, in a sentence with its numbers; an `error` stops the run."""

    level: Literal["error", "warning"]
    kind: Kind
    message: str
