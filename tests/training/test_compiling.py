"""Training with a compiled network: the same course, and one sentence where it can't be had."""

from pathlib import Path

import pytest
import torch

from clearsight.config.parsing import parse
from clearsight.config.schema import Config
from clearsight.data.images import ImageSet
from clearsight.data.splits import split
from clearsight.errors import ConfigError, TrainingError
from clearsight.files import read_csv
from clearsight.runs import Run, create_run
from clearsight.training.train import train_model

pytestmark = pytest.mark.slow


def trained(path: Path, images: ImageSet, precision: str, *, compile_it: int) -> Run:
    table = {
        "data": {"validation": 0.25, "test": 0.25},
        "augment": {"flip": "alternating", "translate": 2},
        "model": {"name": "airnet-tiny"},
        "training": {"batch": 20, "precision": precision, "compile": bool(compile_it)},
        # Not Adam, which magnifies rounding: it divides by gradients that are nearly nothing.
        "phases": [{"epochs": 4, "optimizer": "sgd", "lr": 0.05, "progressive_resizing": 0.75}],
    }
    config = parse(Config, table)
    run = create_run(path, config, {})
    train_model(run, config, images, split(images, config.data))
    return run


def test_a_compiled_network_takes_the_same_course(tmp_path: Path, images: ImageSet) -> None:
    runs = [trained(tmp_path / str(flag), images, "fp32", compile_it=flag) for flag in (0, 1)]
    plain, compiled = ([float(row["train_loss"]) for row in read_csv(r.history)] for r in runs)
    assert len(set(plain)) == 4
    assert compiled == pytest.approx(plain, rel=1e-4)


def test_what_the_cpu_compiles_wrongly_is_refused(tmp_path: Path, images: ImageSet) -> None:
    with pytest.raises(ConfigError, match=r"training\.compile: found it on, with bf16 on a CPU"):
        trained(tmp_path / "run", images, "bf16", compile_it=True)


def test_without_a_compiler_one_sentence_says_so(
    tmp_path: Path, images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("no-such-compiler",))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    torch.compiler.reset()
    with pytest.raises(TrainingError, match=r"training\.compile: torch can't compile"):
        trained(tmp_path / "run", images, "fp32", compile_it=True)
