"""Whole trainings on small images: learning, repeating, resuming, stopping."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from clearsight.config.parsing import parse
from clearsight.config.recipes import load_recipe
from clearsight.config.schema import Config
from clearsight.data.images import ImageSet
from clearsight.data.splits import split
from clearsight.errors import ConfigError, RunError, TrainingError
from clearsight.files import read_csv
from clearsight.progress import EpochRow, Silent
from clearsight.runs import Run, create_run
from clearsight.training.checkpoint import MARGINS, load_classifier
from clearsight.training.loop import Interrupted
from clearsight.training.schedules import Plan
from clearsight.training.train import new_classifier, train_model
from tests.recorder import Recorder

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


def margins(run: Run) -> bytes:
    return (run.last / MARGINS).read_bytes()


class StopAt(Silent):
    """Presses Ctrl-C during the step after `epoch` epochs."""

    def __init__(self, epoch: int) -> None:
        self.epochs = epoch

    def epoch(self, row: object) -> None:
        self.epochs -= 1
        if self.epochs == 0:
            os.kill(os.getpid(), signal.SIGINT)


class Bars(Recorder):
    """Keeps the rows of epochs too."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[EpochRow] = []

    def epoch(self, row: EpochRow) -> None:
        self.rows.append(row)


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
        assert margins(run) == margins(whole)
        assert signal.getsignal(signal.SIGINT) is before


def test_a_budgeted_run_ends_with_its_budget_and_its_recipe_repeats_it(
    tmp_path: Path, images: ImageSet
) -> None:
    config = small(training={"budget": 3.0})
    run = trained(tmp_path / "a", config, images)
    elapsed = read_csv(run.timing)[-1]["elapsed"]
    assert 1.5 < elapsed < 6.0  # a loaded machine may be late by a step and a validation
    history = read_csv(run.history)
    written = run.config()
    # The schedule came to its end: what is left of the rate is that of one last step.
    plan = Plan(written.phases[0].plan)
    assert plan.total == history[-1]["step"]
    last = 0.1 * (1 - plan.progress(plan.total - 1))
    assert history[-1]["lr"] == pytest.approx(last, rel=1e-4)
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
    phase = {"epochs": 3, "lr": 1e4, "weight_decay": 1e3, "schedule": "constant"}
    config = small(phase, training={"batch": 4})  # diverges within an epoch's few steps
    with pytest.raises(TrainingError, match=r"not finite at step \d+; .*phases\.0\.lr"):
        trained(tmp_path / "run", config, images)


@pytest.fixture
def uneven(images: ImageSet) -> ImageSet:
    """40 images of the first class, 10 of each of the others."""
    rank = np.arange(len(images.labels)) // 3
    kept = np.flatnonzero((images.labels == 0) | (rank < 10))
    return replace(
        images,
        images=images.images[kept],
        labels=images.labels[kept],
        ids=images.ids[kept],
        parts=images.parts[kept],
        files=images.files[kept],
    )


def still(balance: str) -> Config:
    """One epoch that shows the images as they are, in one batch, and changes no weight."""
    return small(
        {"epochs": 1, "lr": 0.0},
        data={"validation": 0.25, "test": 0.25, "balance": balance},
        augment={},
        training={"batch": 60},
    )


def test_a_balanced_loss_weighs_every_class_alike(tmp_path: Path, uneven: ImageSet) -> None:
    config = still("loss")
    parts = split(uneven, config.data)
    pixels = torch.from_numpy(uneven.images[parts.train])
    labels = torch.from_numpy(uneven.labels[parts.train])
    assert torch.bincount(labels).tolist() == [20, 5, 5]
    model = new_classifier(config, uneven, parts).train()
    with torch.no_grad():
        losses = F.cross_entropy(model(pixels), labels, reduction="none")
    by_class = torch.stack([losses[labels == k].mean() for k in range(3)])
    (row,) = read_csv(trained(tmp_path / "balanced", config, uneven).history)
    assert row["train_loss"] == pytest.approx(by_class.mean().item(), rel=1e-4)
    (row,) = read_csv(trained(tmp_path / "plain", still("none"), uneven).history)
    assert row["train_loss"] == pytest.approx(losses.mean().item(), rel=1e-4)


