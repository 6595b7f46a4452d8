"""Recipes: parsing, overrides, errors, and the hash."""

import hashlib
import json
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from clearsight.config.describe import settings
from clearsight.config.parsing import parse, parse_duration
from clearsight.config.recipes import load_recipe, recipe_hash, recipe_names, to_toml
from clearsight.config.schema import Config
from clearsight.errors import ConfigError
from tests.recorder import Recorder


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipes_parse_and_survive_toml(name: str, tmp_path: Path) -> None:
    config = load_recipe(name)
    assert config.name == name
    assert load_recipe(write(tmp_path / "again.toml", to_toml(config))) == config


def test_overrides_are_typed_like_the_file() -> None:
    config = load_recipe(
        "resnet20",
        {"phases.0.epochs": "3", "data": "digits", "training.budget": "5m", "data.size": "64"},
    )
    assert config.phases[0].epochs == 3.0
    assert config.data.source == "digits"
    assert config.training.budget == 300.0
    assert config.data.size == 64


def test_an_empty_override_unsets_an_optional_field() -> None:
    assert load_recipe("digits", {"data.size": ""}).data.size is None


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"data.sorce": "x"}, r"--data\.sorce: no such setting \(did you mean 'source'\?\)"),
        ({"dat.source": "x"}, r"--dat\.source: no such setting \(did you mean 'data'\?\)"),
        ({"phases.0.epochs": "many"}, r"phases\.0\.epochs: found 'many', expected a number"),
        ({"data.size": "1.5"}, r"data\.size: found '1\.5', expected a whole number"),
        ({"augment.flip": "alternate"}, r"did you mean 'alternating'"),
        ({"training.label_smoothing": "2"}, r"found 2\.0, expected from 0 to 0\.9"),
        ({"phases.0.lr": "nan"}, r"phases\.0\.lr: found nan, expected from 0 to 10,000"),
        ({"phases.3.lr": "1"}, r"--phases\.3\.lr: the recipe has 1 phase,"),
        ({"phases.lr": "1"}, r"--phases\.lr"),
        ({"training.budget": "soon"}, r"training\.budget: found 'soon', expected a duration"),
    ],
)
def test_wrong_overrides_name_field_value_and_choice(overrides: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe("resnet20", overrides)


def test_a_wrong_flag_is_not_called_a_mistake_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "r.toml", "[data]\nsize = 32")
    with pytest.raises(ConfigError, match=r"^--data\.size: found 'x'"):
        load_recipe(path, {"data.size": "x"})
    with pytest.raises(ConfigError, match=r"^r\.toml: data\.size: found 'y'"):
        load_recipe(write(path, "[data]\nsize = 'y'"), {"data.seed": "1"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[data]\nsize = 32.0", r"r\.toml: data\.size: found 32\.0, expected a whole number"),
        ("[data]\nsource = 3", r"data\.source: found 3, expected text"),
        ("[data]\nsize == 3", r"invalid TOML \(.*line 2"),
        ("phases = []", r"phases: the recipe has none"),
        ("phases = 3", r"phases: found 3, expected a list"),
        ("data = 3", r"data: found 3, expected a table"),
    ],
)
def test_wrong_files_name_the_file_and_what_to_do(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe(write(tmp_path / "r.toml", text))


def test_an_unknown_recipe_suggests_a_known_one() -> None:
    with pytest.raises(ConfigError, match="did you mean 'resnet20'"):
        load_recipe("resnet2")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml: can't be read"):
        load_recipe(tmp_path / "absent.toml")


def test_the_hash_is_over_the_values_not_the_text_nor_seed_nor_budget(tmp_path: Path) -> None:
    plain = load_recipe(write(tmp_path / "a.toml", "[phases]\n".replace("[phases]", "")))
    commented = load_recipe(write(tmp_path / "b.toml", "# why\n[data]\nsource = 'cifar10'\n"))
    assert recipe_hash(plain) == recipe_hash(commented) == recipe_hash(Config())
    assert recipe_hash(load_recipe("digits", {"training.seed": 7})) == recipe_hash(
        load_recipe("digits", {"training.budget": "1m"})
    )
    assert recipe_hash(load_recipe("digits", {"phases.0.lr": 0.3})) != recipe_hash(
        load_recipe("digits")
    )


def test_where_features_are_kept_is_not_the_recipe_s_but_how_many_views_is() -> None:
    plain = recipe_hash(load_recipe("transfer"))
    for room in ({"cache.store": "off"}, {"cache.memory": "0.5"}, {"cache.disk": "1"}):
        assert recipe_hash(load_recipe("transfer", room)) == plain
    assert recipe_hash(load_recipe("transfer", {"cache.views": "7"})) != plain


def test_every_field_has_a_meaning_in_the_help() -> None:
    shown = {row.flag for _, rows in settings() for row in rows}
    for _, rows in settings():
        assert all(row.help for row in rows)
    assert {"--data.size", "--phases.0.lr", "--evaluation.tta"} <= shown
    for table in fields(Config):
        if is_dataclass(table.default_factory):
            for field in fields(table.default_factory):
                assert f"--{table.name}.{field.name}" in shown


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("5m", 300), ("1.5h", 5400), ("12 s", 12), (7, 7)]
)
def test_durations(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["5", "1.5", "5 x", "", "-1s"])
def test_a_duration_as_text_has_its_unit(text: str) -> None:
    with pytest.raises(ConfigError, match="expected a duration with its unit, such as 90s, 5m"):
        parse_duration(text)


