"""`clearsight profile`: what a network costs on this machine, before anything is trained."""

from pathlib import Path
from typing import Any

from clearsight.config.schema import Config, DataConfig, ModelConfig
from clearsight.data.splits import split
from clearsight.progress import SILENT, Progress
from clearsight.training.cost import profile_network
from clearsight.workflows.loading import load_data


def profile(
    source: str,
    model: str,
    *,
    data_dir: Path | str | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """What the network `model` costs on this machine, by input size, for a data set's epochs."""
    config = Config(data=DataConfig(source=source), model=ModelConfig(name=model))
    images = load_data(config, data_dir, progress)
    return profile_network(model, images, len(split(images, config.data).train), progress=progress)
