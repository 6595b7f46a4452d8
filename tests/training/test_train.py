"""Whole trainings on small images: learning, repeating, resuming, stopping."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from clearsight.config.parsing import parse
from clearsight.config.recipes import load_recipe
from clearsight.config.schema import Config
from clearsight.data.images import ImageSet
from clearsight.data.splits import split
from clearsight.errors import ConfigError, RunError, TrainingError
from clearsight.files import read_csv
from clearsight.progress import Silent
from clearsight.runs import Run, create_run
from clearsight.training.checkpoint import load_classifier
from clearsight.training.loop import Interrupted
from clearsight.training.train import new_classifier, train_model

PHASE = {"epochs": 3, "lr": 0.1, "schedule": "linear"}


def small(*phases: dict, **tables: dict) -> Config:
    table = {
        "data": {"validation": 0.25, "test": 0.25},
        "augment": {"flip": "alternating", "translate": 2},
        "model": {"name": "resnet20"},
        "training": {"batch": 20, "precision": "fp32", **tables.pop("training", {})},
        "phases": list(phases) or [PHASE],
        **tables,
    }
    return parse(Config, table)


def trained(path: Path, config: Config, images: ImageSet, **options: object) -> Run:
    run = create_run(path, config, {})
    train_model(run, config, images, split(images, config.data), **options)  # ty: ignore
    return run


def weights(run: Run) -> bytes:
    return (run.last / "model.safetensors").read_bytes()


class StopAt(Silent):
    """Presses Ctrl-C during the step after `epoch` epochs."""

    def __init__(self, epoch: int) -> None:
        self.epochs = epoch

    def epoch(self, row: object) -> None:
        self.epochs -= 1
        if self.epochs == 0:
            os.kill(os.getpid(), signal.SIGINT)


def test_training_learns_and_leaves_a_whole_run(tmp_path: Path, images: ImageSet) -> None:
    run = trained(tmp_path / "run", small(PHASE | {"epochs": 8}), images)
    history = read_csv(run.history)
    assert [row["epoch"] for row in history] == list(range(1, 9))
    assert list(history[0]) == [
        "phase", "epoch", "step", "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy",
    ]  # fmt: skip
    assert max(row["val_accuracy"] for row in history) > 0.8
    assert history[-1]["step"] == 8 * (60 // 20)
    assert len(read_csv(run.timing)) == 8
    best = json.loads((run.best / "checkpoint.json").read_text())
    assert best["val_accuracy"] == max(row["val_accuracy"] for row in history)
    assert load_classifier(run.best).classes == images.classes


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(
    tmp_path: Path, images: ImageSet
) -> None:
    config = small()
    a, b = (trained(tmp_path / name, config, images) for name in "ab")
    assert a.history.read_bytes() == b.history.read_bytes()
    assert weights(a) == weights(b)
    other = replace(config, training=replace(config.training, seed=1))
    assert weights(trained(tmp_path / "c", other, images)) != weights(a)


@pytest.mark.parametrize("averaging", ["none", "ema", "lookahead"])
def test_an_interrupted_run_resumes_to_the_same_bytes(
    tmp_path: Path, images: ImageSet, averaging: str
) -> None:
    config = small(
        PHASE | {"name": "first"},
        {"epochs": 2, "lr": 0.01, "optimizer": "adam", "name": "second"},
        training={"averaging": averaging},
    )
    before = signal.getsignal(signal.SIGINT)
    whole = trained(tmp_path / "whole", config, images)
    for after in (1, 4):  # in the first phase and in the second
        path = tmp_path / f"cut{after}"
        with pytest.raises(Interrupted):
            trained(path, config, images, progress=StopAt(after))
        run = Run(path)
        assert len(read_csv(run.history)) == after
        train_model(run, config, images, split(images, config.data), resume=True)
        assert run.history.read_bytes() == whole.history.read_bytes()
        assert weights(run) == weights(whole)
        assert signal.getsignal(signal.SIGINT) is before


def test_a_budgeted_run_ends_with_its_budget_and_its_recipe_repeats_it(
    tmp_path: Path, images: ImageSet
) -> None:
    config = small(training={"budget": 3.0})
    run = trained(tmp_path / "a", config, images)
    elapsed = read_csv(run.timing)[-1]["elapsed"]
    assert 1.5 < elapsed < 6.0  # a loaded machine may be late by a step and a validation
    history = read_csv(run.history)
    assert history[-1]["lr"] < 0.02  # the schedule came to its end
    written = run.config()
    assert written.training.budget is None
    assert written.phases[0].steps == history[-1]["step"]
    again = trained(tmp_path / "b", load_recipe(run.recipe), images)
    assert again.history.read_bytes() == run.history.read_bytes()
    assert weights(again) == weights(run)


def test_training_on_all_images_has_no_validation_columns_and_no_best(
    tmp_path: Path, images: ImageSet
) -> None:
    run = trained(tmp_path / "run", small(data={"validation": 0.0, "test": 0.25}), images)
    assert "val_loss" not in read_csv(run.history)[0]
    assert not run.best.exists()
    assert run.weights == run.last


def test_patience_stops_and_the_row_of_the_phase_says_so(tmp_path: Path, images: ImageSet) -> None:
    config = small({"epochs": 50, "lr": 0.0, "patience": 2, "name": "still"})
    run = create_run(tmp_path / "run", config, {})
    (row,) = train_model(run, config, images, split(images, config.data))
    # With a rate of zero only batch norm's statistics move, and soon no more.
    assert row["epochs"] < 50
    assert row["stop_reason"] == "no better validation loss for 2 epochs"
    assert row["name"] == "still"
    assert row["trainable"] > 260_000
    assert row["frozen"] == 0


def test_a_loss_that_is_not_finite_stops_with_the_step_and_a_remedy(
    tmp_path: Path, images: ImageSet
) -> None:
    config = small({"epochs": 3, "lr": 1e30, "schedule": "constant"})
    with pytest.raises(TrainingError, match=r"not finite at step \d+; .*phases\.0\.lr"):
        trained(tmp_path / "run", config, images)


@pytest.mark.parametrize("balance", ["loss", "sampling"])
def test_uneven_classes_can_be_balanced(tmp_path: Path, images: ImageSet, balance: str) -> None:
    config = small(data={"validation": 0.25, "test": 0.25, "balance": balance})
    run = trained(tmp_path / "run", config, images)
    assert len(read_csv(run.history)) == 3


@pytest.mark.parametrize(
    "augment", [{"mixup": 0.2}, {"cutmix": 1.0}, {"rotate": 36, "zoom": 0.1, "contrast": 0.2}]
)
def test_every_augmentation_trains(tmp_path: Path, images: ImageSet, augment: dict) -> None:
    run = trained(tmp_path / "run", small(augment=augment), images)
    assert torch.tensor(read_csv(run.history)[-1]["train_loss"]).isfinite()


def test_a_phase_may_begin_with_smaller_images(tmp_path: Path, images: ImageSet) -> None:
    config = small(
        PHASE | {"epochs": 2, "progressive_resizing": 0.5, "progressive_resizing_until": 0.5}
    )
    parts = split(images, config.data)
    model = new_classifier(config, images, parts)
    seen: list[tuple[bool, int]] = []
    model.register_forward_pre_hook(lambda m, given: seen.append((m.training, given[0].shape[1])))
    train_model(create_run(tmp_path / "run", config, {}), config, images, parts, model=model)
    stretches = [each for each, before in zip(seen, [None, *seen], strict=False) if each != before]
    # Validation is on the images as they are, so that its numbers compare.
    assert stretches == [(True, 16), (False, 32), (True, 32), (False, 32)]


def test_images_in_front_of_frozen_stages_are_not_resized(tmp_path: Path, images: ImageSet) -> None:
    config = small(PHASE, PHASE | {"progressive_resizing": 0.75, "trainable": "head"})
    with pytest.raises(
        ConfigError, match=r"phases\.1\.progressive_resizing: found 0.75 in .* trainable is head"
    ):
        trained(tmp_path / "run", config, images)
    assert not (tmp_path / "run" / "history.csv").exists()  # refused before any work


@pytest.mark.parametrize(
    ("until", "expected"), [(1.0, [6, 12, 15, 18, 21, 24]), (0.75, [6, 12, 15, 18, 24])]
)
def test_a_phase_that_leaves_images_out_has_shorter_epochs_and_resumes_to_the_same_bytes(
    tmp_path: Path, images: ImageSet, until: float, expected: list[int]
) -> None:
    phase = PHASE | {
        "epochs": 4,
        "selective_backprop": 0.4,
        "progressive_resizing": 0.5,
        "progressive_resizing_until": 0.5,
    }
    config = small(phase | {"selective_backprop_until": until}, training={"batch": 10})
    whole = trained(tmp_path / "whole", config, images)
    steps = [int(row["step"]) for row in read_csv(whole.history)]
    assert steps == expected
    run = create_run(tmp_path / "broken", config, {})
    parts = split(images, config.data)
    with pytest.raises(Interrupted):
        train_model(run, config, images, parts, progress=StopAt(4))
    train_model(run, config, images, parts, resume=True)
    assert weights(run) == weights(whole)
    assert run.history.read_bytes() == whole.history.read_bytes()


def test_muon_trains_airnet(tmp_path: Path, images: ImageSet) -> None:
    config = load_recipe(
        "airnet94",
        {"training.batch": 20, "phases.0.epochs": 2, "data.test": 0.25, "data.validation": 0.25},
    )
    history = read_csv(trained(tmp_path / "run", config, images).history)
    assert history[-1]["val_accuracy"] > 0.6


def test_a_checkpoint_that_lacks_keys_is_one_sentence(tmp_path: Path, images: ImageSet) -> None:
    run = trained(tmp_path / "run", small(PHASE | {"epochs": 1}), images)
    (run.best / "checkpoint.json").write_text('{"model": "resnet20"}')
    with pytest.raises(RunError, match=r"checkpoint\.json: lacks classes, preprocess, data"):
        load_classifier(run.best)
