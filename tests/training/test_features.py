"""The cache of features: entries, keys, damage, room on the disk."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from clearsight.config.schema import CacheConfig
from clearsight.models.factory import build
from clearsight.models.preprocess import Preprocess
from clearsight.models.stages import run_prefix, stages
from clearsight.progress import Silent
from clearsight.training.features import Chunk, Features, Frozen, View, compute_features

CPU = torch.device("cpu")
IMAGES = torch.randint(
    0, 255, (50, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)


def frozen(depth: int, seed: int = 0) -> Frozen:
    torch.manual_seed(seed)
    model = build("resnet20", ("a", "b"), Preprocess([0.5] * 3, [0.25] * 3)).eval()
    return Frozen(model.to(memory_format=torch.channels_last), depth, CPU, "fp32")


def view(name: str = "all", mixed: bool = False) -> View:
    def chunks() -> Iterator[Chunk]:
        for part in IMAGES.split(16):
            yield part, torch.full((len(part), 2), 0.5) if mixed else torch.zeros(len(part)).long()

    return View(name=name, count=50, metadata={"of": name}, chunks=chunks)


def compute(part: Frozen, *views: View, **cache: object) -> list[Features] | None:
    return compute_features(part, views, CacheConfig(**cache), Silent())  # ty: ignore


def entries(cache: Path) -> list[Path]:
    return sorted((cache / "clearsight" / "features").iterdir())


@pytest.mark.parametrize("memory", [0.0, 1.0])
@pytest.mark.parametrize("disk", [0.0, 1.0])
@pytest.mark.parametrize("from_the_end", [0, 1])
def test_features_are_what_the_stages_give(memory: float, disk: float, from_the_end: int) -> None:
    part = frozen(len(stages(frozen(1).model.backbone)) - from_the_end)
    found = compute(part, view(), memory=memory, disk=disk)
    if not memory and not disk:
        assert found is None
        return
    assert found is not None
    indices = torch.tensor([3, 49, 3])
    expected = run_prefix(part.model, IMAGES[indices], part.depth)
    taken = found[0].take(indices, CPU)
    assert taken.shape == expected.shape
    assert torch.allclose(taken, expected, atol=1e-5)
    assert taken.ndim == 2 or taken.is_contiguous(memory_format=torch.channels_last)
    assert found[0].targets is None


def test_targets_of_mixed_images_are_kept() -> None:
    for _ in range(2):  # computed, then read
        found = compute(frozen(1), view(mixed=True))
        assert found is not None
        assert found[0].targets is not None
        assert found[0].targets.shape == (50, 2)


def test_an_entry_for_each_view_depth_and_weights(isolated: Path) -> None:
    compute(frozen(1), view("a"), view("b"))
    assert len(entries(isolated)) == 2
    compute(frozen(2), view("a"))
    compute(frozen(1, seed=1), view("a"))
    assert len(entries(isolated)) == 4
    compute(frozen(1), view("b"))
    assert len(entries(isolated)) == 4


@pytest.mark.parametrize("damage", ["short", "no meta", "no json"])
def test_a_damaged_entry_is_computed_anew(isolated: Path, damage: str) -> None:
    whole = compute(frozen(1), view())
    (entry,) = entries(isolated)
    if damage == "short":
        os.truncate(entry / "features.bin", 100)
    elif damage == "no meta":
        (entry / "meta.json").unlink()
    else:
        (entry / "meta.json").write_text("{")
    again = compute(frozen(1), view())
    assert whole is not None
    assert again is not None
    assert torch.equal(whole[0].rows, again[0].rows)
    assert (entry / "features.bin").stat().st_size > 100


def test_the_longest_unused_entry_goes_first(isolated: Path) -> None:
    size_gib = 50 * 16 * 32 * 32 * 4 / 2**30  # maps of the stem, float32
    compute(frozen(1), view("old"))
    (old,) = entries(isolated)
    compute(frozen(1), view("used"))
    for path in (old, *old.iterdir()):
        os.utime(path, (1, 1))
    room = 2.2 * size_gib
    compute(frozen(1), view("new"), disk=room)
    assert old not in entries(isolated)
    assert len(entries(isolated)) == 2
    assert compute(frozen(1), view("x"), view("y"), view("z"), disk=room, memory=0.0) is None


def test_what_a_killed_run_left_half_written_is_removed_after_an_hour(isolated: Path) -> None:
    compute(frozen(1), view("a"))
    folder = isolated / "clearsight" / "features"
    for name, age in ((".left.1.tmp", 7200), (".at-work.2.tmp", 10)):
        (folder / name).mkdir()
        file = folder / name / "features.bin"
        file.write_bytes(b"half")
        stamp = time.time() - age
        for path in (file, folder / name):
            os.utime(path, (stamp, stamp))
    compute(frozen(1), view("b"), disk=1e-9, memory=1.0)  # too small: nothing is removed for it
    size_gib = 50 * 16 * 32 * 32 * 4 / 2**30
    compute(frozen(1), view("b"), disk=1.001 * size_gib)
    names = {path.name for path in entries(isolated)}
    assert ".at-work.2.tmp" in names
    assert ".left.1.tmp" not in names
