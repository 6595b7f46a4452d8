"""Margins of training images: by hand, in a run, and after resuming."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from clearsight.data.images import ImageSet
from clearsight.data.splits import split
from clearsight.errors import RunError
from clearsight.files import read_csv
from clearsight.runs import Run
from clearsight.training.checkpoint import MARGINS, load_margins
from clearsight.training.loop import Interrupted
from clearsight.training.margins import Margins, margins
from clearsight.training.train import train_model
from tests.training.test_train import StopAt, small, trained
from tests.training.test_transfer import HEAD, TOP, two_phases

CPU = torch.device("cpu")
PHASE = {"epochs": 3, "lr": 0.05, "schedule": "linear"}
TINY = {"name": "airnet-tiny"}


def kept(run: Run, images: int) -> Margins:
    found = Margins(images, CPU)
    load_margins(run.last, found.state())
    return found


def test_a_margin_is_the_lead_over_the_strongest_other_class() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.5], [3.0, 1.0, 2.5], [-1.0, -1.0, -4.0]])
    found, rivals = margins(logits, torch.tensor([0, 1, 0]))
    assert found.tolist() == [0.5, -2.0, 0.0]
    assert rivals.tolist() == [2, 0, 1]


def test_sums_and_counts_by_hand() -> None:
    kept = Margins(4, CPU)
    kept.update(torch.tensor([2, 0]), torch.tensor([[1.0, 4.0], [2.0, 0.0]]), torch.tensor([0, 0]))
    kept.update(torch.tensor([2, 3]), torch.tensor([[0.0, 1.0], [5.0, 0.0]]), torch.tensor([0, 1]))
    assert kept.sums.tolist() == [2.0, 0.0, -4.0, -5.0]
    assert kept.counts.tolist() == [1, 0, 2, 1]
    assert kept.rivals.tolist() == [1, 0, 1, 0]


def test_an_image_drawn_several_times_into_a_step_is_summed_up() -> None:
    kept = Margins(2, CPU)
    logits = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 5.0]])
    kept.update(torch.tensor([1, 1, 0]), logits, torch.tensor([0, 0, 0]))
    assert kept.sums.tolist() == [-5.0, 4.0]
    assert kept.counts.tolist() == [1, 2]


def test_mixed_labels_do_not_count() -> None:
    kept = Margins(2, CPU)
    kept.update(torch.tensor([0, 1]), torch.randn(2, 3), torch.full((2, 3), 1 / 3))
    assert kept.counts.tolist() == [0, 0]
    assert kept.sums.tolist() == [0.0, 0.0]


def test_the_class_with_the_majority_of_votes_is_kept_for_a_thousand_classes() -> None:
    draw = np.random.default_rng(0)
    kept, votes = Margins(50, CPU), [Counter() for _ in range(50)]
    labels = torch.from_numpy(draw.integers(0, 1000, 50))
    for _ in range(30):
        logits = torch.from_numpy(draw.normal(size=(50, 1000)).astype(np.float32))
        # In most steps one class leads, each image's own.
        often = torch.from_numpy(draw.random(50) < 0.7)
        logits[often, ((labels + 7) % 1000)[often]] += 9
        found, rivals = margins(logits, labels)
        weights = torch.sigmoid(-found).tolist()
        for image, (rival, weight) in enumerate(zip(rivals.tolist(), weights, strict=True)):
            votes[image][rival] += weight
        kept.update(torch.arange(50), logits, labels)
    exact = [count.most_common(1)[0][0] for count in votes]
    assert all(c.most_common(1)[0][1] > sum(c.values()) / 2 for c in votes)
    assert kept.rivals.tolist() == exact


def test_a_run_counts_each_step_of_each_image(tmp_path: Path, images: ImageSet) -> None:
    config = small(PHASE | {"epochs": 4}, model=TINY, training={"label_smoothing": 0.2})
    run = trained(tmp_path / "run", config, images)
    n = len(split(images, config.data).train)
    found = kept(run, n)
    steps = read_csv(run.history)[-1]["step"]
    assert found.counts.sum() == steps * 20
    assert found.counts.max() == 4
    assert not (run.best / MARGINS).exists()


def test_images_left_out_count_less_often(tmp_path: Path, images: ImageSet) -> None:
    phase = PHASE | {"epochs": 6, "selective_backprop": 0.4, "selective_backprop_from": 0.3}
    config = small(phase, model=TINY, training={"batch": 10})
    run = trained(tmp_path / "run", config, images)
    found = kept(run, len(split(images, config.data).train))
    assert found.counts.sum() == read_csv(run.history)[-1]["step"] * 10
    assert found.counts.min() < found.counts.max()


@pytest.mark.parametrize("store", ["auto", "off"])
def test_cached_and_fixed_views_count_too(tmp_path: Path, images: ImageSet, store: str) -> None:
    config = two_phases(HEAD, TOP, cache={"store": store})
    found = kept(trained(tmp_path / "run", config, images), 60)
    assert found.counts.sum() == (3 + 2) * 60


def test_a_checkpoint_of_an_earlier_version_begins_anew(tmp_path: Path, images: ImageSet) -> None:
    config = small(PHASE, model=TINY)
    whole = trained(tmp_path / "whole", config, images)
    with pytest.raises(Interrupted):
        trained(tmp_path / "cut", config, images, progress=StopAt(1))
    run = Run(tmp_path / "cut")
    (run.last / MARGINS).unlink()
    train_model(run, config, images, split(images, config.data), resume=True)
    assert kept(run, 60).counts.max() == 2
    weights = [(path.last / "model.safetensors").read_bytes() for path in (run, whole)]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("content", [b"", b"x" * 100])
def test_damaged_margins_are_one_sentence(tmp_path: Path, images: ImageSet, content: bytes) -> None:
    run = trained(tmp_path / "run", small(PHASE | {"epochs": 1}, model=TINY), images)
    (run.last / MARGINS).write_bytes(content)
    with pytest.raises(RunError, match=r"margins\.safetensors: can't be used .*train again"):
        kept(run, 60)
    trained(tmp_path / "other", small(PHASE | {"epochs": 1}, model=TINY), images)
    with pytest.raises(RunError, match="can't be used"):
        kept(Run(tmp_path / "other"), 7)
