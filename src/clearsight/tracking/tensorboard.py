"""TensorBoard: event files in the run folder's `tensorboard`."""

from collections.abc import Mapping
from typing import Any

from clearsight.config.recipes import to_toml
from clearsight.config.schema import Config
from clearsight.progress import EpochRow
from clearsight.runs import Run
from clearsight.tracking.numbers import epoch_metrics, facts, final_metrics

FOLDER = "tensorboard"


class TensorBoardTracker:
    """Epochs as scalars by epoch, final metrics under `final/`, recipe and facts as text."""

    def __init__(self) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer_class = SummaryWriter
        self._writer: Any

    def start(
        self, run: Run, config: Config, environment: Mapping[str, Any], split_hash: str
    ) -> None:
        self._writer = self._writer_class(log_dir=str(run.path / FOLDER))
        about = facts(run, config, environment, split_hash)
        rows = "\n".join(f"| {key} | {value} |" for key, value in about.items())
        self._writer.add_text("facts", f"| fact | value |\n|---|---|\n{rows}")
        self._writer.add_text("recipe", f"```toml\n{to_toml(config)}\n```")

    def epoch(self, row: EpochRow) -> None:
        for name, value in epoch_metrics(row).items():
            self._writer.add_scalar(name, value, row["epoch"])
        self._writer.flush()

    def finish(self, evaluation: Mapping[str, Any]) -> None:
        for name, value in final_metrics(evaluation).items():
            self._writer.add_scalar(f"final/{name}", value)
        self._writer.close()

    def fail(self, reason: str) -> None:
        self._writer.add_text("ended", reason)
        self._writer.close()
