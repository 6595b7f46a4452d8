"""The scripts in benchmarks/ are no package, so each is imported from its path."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def cpu_reference() -> ModuleType:
    return script("cpu_reference")


@pytest.fixture(scope="module")
def doubt() -> ModuleType:
    return script("doubt")


@pytest.fixture(scope="module")
def probabilities() -> ModuleType:
    return script("probabilities")


@pytest.fixture(scope="module")
def doubt_labels() -> ModuleType:
    return script("doubt_labels")


@pytest.fixture(scope="module")
def explanations() -> ModuleType:
    return script("explanations")


@pytest.fixture(scope="module")
def step_profile() -> ModuleType:
    return script("step_profile")


@pytest.fixture(scope="module")
def gpu() -> ModuleType:
    return script("gpu")


@pytest.fixture(scope="module")
def scaling() -> ModuleType:
    return script("scaling")


@pytest.fixture(scope="module")
def unlike() -> ModuleType:
    return script("unlike")


def script(name: str) -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded
