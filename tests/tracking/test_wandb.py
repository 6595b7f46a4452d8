"""W&B's offline files, read back record by record."""

import json
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clearsight.runs import Run
from clearsight.tracking.numbers import Seeds

BLOCK, FULL, LAST = 32768, 1, 4


def records(path: Path) -> Iterator[Any]:
    """The protobuf records of a `.wandb` file: LevelDB's log format after a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, position, whole = path.read_bytes(), 7, b""
    while position + 7 <= len(data):
        if BLOCK - position % BLOCK < 7:  # the rest of a block is padding
            position += BLOCK - position % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        if position + 7 + length > len(data):  # still being written
            return
        whole += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (FULL, LAST):
            record = Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


def finished(path: Path) -> list[Any]:
    """All records, once the last is there: W&B's own process writes them, and may be late."""
    deadline = time.monotonic() + 20
    while True:
        found = list(records(path))
        kinds = {record.WhichOneof("record_type") for record in found}
        if {"run", "history", "exit"} <= kinds or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def as_table(items: Any) -> dict[str, Any]:
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}


def test_a_run_is_kept_offline(
    tmp_path: Path, new_run: Callable[..., Run], follow: Callable[..., None], screen: Any,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run = new_run(tmp_path / "run", "wandb")
    follow(run, seeds=Seeds(id="a1", name="airnet94 2 seeds", count=2))
    assert screen.lines == []
    assert capfd.readouterr() == ("", "")

    (file,) = (run.path / "wandb").glob("offline-run-*/run-*.wandb")
    found = finished(file)
    (about,) = (r.run for r in found if r.WhichOneof("record_type") == "run")
    assert (about.project, about.display_name, about.run_group) == (
        "clearsight", "run", "airnet94 2 seeds",
    )  # fmt: skip
    config = as_table(about.config.update)
    assert (config["data.source"], config["split_hash"]) == ("cifar10", "5117")
    history = [as_table(r.history.item) for r in found if r.WhichOneof("record_type") == "history"]
    assert [row["val_loss"] for row in history] == [2.5, 1.25, 2.5 / 3]
    summary: dict[str, Any] = {}
    for record in found:
        summary |= as_table(record.summary.update)
    assert (summary["accuracy"], summary["accuracy_low"], summary["n"]) == (0.9, 0.85, 200)


def test_two_runs_in_one_process_stay_apart(
    tmp_path: Path, new_run: Callable[..., Run], follow: Callable[..., None], screen: Any
) -> None:
    for seed in range(2):
        follow(new_run(tmp_path / f"s{seed}", "wandb", seed))
        assert len(list((tmp_path / f"s{seed}" / "wandb").glob("offline-run-*"))) == 1
    assert screen.lines == []
