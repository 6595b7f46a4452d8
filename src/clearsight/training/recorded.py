"""What a run was started with, and how far it came, by its checkpoint."""

from typing import Any

from clearsight.config.parsing import parse
from clearsight.config.recipes import to_table
from clearsight.config.schema import Config
from clearsight.config.tables import differences
from clearsight.errors import RunError
from clearsight.runs import Run
from clearsight.training.checkpoint import METADATA, TRAIN_STATE, load_metadata
from clearsight.training.phases import resolved
from clearsight.training.state import TrainState

# These decide nothing about the result: a resumed run may find its data, its device, its tracker
# and room for a cache elsewhere.
FREE = ("name", "data.source", "data.images", "training.device", "tracking.", "cache.store",
        "cache.memory", "cache.disk")  # fmt: skip


def is_trained(run: Run, config: Config) -> bool:
    """Whether all phases have been trained."""
    return run.last.is_dir() and _state(run).phase >= len(config.phases)


def check_recipe(run: Run, config: Config) -> None:
    """Raises `RunError`, naming the field, where the run's recipe was edited after it was trained.

    A budgeted run itself writes the steps it came to into its recipe; that is no edit. A checkpoint
    of an earlier version, which does not keep its recipe, passes.
    """
    if not run.last.is_dir():
        return
    kept = load_metadata(run.last).get("recipe")
    if kept is None:
        return
    started = parse(Config, kept, METADATA)
    edits = _edits(config, started)
    if is_trained(run, config):
        ended = resolved(started, _state(run))
        edits = min(edits, _edits(config, ended), key=len)
    if edits:
        field, (found, recorded) = next(iter(edits.items()))
        raise RunError(
            f"run {run.path}: {run.recipe.name} says {field} = {_shown(found)}, but it was trained "
            f"with {_shown(recorded)}; undo the edit, or train the edited recipe into a new run"
        )


def _state(run: Run) -> TrainState:
    return TrainState.from_dict(load_metadata(run.last)[TRAIN_STATE])


def _edits(found: Config, recorded: Config) -> dict[str, tuple[Any, Any]]:
    """{field: (found, recorded)} of what differs and decides about the result."""
    every = differences(to_table(found), to_table(recorded))
    return {field: pair for field, pair in every.items() if not field.startswith(FREE)}


def _shown(value: Any) -> str:
    return "nothing" if value is None else repr(value)
