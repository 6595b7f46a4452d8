"""Runs of two phases on frozen stages: cached, uncached, resumed, within a budget."""

import os
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from clearsight.config.parsing import parse
from clearsight.config.schema import Config
from clearsight.data.images import ImageSet
from clearsight.data.splits import split
from clearsight.errors import ConfigError
from clearsight.figures.run import draw_training
from clearsight.files import read_csv, write_json
from clearsight.models.classifier import Classifier
from clearsight.progress import SILENT, Progress, Silent
from clearsight.runs import Run, create_run
from clearsight.training import train as training
from clearsight.training.checkpoint import load_classifier
from clearsight.training.loop import Interrupted
from clearsight.training.train import train_model
from tests.recorder import Recorder

HEAD = {"name": "head", "trainable": "head", "epochs": 3, "optimizer": "adam", "lr": 0.01}
TOP = {"name": "top", "trainable": "top:1", "epochs": 2, "optimizer": "adam", "lr": 0.001}


def two_phases(*phases: dict, **tables: dict) -> Config:
    table = {
        "data": {"validation": 0.25, "test": 0.25},
        "augment": {"flip": "random", "translate": 2},
        "model": {"name": "airnet-tiny", "head": "mlp"},
        "phases": list(phases) or [HEAD, TOP],
        **tables,
        "training": {"batch": 20, "precision": "fp32"} | tables.get("training", {}),
        "cache": {"views": 2} | tables.get("cache", {}),
    }
    return parse(Config, table)


class Listener(Silent):
    """Keeps what is said of features; presses Ctrl-C after `stop` epochs."""

    def __init__(self, stop: int = 0) -> None:
        self.said: list[str] = []
        self.left = stop

    def say(self, text: str) -> None:
        if text.startswith("features"):
            self.said.append(text)

    def epoch(self, row: object) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)


def trained(
    path: Path, config: Config, images: ImageSet, progress: Progress = SILENT
) -> tuple[Run, list[dict]]:
    run = create_run(path, config, {})
    return run, train_model(run, config, images, split(images, config.data), progress=progress)


def result(run: Run) -> tuple[bytes, bytes]:
    return run.history.read_bytes(), (run.last / "model.safetensors").read_bytes()


