"""Checkpoints after any edit or damage: read, or refused in one sentence."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clearsight.config.schema import PhaseConfig, TrainingConfig
from clearsight.errors import ClearsightError, RunError
from clearsight.files import write_json
from clearsight.models.factory import build
from clearsight.models.preprocess import Preprocess
from clearsight.training.averaging import Averaging
from clearsight.training.checkpoint import (
    TRAIN_STATE,
    load_classifier,
    load_metadata,
    load_state,
    save_state,
)
from clearsight.training.optimizers import build_optimizers
from clearsight.training.state import TrainState
from tests.edits import edited, paths_of

QUICK = settings(
    deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ROW = {"phase": 1, "epoch": 1, "step": 9, "val_loss": 1.0, "val_accuracy": 0.5}
STATE = TrainState(
    phase=1, step=4, epoch=2, seconds=3.5, plan=((0, 9),), history=[ROW], timing=[{"epoch": 1}],
    best=ROW, best_before=ROW, phases=[{"name": "head", "seconds": 2.0}], plans=[((0, 4), (2, 6))],
)  # fmt: skip
odd = st.sampled_from(
    [..., None, True, -1, 0, 7, 0.5, 10**30, 1e300, "", "x", [], [0.5], [[]], [[1, 1]], [3, 2],
     ["a", "a"], {}, {"a": 1}, [{}]]
) | st.integers() | st.text(max_size=5)  # fmt: skip


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    torch.manual_seed(0)
    model = build("airnet-tiny", ("cat", "dog"), Preprocess((0.5,) * 3, (0.25,) * 3))
    folder = tmp_path_factory.mktemp("run") / "last"
    metadata = model.describe() | {"data": {"size": 32, "fit": "crop"}} | ROW
    metadata[TRAIN_STATE] = STATE.to_dict()
    metadata["weights"] = {"source": "package x", "licence": "mit", "sha256": "0" * 64}
    optimizers = build_optimizers(model, PhaseConfig())
    model(torch.zeros(2, 32, 32, 3, dtype=torch.uint8)).sum().backward()
    for optimizer in optimizers:
        optimizer.step()
    averaging = Averaging(model, TrainingConfig())
    save_state(folder, model, averaging, optimizers, {}, metadata, {"sums": torch.zeros(9)})
    return folder, load_metadata(folder)


def use(folder: Path) -> str | None:
    """Loads a checkpoint as for resuming; returns what the error says, if there is one."""
    try:
        model = load_classifier(folder)
        TrainState.from_dict(load_metadata(folder)[TRAIN_STATE])
        optimizers = build_optimizers(model, PhaseConfig())
        load_state(folder, model, Averaging(model, TrainingConfig()), optimizers, {})
    except ClearsightError as error:
        text = str(error)
    else:
        return None
    assert str(folder) in text
    assert "\n" not in text
    return text


def test_a_checkpoint_as_it_was_saved_is_loaded(saved: tuple[Path, dict[str, Any]]) -> None:
    folder, metadata = saved
    assert use(folder) is None
    assert TrainState.from_dict(metadata[TRAIN_STATE]) == STATE


@QUICK
@given(st.data(), odd)
def test_any_edit_of_checkpoint_json(
    saved: tuple[Path, dict[str, Any]], data: st.DataObject, value: Any
) -> None:
    folder, metadata = saved
    path = data.draw(st.sampled_from(paths_of(metadata)))
    write_json(folder / "checkpoint.json", edited(metadata, path, value))
    try:
        use(folder)
    finally:
        write_json(folder / "checkpoint.json", metadata)


@QUICK
@given(
    st.sampled_from(["model.safetensors", "state.safetensors", "checkpoint.json"]),
    st.integers(0, 3000),
    st.binary(max_size=4),
)
def test_any_damage(
    saved: tuple[Path, dict[str, Any]], name: str, position: int, piece: bytes
) -> None:
    file = saved[0] / name
    content = file.read_bytes()
    file.write_bytes(
        content[:position] + (piece + content[position + len(piece) :] if piece else b"")
    )
    try:
        use(saved[0])
    finally:
        file.write_bytes(content)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("model",), "vit9000", "checkpoint .*json: .*vit9000"),
        (("model",), "resnet20", r"model\.safetensors: can't be used"),
        (("classes",), ["cat"], "classes: found .* expected 2 or more items"),
        (("preprocess", "std"), [0, 1, 1], r"preprocess\.std\[0\]: found 0, expected more than 0"),
        (("data",), ..., "lacks data"),
        (("data", "size"), "32", r"data\.size: found '32', expected integer"),
        ((TRAIN_STATE, "phase"), 2, "phases, plans and steps disagree; restore"),
        ((TRAIN_STATE, "plan"), [[9, 9]], "phases, plans and steps disagree"),
        ((TRAIN_STATE, "epoch"), ..., "train_state: lacks epoch"),
    ],
)
def test_an_edited_key_is_named(
    saved: tuple[Path, dict[str, Any]], path: tuple, value: Any, message: str, tmp_path: Path
) -> None:
    folder, metadata = saved
    write_json(folder / "checkpoint.json", edited(metadata, path, value))
    try:
        with pytest.raises(RunError, match=message):
            load_classifier(folder)
    finally:
        write_json(folder / "checkpoint.json", metadata)


def test_a_pipe_is_not_opened(saved: tuple[Path, dict[str, Any]]) -> None:
    file = saved[0] / "model.safetensors"
    content = file.read_bytes()
    file.unlink()
    os.mkfifo(file)
    try:
        with pytest.raises(RunError, match=r"model\.safetensors: can't be used .*named pipe"):
            load_classifier(saved[0])
    finally:
        file.unlink()
        file.write_bytes(content)
