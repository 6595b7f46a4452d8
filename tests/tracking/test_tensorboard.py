"""Event files read back by TensorBoard's own reader."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clearsight.runs import Run


def test_scalars_and_texts_are_found_again(
    tmp_path: Path, new_run: Callable[..., Run], follow: Callable[..., None], screen: Any
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = new_run(tmp_path / "run", "tensorboard")
    follow(run)
    assert screen.lines == []
    events = EventAccumulator(str(run.path / "tensorboard"))
    events.Reload()
    losses = [(event.step, event.value) for event in events.Scalars("val_loss")]
    assert losses == [(1, 2.5), (2, 1.25), (3, pytest.approx(2.5 / 3))]
    assert events.Scalars("final/accuracy_low")[0].value == pytest.approx(0.85)
    facts = events.Tensors("facts/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "| split_hash | 5117 |" in facts
    recipe = events.Tensors("recipe/text_summary")[0].tensor_proto.string_val[0].decode()
    assert 'source = "cifar10"' in recipe
