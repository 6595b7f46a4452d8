"""The names of `import clearsight`."""

import importlib
import tomllib
from pathlib import Path

import pytest

import clearsight

ROOT = Path(__file__).parents[1]


def test_public_names_are_sorted_and_all_there() -> None:
    assert clearsight.__all__ == sorted(clearsight.__all__)
    assert dir(clearsight) == clearsight.__all__
    for name in clearsight.__all__:
        assert getattr(clearsight, name) is not None


def test_no_module_takes_the_place_of_a_public_name() -> None:
    # Importing a submodule sets it as an attribute of the package, over a function of its name.
    package = Path(clearsight.__file__).parent
    modules = {path.stem for path in package.iterdir()}
    assert not modules & set(clearsight.__all__)


def test_version_is_the_project_file_s() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert clearsight.__version__ == project["project"]["version"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    assert f"version: {clearsight.__version__}" in citation


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = clearsight.nonsense
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("clearsight.nonsense")
