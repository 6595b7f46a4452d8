"""Weights of images: in the loss, in mixed targets, and in every way a step gets its batch."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from clearsight.config.parsing import parse
from clearsight.config.schema import AugmentConfig, Config
from clearsight.data.augment import augment
from clearsight.data.batches import Batches
from clearsight.data.images import ImageSet
from clearsight.data.splits import split
from clearsight.files import read_csv
from clearsight.runs import Run, create_run
from clearsight.training.loss import cross_entropy
from clearsight.training.train import new_classifier, part_digest, train_model

LOGITS = torch.tensor([[2.0, 0.0], [0.0, 1.0], [-1.0, 1.0]])
LABELS = torch.tensor([0, 0, 1])
WEIGHTS = torch.tensor([0.5, 2.0, 0.5])
# -log softmax at the labels: log(1 + e^-2), log(1 + e), log(1 + e^-2)
EACH = [0.126928, 1.313262, 0.126928]


def test_a_weight_multiplies_the_loss_of_its_image() -> None:
    loss, of_each = cross_entropy(LOGITS, LABELS, None, 0.0, WEIGHTS)
    expected = [0.5 * EACH[0], 2 * EACH[1], 0.5 * EACH[2]]
    assert of_each.tolist() == pytest.approx(expected, abs=1e-5)
    assert loss.item() == pytest.approx(sum(expected) / 3, abs=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("soft", [False, True])
def test_with_class_weights_the_mean_is_divided_as_without(soft: bool, smoothing: float) -> None:
    class_weights = torch.tensor([1.0, 3.0])
    targets = F.one_hot(LABELS, 2).float() if soft else LABELS
    loss, _ = cross_entropy(LOGITS, targets, class_weights, smoothing, WEIGHTS)
    each = F.cross_entropy(
        LOGITS, targets, class_weights, label_smoothing=smoothing, reduction="none"
    )
    due = (each * WEIGHTS).sum() / (3 if soft else class_weights[LABELS].sum())
    assert loss.item() == pytest.approx(due.item(), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_weights_of_1_change_nothing_and_weights_of_0_give_no_gradient(smoothing: float) -> None:
    for targets in (LABELS, F.one_hot(LABELS, 2).float()):
        same, _ = cross_entropy(LOGITS, targets, None, smoothing, torch.ones(3))
        assert torch.equal(same, cross_entropy(LOGITS, targets, None, smoothing)[0])
        logits = LOGITS.clone().requires_grad_()
        loss, of_each = cross_entropy(logits, targets, None, smoothing, torch.zeros(3))
        (gradient,) = torch.autograd.grad(loss, logits)
        assert (loss.item(), gradient.abs().max().item(), of_each.sum().item()) == (0, 0, 0)


@pytest.mark.parametrize("config", [{"mixup": 0.5}, {"cutmix": 1.0}, {"mixup": 1.0, "cutmix": 1.0}])
def test_mixed_targets_hold_each_label_by_its_share_and_weight(config: dict) -> None:
    images = torch.randint(0, 256, (8, 6, 6, 3), dtype=torch.uint8)
    labels, weights = torch.arange(8), torch.arange(8) / 4.0  # each image has a class of its own

    def targets(weights: torch.Tensor | None) -> torch.Tensor:
        return augment(
            images, labels, config=AugmentConfig(**config), epoch=0, indices=labels,
            generator=torch.Generator().manual_seed(1), classes=8, weights=weights,
        )[1]  # fmt: skip

    assert torch.allclose(targets(weights), targets(None) * weights)
    assert torch.equal(targets(torch.ones(8)), targets(None))


def test_weights_are_relative_to_the_mean_of_the_training_part(images: ImageSet) -> None:
    weighted = replace(images, weights=np.arange(len(images)) * 10.0)
    part = np.array([1, 2, 6])
    batches = Batches(weighted, part, batch=2, seed=0, device=torch.device("cpu"))
    assert batches.weights is not None
    assert batches.weights.tolist() == pytest.approx([1 / 3, 2 / 3, 2])
    plain = Batches(images, part, batch=2, seed=0, device=torch.device("cpu"))
    assert plain.weights is None
    assert batches.resized(0.5).weights is batches.weights


def recipe(**tables: Any) -> Config:
    table: dict[str, Any] = {
        "data": {"validation": 0.25, "test": 0.25},
        "model": {"name": "airnet-tiny"},
        "phases": [{"epochs": 2, "lr": 0.01}],
        "training": {"batch": 20, "precision": "fp32"},
    }
    return parse(Config, table | tables)


def trained(path: Path, config: Config, images: ImageSet) -> Run:
    run = create_run(path, config, {})
    train_model(run, config, images, split(images, config.data))
    return run


def result(run: Run) -> tuple[bytes, bytes]:
    return run.history.read_bytes(), (run.last / "model.safetensors").read_bytes()


def weighted(images: ImageSet) -> ImageSet:
    return replace(images, weights=np.random.default_rng(0).uniform(0, 3, len(images)))


def test_the_loss_of_an_epoch_is_weighted(tmp_path: Path, images: ImageSet) -> None:
    """One step on all images, which changes no parameter."""
    config = recipe(
        phases=[{"epochs": 1, "lr": 0.0}], training={"batch": len(images), "precision": "fp32"}
    )
    heavy = weighted(images)
    parts = split(heavy, config.data)
    model = new_classifier(config, heavy, parts).train()
    with torch.no_grad():
        logits = model(torch.from_numpy(heavy.images[parts.train]))
        labels = torch.from_numpy(heavy.labels[parts.train])
        each = F.cross_entropy(logits, labels, reduction="none").numpy()
    assert heavy.weights is not None
    weights = heavy.weights[parts.train]
    (row,) = read_csv(trained(tmp_path / "run", config, heavy).history)
    assert row["train_loss"] == pytest.approx((weights * each).sum() / weights.sum(), rel=1e-4)


def test_equal_weights_train_as_none_to_the_last_bit(tmp_path: Path, images: ImageSet) -> None:
    heavy = replace(images, weights=np.full(len(images), 3.0))
    plain = result(trained(tmp_path / "plain", recipe(), images))
    assert result(trained(tmp_path / "equal", recipe(), heavy)) == plain
    assert result(trained(tmp_path / "weighted", recipe(), weighted(images))) != plain


def test_images_of_weight_0_teach_nothing(tmp_path: Path, images: ImageSet) -> None:
    """Their labels may be any: training ends with the same weights."""
    parts = split(images, recipe().data)
    chosen = parts.train[::3]
    weights = np.ones(len(images))
    weights[chosen] = 0
    labels = images.labels.copy()
    labels[chosen] = (labels[chosen] + 1) % len(images.classes)
    runs = []
    for name, given in (("right", images.labels), ("wrong", labels)):
        # Parts are drawn by the source's labels, so that they stay as they are.
        heavy = replace(images, weights=weights, labels=given, source_labels=images.labels)
        run = trained(tmp_path / name, recipe(), heavy)
        runs.append((run.last / "model.safetensors").read_bytes())
    assert runs[0] == runs[1]


@pytest.mark.parametrize("augment", [{}, {"flip": "random", "cutmix": 1.0}])
def test_cached_and_fixed_views_are_weighted_alike(
    tmp_path: Path, images: ImageSet, augment: dict
) -> None:
    phase = {"trainable": "head", "epochs": 3, "optimizer": "adam", "lr": 0.01}
    results = []
    for number, cache in enumerate(({}, {}, {"store": "off"})):  # computed, read, not cached
        config = recipe(phases=[phase], augment=augment, cache=cache)
        results.append(result(trained(tmp_path / str(number), config, weighted(images))))
    assert len(set(results)) == 1


def test_other_weights_are_another_part(images: ImageSet) -> None:
    part = np.arange(10)
    digests = {
        part_digest(given, part)
        for given in (images, weighted(images), replace(images, weights=np.ones(len(images))))
    }
    assert len(digests) == 3


def test_selective_backprop_leaves_out_what_counts_least(tmp_path: Path, images: ImageSet) -> None:
    phase = {"epochs": 6, "lr": 0.01, "selective_backprop": 0.4, "selective_backprop_from": 0.0}
    weights = np.ones(len(images))
    parts = split(images, recipe().data)
    weights[parts.train[::2]] = 0
    heavy = replace(images, weights=weights)
    run = trained(tmp_path / "run", recipe(phases=[phase]), heavy)
    from safetensors.numpy import load_file

    counts = load_file(run.last / "margins.safetensors")["counts"]
    assert counts[::2].sum() < 0.8 * counts[1::2].sum()