@pytest.fixture
def first_layer_images(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Counts the images that go through the backbone's first layer."""
    count = 0
    new = training.new_classifier

    def hooked(*arguments: object) -> Classifier:
        model = new(*arguments)  # ty: ignore
        layer = next(m for m in model.backbone.modules() if isinstance(m, nn.Conv2d))

        def note(module: nn.Module, inputs: tuple, output: object) -> None:
            nonlocal count
            count += len(inputs[0])

        layer.register_forward_hook(note)
        return model

    def counted() -> int:
        nonlocal count
        seen, count = count, 0
        return seen

    monkeypatch.setattr(training, "new_classifier", hooked)
    return counted


@pytest.mark.parametrize(
    ("precision", "augment"),
    [
        ("fp32", {"flip": "alternating"}),
        ("bf16", {"flip": "random", "rotate": 10, "cutmix": 1.0}),
        ("fp32", {}),
    ],
)
def test_cached_and_uncached_training_give_the_same_bytes(
    tmp_path: Path, images: ImageSet, precision: str, augment: dict
) -> None:
    results = []
    for number, cache in enumerate(
        ({}, {"store": "off"}, {"memory": 0.0}, {"disk": 0.0}, {"disk": 0.0, "memory": 0.0})
    ):
        config = two_phases(augment=augment, cache=cache, training={"precision": precision})
        run, _ = trained(tmp_path / str(number), config, images)
        results.append(result(run))
    assert len(set(results)) == 1


def test_new_views_every_epoch_are_another_course(tmp_path: Path, images: ImageSet) -> None:
    fixed, _ = trained(tmp_path / "fixed", two_phases(), images)
    listener = Listener()
    fresh, _ = trained(tmp_path / "fresh", two_phases(cache={"views": 0}), images, listener)
    assert result(fixed) != result(fresh)
    assert listener.said == []


def test_frozen_stages_see_each_view_once_and_not_again_in_the_next_run(
    tmp_path: Path, images: ImageSet, first_layer_images: Callable[[], int]
) -> None:
    listener = Listener()
    trained(tmp_path / "a", two_phases(), images, listener)
    # 60 images in two views and 30 for validation in each phase; a few to learn the shapes.
    filled = 2 * (2 * 60 + 30)
    assert filled <= first_layer_images() <= filled + 10
    assert all("computed" in line for line in listener.said)
    again = Listener()
    trained(tmp_path / "b", two_phases(), images, again)
    assert first_layer_images() <= 10
    assert len(again.said) == 2
    assert all("from the cache" in line for line in again.said)


@pytest.mark.parametrize(
    ("change", "recomputed"),
    [
        ({"phases": [HEAD | {"lr": 0.5, "epochs": 5}, TOP]}, 0),
        ({"training": {"seed": 1}}, 300),  # other weights
        ({"augment": {"flip": "none", "translate": 3}}, 240),
        ({"data": {"validation": 0.25, "test": 0.25, "seed": 7}}, 300),
        ({"training": {"precision": "bf16"}}, 300),
    ],
)
def test_a_change_of_weights_images_or_precision_computes_anew(
    tmp_path: Path,
    images: ImageSet,
    first_layer_images: Callable[[], int],
    change: dict,
    recomputed: int,
) -> None:
    trained(tmp_path / "a", two_phases(), images)
    first_layer_images()
    config = two_phases(*change.pop("phases", []), **change)
    trained(tmp_path / "b", config, images)
    assert recomputed <= first_layer_images() <= recomputed + 10


def test_the_same_images_fitted_otherwise_are_computed_anew(
    tmp_path: Path, images: ImageSet, first_layer_images: Callable[[], int]
) -> None:
    trained(tmp_path / "a", two_phases(), images)
    first_layer_images()
    # The same pixels, so that weights made of them are the same too: ids don't say how they fit.
    trained(tmp_path / "b", two_phases(), replace(images, fit="crop"))
    assert 300 <= first_layer_images() <= 310


def test_without_room_one_sentence_is_said_and_training_goes_on(
    tmp_path: Path, images: ImageSet
) -> None:
    listener = Listener()
    config = two_phases(HEAD, cache={"disk": 0.0, "memory": 0.0})
    trained(tmp_path / "run", config, images, listener)
    (line,) = listener.said
    assert "more than cache.disk (0 GiB) and cache.memory (0 GiB) allow" in line


def test_a_cache_that_cant_be_written_is_done_without(
    tmp_path: Path, images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = trained(tmp_path / "whole", two_phases(), images)
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    listener = Listener()
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    run, _ = trained(tmp_path / "run", two_phases(), images, listener)
    assert "can't be kept on disk" in listener.said[0]
    assert "in memory" in listener.said[1]
    assert result(run) == result(whole)


@pytest.mark.parametrize(("cache", "averaging"), [({}, "ema"), ({"disk": 0.0}, "none")])
def test_an_interrupted_run_resumes_to_the_same_bytes(
    tmp_path: Path, images: ImageSet, cache: dict, averaging: str
) -> None:
    config = two_phases(
        HEAD | {"patience": 2}, TOP | {"epochs": 3}, cache=cache, training={"averaging": averaging}
    )
    whole, rows = trained(tmp_path / "whole", config, images)
    for after in (1, rows[0]["epochs"], rows[0]["epochs"] + 1):
        path = tmp_path / f"cut{after}"
        with pytest.raises(Interrupted):
            trained(path, config, images, Listener(after))
        run = Run(path)
        again = train_model(run, config, images, split(images, config.data), resume=True)
        assert result(run) == result(whole)
        for before, after_row in zip(rows, again, strict=True):
            assert before | {"seconds": 0} == after_row | {"seconds": 0}


def test_a_phase_out_of_patience_does_not_go_on_when_resumed(
    tmp_path: Path, images: ImageSet
) -> None:
    still = HEAD | {"lr": 0.0, "patience": 1, "epochs": 9}
    config = two_phases(still, TOP)
    _, rows = trained(tmp_path / "whole", config, images)
    ended = rows[0]["epochs"]
    assert ended < 9
    with pytest.raises(Interrupted):
        trained(tmp_path / "cut", config, images, Listener(ended))
    run = Run(tmp_path / "cut")
    again = train_model(run, config, images, split(images, config.data), resume=True)
    assert [row["epochs"] for row in again] == [row["epochs"] for row in rows]


def test_the_table_counts_what_each_phase_trained(tmp_path: Path, images: ImageSet) -> None:
    run, rows = trained(tmp_path / "run", two_phases(), images)
    model = load_classifier(run.last)
    total = sum(p.numel() for p in model.parameters())
    head = sum(p.numel() for p in model.head.parameters())
    assert [row["trainable"] + row["frozen"] for row in rows] == [total, total]
    assert rows[0]["trainable"] == head < rows[1]["trainable"] < total
    assert [row["name"] for row in rows] == ["head", "top"]
    assert [row["phase"] for row in read_csv(run.history)] == [1, 1, 1, 2, 2]


def test_each_phase_has_its_figure_of_curves(tmp_path: Path, images: ImageSet) -> None:
    config = two_phases()
    run, _ = trained(tmp_path / "run", config, images)
    write_json(run.split, {"classes": list(images.classes)})
    drawn = draw_training(run, config)
    assert [path.stem for path in drawn] == ["phase1_training_curves", "phase2_training_curves"]
    assert all(path.is_file() for path in drawn)


def test_the_frozen_backbone_ends_as_it_began(tmp_path: Path, images: ImageSet) -> None:
    config = two_phases(HEAD, training={"averaging": "ema"})
    run, _ = trained(tmp_path / "run", config, images)
    began = training.new_classifier(config, images, split(images, config.data))
    ended = load_classifier(run.last)
    for name, tensor in began.backbone.state_dict().items():
        assert np.array_equal(tensor, ended.backbone.state_dict()[name]), name


def test_a_wrong_name_in_the_last_phase_is_told_before_the_first(
    tmp_path: Path, images: ImageSet
) -> None:
    config = two_phases(HEAD, TOP | {"trainable": "top:7"})
    with pytest.raises(ConfigError, match=r"phases\.1\.trainable: found 'top:7'"):
        trained(tmp_path / "run", config, images)
    assert not (tmp_path / "run" / "history.csv").exists()


def test_a_phase_on_cached_features_leaves_its_budget_to_the_next(
    tmp_path: Path, images: ImageSet
) -> None:
    config = two_phases(HEAD | {"epochs": 4}, TOP | {"epochs": 4}, training={"budget": 4.0})
    run, rows = trained(tmp_path / "run", config, images)
    assert rows[0]["epochs"] <= 4
    assert rows[0]["stop_reason"] == "all steps done"
    assert run.config().phases[0].steps == 4 * 3
    # The last one takes what the first left: more epochs than its own, up to the budget.
    assert rows[1]["epochs"] > 4
    assert rows[1]["stop_reason"] == "time budget used"
    assert sum(row["seconds"] for row in rows) > 3.0
    again, _ = trained(tmp_path / "again", replace(run.config(), name="again"), images)
    assert result(again) == result(run)


def test_where_views_are_missing_the_last_phase_leaves_budget_and_says_so(
    tmp_path: Path, images: ImageSet
) -> None:
    # Of eight views one is cached, for the one epoch planned.
    listener = Recorder()
    config = two_phases(HEAD | {"epochs": 1}, cache={"views": 8}, training={"budget": 60.0})
    _, rows = trained(tmp_path / "run", config, images, listener)
    assert (rows[0]["epochs"], rows[0]["stop_reason"]) == (1, "all steps done")
    assert re.fullmatch(
        r"time budget: \d+ s of 60 s left over \(all steps done\)", listener.lines[-1]
    )


class Residual(nn.Module):
    """A backbone whose forward is more than its parts in a row."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=4)
        self.block1 = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1))
        self.block2 = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.block1(x)
        return (x + self.block2(x)).mean((2, 3))


@pytest.mark.parametrize(("trainable", "cached"), [("head", True), ("top:1", False)])
def test_a_backbone_that_cant_be_cut_is_cached_whole_or_not_at_all(
    tmp_path: Path,
    images: ImageSet,
    monkeypatch: pytest.MonkeyPatch,
    trainable: str,
    cached: bool,
) -> None:
    new = training.new_classifier

    def residual(*arguments: object) -> Classifier:
        model = new(*arguments)  # ty: ignore
        torch.manual_seed(0)
        model.backbone, model.head = Residual(), nn.Linear(4, 3)
        return model

    monkeypatch.setattr(training, "new_classifier", residual)
    listener = Listener()
    config = two_phases(HEAD | {"trainable": trainable})
    run, _ = trained(tmp_path / "run", config, images, listener)
    (line,) = listener.said
    assert ("computed in" if cached else "can't be cut between its stages") in line
    config = two_phases(HEAD | {"trainable": trainable}, cache={"store": "off"})
    again, _ = trained(tmp_path / "again", config, images)
    assert result(again) == result(run)
