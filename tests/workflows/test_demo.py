"""The demo always ends with a working model."""

from pathlib import Path

import numpy as np
import pytest

from clearsight import load
from clearsight.config.recipes import load_recipe
from clearsight.config.schema import Config
from clearsight.data import sources
from clearsight.errors import ConfigError, DataNotFoundError
from clearsight.files import read_json
from clearsight.workflows import demo as demonstration
from clearsight.workflows.demo import demo
from tests.recorder import Recorder


def unreachable(*_: object, **__: object) -> None:
    raise DataNotFoundError("https://example.org/x.tar.gz can't be had (no network)")


def test_without_cifar10_the_demo_runs_on_digits_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shortened(name: str, overrides: dict | None = None) -> Config:
        return load_recipe(
            name, {**(overrides or {}), "phases.0.steps": 3, "tracking.tracker": "none"}
        )

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources, "fetch", unreachable)
    monkeypatch.setattr(demonstration, "load_recipe", shortened)
    screen = Recorder()
    run = demo(budget=1.0, data_dir=tmp_path / "absent", out=tmp_path / "run", progress=screen)
    assert screen.lines[:2] == [
        "CIFAR-10 is not on this machine, and https://example.org/x.tar.gz can't be had "
        "(no network).",
        "This demo runs on the handwritten digits of scikit-learn (8 × 8) instead.",
    ]
    assert read_json(run.evaluation)["n"] == 180
    assert run.report.is_file()
    side = load(run.bundle).bundle.size
    (prediction,) = load(run.bundle).predict(np.zeros((side, side, 3), np.uint8))
    assert prediction.label in set("0123456789")


def test_a_budget_out_of_range_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"training\.budget: found 0\.0"):
        demo(budget=0.0, out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
