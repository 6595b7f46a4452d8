"""What stays the same through all phases of a run."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clearsight.config.schema import Config
from clearsight.data.batches import Batches
from clearsight.models.classifier import Classifier
from clearsight.progress import Progress
from clearsight.runtime.device import Precision
from clearsight.training.averaging import Averaging
from clearsight.training.margins import Margins


@dataclass(frozen=True, kw_only=True)
class TrainContext:
    """A run's model, data and configuration.

    - `validation`: uint8 [N, H, W, 3] and int64 [N], None without a validation part
    - `ids`: a hash of the images' ids in their order, for `training` and `validation`
    - `class_weights`: float32 [K], where the loss is balanced
    """

    config: Config
    model: Classifier
    batches: Batches
    validation: tuple[np.ndarray, np.ndarray] | None
    ids: Mapping[str, str]
    class_weights: Tensor | None
    averaging: Averaging
    margins: Margins
    device: torch.device
    precision: Precision
    progress: Progress