@pytest.mark.parametrize(("balance", "share"), [("none", 2 / 3), ("sampling", 1 / 3)])
def test_balanced_sampling_shows_every_class_alike(
    tmp_path: Path, uneven: ImageSet, balance: str, share: float
) -> None:
    config = still(balance)
    config = replace(config, phases=(replace(config.phases[0], epochs=10.0),))
    parts = split(uneven, config.data)
    model = new_classifier(config, uneven, parts)
    first_class = {image.tobytes() for image in uneven.images[uneven.labels == 0]}
    shown: list[bool] = []

    def note(module: nn.Module, inputs: tuple) -> None:
        if module.training:
            shown.extend(image.numpy().tobytes() in first_class for image in inputs[0])

    model.register_forward_pre_hook(note)
    train_model(create_run(tmp_path / "run", config, {}), config, uneven, parts, model=model)
    assert len(shown) == 10 * 30
    assert np.mean(shown) == pytest.approx(share, abs=0.09)


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
    assert margins(run) == margins(whole)
    assert run.history.read_bytes() == whole.history.read_bytes()


@pytest.mark.parametrize("restore", ["accuracy", "loss"])
def test_the_weights_of_the_epoch_that_restore_names_are_used(
    tmp_path: Path, images: ImageSet, restore: str
) -> None:
    # The second phase wrecks what the first learnt, at once and for good.
    config = small(
        PHASE | {"epochs": 6, "restore": restore},
        {"epochs": 3, "lr": 3.0, "schedule": "constant", "restore": restore, "name": "wreck"},
    )
    listener = Recorder()
    run = create_run(tmp_path / "run", config, {})
    rows = train_model(run, config, images, split(images, config.data), progress=listener)
    history = read_csv(run.history)
    assert [row["gained"] for row in rows] == [True, False]
    used = json.loads((run.best / "checkpoint.json").read_text())
    if restore == "loss":
        lowest = min(row["val_loss"] for row in history[6:])
        assert (used["phase"], used["val_loss"]) == (2, lowest)
        assert rows[1]["best_epoch"] == used["epoch"]
    else:
        assert used["val_accuracy"] == max(row["val_accuracy"] for row in history)
        assert used["phase"] == 1
    assert listener.lines[-1].endswith("it gained nothing")


def test_a_run_whose_checkpoint_has_the_former_names_is_resumed(
    tmp_path: Path, images: ImageSet
) -> None:
    config = small(PHASE | {"selective_backprop": 0.4})
    whole = trained(tmp_path / "whole", config, images)
    with pytest.raises(Interrupted):
        trained(tmp_path / "cut", config, images, progress=StopAt(2))
    run = Run(tmp_path / "cut")
    metadata = json.loads((run.last / "checkpoint.json").read_text())
    metadata["position"] = metadata.pop("train_state")
    del metadata["position"]["best_before"]  # there was none yet
    (run.last / "checkpoint.json").write_text(json.dumps(metadata))
    tensors = load_file(run.last / "state.safetensors")
    former = {n.replace("selective_backprop.", "curriculum."): t for n, t in tensors.items()}
    assert former.keys() != tensors.keys()
    save_file(former, run.last / "state.safetensors")
    train_model(run, config, images, split(images, config.data), resume=True)
    assert weights(run) == weights(whole)
    assert run.history.read_bytes() == whole.history.read_bytes()


def test_a_budgeted_run_has_one_bar_in_seconds_and_validation_its_own(
    tmp_path: Path, images: ImageSet
) -> None:
    listener = Bars()
    config = small(PHASE, PHASE, training={"budget": 2.0})
    trained(tmp_path / "run", config, images, progress=listener)
    assert listener.totals["training"] == 2.0
    assert set(listener.totals) == {"training", "validation"}
    assert sum(listener.steps["training"]) >= 1.0  # as much as was spent
    assert all(row["epochs"] is None for row in listener.rows)
    left = [row["seconds_left"] for row in listener.rows]
    assert left == sorted(left, reverse=True)
    assert left[0] < 2.0


def test_a_run_without_a_budget_has_a_bar_of_steps_for_each_phase(
    tmp_path: Path, images: ImageSet
) -> None:
    listener = Bars()
    config = small(PHASE | {"name": "first"}, PHASE | {"name": "second", "epochs": 2})
    trained(tmp_path / "run", config, images, progress=listener)
    assert listener.totals["phase first"] == sum(listener.steps["phase first"]) == 9
    assert listener.totals["phase second"] == sum(listener.steps["phase second"]) == 6
    assert [row["epochs"] for row in listener.rows] == [5] * 5


def test_patience_without_validation_is_refused_before_any_work(
    tmp_path: Path, images: ImageSet
) -> None:
    config = small(PHASE | {"patience": 2}, data={"validation": 0.0, "test": 0.25})
    with pytest.raises(ConfigError, match=r"phases\.0\.patience: found 2, but there are no"):
        trained(tmp_path / "run", config, images)
    assert not (tmp_path / "run" / "history.csv").exists()


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