def test_a_bool_is_no_number() -> None:
    with pytest.raises(ConfigError, match="expected a whole number"):
        parse(Config, {"training": {"batch": True}})


FORMER = """
[[phases]]
shrink = 0.75
shrink_until = 0.5
skip = 0.4
skip_from = 0.2
skip_until = 0.8
trains = "head"
bn = "batch"
"""
PRESENT = """
[[phases]]
progressive_resizing = 0.75
progressive_resizing_until = 0.5
selective_backprop = 0.4
selective_backprop_from = 0.2
selective_backprop_until = 0.8
trainable = "head"
batch_norm = "batch"
"""


def test_settings_are_read_under_their_former_names_with_a_note(tmp_path: Path) -> None:
    notes, silence = Recorder(), Recorder()
    former = load_recipe(write(tmp_path / "a.toml", FORMER), progress=notes)
    present = load_recipe(write(tmp_path / "a.toml", PRESENT), progress=silence)
    assert former == present
    assert former.phases[0].selective_backprop_until == 0.8
    assert notes.lines[0] == (
        "a.toml: phases.0.shrink: this setting is called progressive_resizing now; "
        "shrink is read until 1.0"
    )
    assert len(notes.lines) == 7
    assert silence.lines == []


def test_a_renamed_setting_leaves_the_hash_as_it_was(tmp_path: Path) -> None:
    table = {"phases": [{"shrink": 0.75, "skip": 0.5}]}
    own = json.dumps(table, sort_keys=True).encode()
    assert recipe_hash(parse(Config, table)) == hashlib.sha256(own).hexdigest()
    assert recipe_hash(load_recipe("airnet94")).startswith("f825f7d93e97")


@pytest.mark.parametrize("text", [FORMER, PRESENT])
@pytest.mark.parametrize("flag", ["phases.0.skip", "phases.0.selective_backprop"])
def test_a_flag_replaces_a_setting_under_either_name(tmp_path: Path, text: str, flag: str) -> None:
    config = load_recipe(write(tmp_path / "a.toml", text), {flag: "0.1"})
    assert config.phases[0].selective_backprop == 0.1


def test_a_setting_under_both_names_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.toml", f"{FORMER}trainable = 'all'")
    with pytest.raises(ConfigError, match=r"phases\.0\.trains: found beside trainable"):
        load_recipe(path)


def test_a_mistake_under_a_former_name_is_told_by_that_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"phases\.0\.shrink: found 3\.0, expected from 0\.5"):
        load_recipe(write(tmp_path / "a.toml", "[[phases]]\nshrink = 3"))


def test_a_target_belongs_to_its_recipe_s_data_and_is_said_to_be_left_out_elsewhere() -> None:
    said = Recorder()
    assert load_recipe("digits", {"data": "pets"}, progress=said).evaluation.target is None
    (line,) = said.lines
    assert line.startswith("the recipe's target of 98 % is left out")
    for overrides in ({"data": "/elsewhere/digits"}, {"data.seed": 3}):
        assert load_recipe("digits", overrides, progress=said).evaluation.target == 0.98
    own = load_recipe("digits", {"data": "pets", "evaluation.target": 0.5}, progress=said)
    assert own.evaluation.target == 0.5
    assert len(said.lines) == 1


def test_a_mistaken_table_is_named_also_where_the_target_is_left_out() -> None:
    with pytest.raises(ConfigError, match=r"^--evaluation"):
        load_recipe("digits", {"data": "pets", "evaluation": "5"})
