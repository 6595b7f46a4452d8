"""Whatever a recipe or an override holds, the answer is a configuration or one sentence."""

import os
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from clearsight.config.describe import settings as described
from clearsight.config.parsing import did_you_mean
from clearsight.config.recipes import load_recipe, recipe_hash, to_toml
from clearsight.config.schema import Config
from clearsight.errors import ConfigError

ODD = (
    None, True, -1, 0, 1, 2, 10**30, -1.5, 1e300, 1e400, float("nan"), "", "4", "x" * 10_000,
    "a\0b", "~nosuchuser", "\udcff", "²", "1_0", "5m", "1e999h", [], [[]], [[1, 2], [3]], [0.5] * 3,
    {}, {"a": {}}, ["train"], [{"epochs": 1}], (), b"x", "none",
)  # fmt: skip
FLAGS = [row.flag[2:] for _, rows in described() for row in rows]
QUICK = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

values = st.recursive(
    st.sampled_from(ODD) | st.integers() | st.floats() | st.text() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def load(recipe: str | Path, overrides: dict[str, Any] | None = None) -> Config | str:
    """The configuration, or what the error says."""
    try:
        return load_recipe(recipe, overrides)
    except ConfigError as error:
        text = str(error)
    assert "\n" not in text
    assert len(text) < 1500
    return text


@QUICK
@given(st.sampled_from(FLAGS), values)
def test_any_value_of_any_setting_is_taken_or_refused(flag: str, value: Any) -> None:
    loaded = load("digits", {flag: value})
    if isinstance(loaded, str):
        assert loaded.startswith(f"--{flag}: ")
    else:
        to_toml(loaded).encode()
        recipe_hash(loaded)


def test_a_number_of_thousands_of_digits_is_refused_without_being_printed() -> None:
    with pytest.raises(ConfigError, match="found a number of thousands of digits"):
        load_recipe("digits", {"training.batch": 10**5000})
    with pytest.raises(ConfigError, match="expected a whole number"):
        load_recipe("digits", {"training.batch": "9" * 5000})


@QUICK
@given(st.text(max_size=40) | st.sampled_from([*FLAGS, "phases.1.lr", "phases.²", "a" * 9999]))
@example(".\n")
@example("phases.\n.lr")
@example("model.size.\n")
def test_any_name_of_an_override_is_known_or_refused(name: str) -> None:
    loaded = load("digits", {name: "1"})
    assert not isinstance(loaded, str) or loaded.startswith("--")


plain = st.recursive(
    st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=True) | st.text() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
TABLES = ("name", "data", "augment", "model", "training", "phases", "cache", "evaluation")
names = st.sampled_from([flag.rpartition(".")[2] for flag in FLAGS])
tables = st.dictionaries(st.sampled_from(TABLES), plain | st.dictionaries(names, plain, max_size=3))


@QUICK
@given(tables)
def test_any_table_is_a_configuration_or_refused(tmp_path: Path, table: dict[str, Any]) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(tomli_w.dumps(table).encode())
    loaded = load(path)
    if isinstance(loaded, str):
        assert "r.toml: " in loaded
    else:
        path.write_text(to_toml(loaded), "utf-8")
        assert load_recipe(path) == loaded


@QUICK
@given(st.binary(max_size=200))
def test_any_bytes_are_a_recipe_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(content)
    loaded = load(path)
    assert not isinstance(loaded, str) or "r.toml: " in loaded


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a = " + b"[" * 5000, r"invalid TOML \(nested too deeply\)"),
        (b"[a" + b".a" * 5000 + b"]", r"r\.toml: a: no such setting|nested too deeply"),
        (b"name = " + b"9" * 5000, r"invalid TOML \("),
        (b"[training]\nseed = 1\nseed = 2\n", r"invalid TOML \(.*line 3"),
        (b"# " + b"x" * 2**20, "is larger than 1 MiB"),
        ("name = 'x'".encode("utf-16"), r"is not text in UTF-8 \(.* at byte 0\); save it in UTF-8"),
        (b"name = 'caf\xe9'", "is not text in UTF-8"),
        (b"[phases]\nepochs = 1", r"phases: found .*, expected a list; write \[\[phases\]\]"),
        (b"phases = ['a']", r"phases\.0: found 'a', expected a table"),
        (b"name = '../../x'", r"r\.toml: name: found '\.\./\.\./x', expected up to 100 characters"),
        (b'[data]\nsource = "a\\u0000b"', "no control characters"),
        (b"[training]\nbudget = 1e300", r"training\.budget: found 1e\+300"),
        (b"[[phases]]\nsteps = " + b"1" + b"0" * 30, r"phases\.0\.steps: found 10{30}, expected"),
        (b"[[phases]]\nlr = inf", r"phases\.0\.lr: found inf, expected from 0 to 10,000"),
        (b"[data]\nsize = 4", r"data\.size: found 4, expected from 8 to 1,024 px"),
        (b"[[phases]]\nplan = [[0, 5], [5, 5]]", r"phases\.0\.plan: found a knot at its end"),
        (b"[[phases]]\nplan = [[3, 5]]", r"plan: found steps \[3\], expected rising ones from 0"),
    ],
)  # fmt: skip
def test_wrong_files_are_named_with_what_is_wrong(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load_recipe(path)


def test_a_recipe_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(b"\xef\xbb\xbf[data]\nsource = 'digits'\n")
    assert load_recipe(path).data.source == "digits"


def test_a_pipe_a_device_and_a_folder_are_refused_unopened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "device.toml").symlink_to("/dev/zero")
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "loop.toml").symlink_to("loop.toml")
    for name, found in (
        ("pipe", "is a named pipe"),
        ("device", "is a device"),
        ("folder", "is a folder"),
        ("loop", "can't be read"),
        ("a\0b", "can't be read"),
        ("x" * 300, "can't be read"),
    ):
        with pytest.raises(ConfigError, match=rf"recipe .*\.toml: {found}"):
            load_recipe(tmp_path / f"{name}.toml")


def test_a_name_without_suffix_is_a_shipped_recipe_or_none(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("", "utf-8")
    for name in (tmp_path / "mine", "../recipes/digits", "", "a\0b", "x" * 300):
        with pytest.raises(ConfigError, match="no such recipe"):
            load_recipe(name)


def test_a_file_name_in_any_bytes_gives_a_name_in_text(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9 1.toml")
    path.write_text("", "utf-8")
    assert load_recipe(path).name == "caf\N{REPLACEMENT CHARACTER} 1"
    long = tmp_path / f"{'x' * 200}.toml"
    long.write_text("", "utf-8")
    assert load_recipe(long).name == "x" * 100


def test_hints_are_quick_for_long_words() -> None:
    assert did_you_mean("siez", ["size"]) == " (did you mean 'size'?)"
    assert did_you_mean("size" * 10**6, ["size"]) == ""
