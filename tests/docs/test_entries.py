"""Edited entries of the ledger, and those whose recipe is another by now."""

import json
from pathlib import Path
from typing import Any

import pytest

from clearsight.config.recipes import load_recipe, recipe_hash, to_table
from clearsight.files import read_json, write_json
from clearsight.ledger import record_benchmark, shipped_hash, write_entry
from tools.docs.entries import check_checksums, check_recipes


@pytest.fixture
def entry() -> dict[str, Any]:
    return {
        "kind": "runs", "recipe": "digits", "recipe_hash": shipped_hash("digits"),
        "shipped_recipe": True, "config": to_table(load_recipe("digits")),
        "accuracy": {"none": {"mean": 0.9926}},
    }  # fmt: skip


def test_an_edited_value_is_found_in_runs_and_benchmarks(
    tmp_path: Path, entry: dict[str, Any]
) -> None:
    write_entry(tmp_path / "one.json", entry)
    record_benchmark(tmp_path / "two.json", {"cores": 2}, table={"rows": [("a", "93.1 %")]})
    assert check_checksums(tmp_path) == []
    for name, old, new in (("one", "0.9926", "0.9962"), ("two", "93.1", "98.1")):
        path = tmp_path / f"{name}.json"
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new), "utf-8")
        [problem] = check_checksums(tmp_path)
        line = text[: text.index('"checksum"')].count("\n") + 1
        assert problem.startswith(f"{path}:{line}: the checksum is not that of the content")
        path.write_text(text, "utf-8")


def test_layout_and_order_of_keys_do_not_count(tmp_path: Path, entry: dict[str, Any]) -> None:
    path = tmp_path / "one.json"
    write_entry(path, entry)
    written = read_json(path)
    path.write_text(json.dumps(dict(reversed(written.items()))), "utf-8")
    assert check_checksums(tmp_path) == []


def test_an_entry_without_a_checksum_is_found(tmp_path: Path, entry: dict[str, Any]) -> None:
    write_json(tmp_path / "one.json", entry)
    [problem] = check_checksums(tmp_path)
    assert problem.startswith(f"{tmp_path / 'one.json'}:1: no checksum")


def test_a_recipe_that_changed_since_its_record_is_found(
    tmp_path: Path, entry: dict[str, Any]
) -> None:
    entry["config"] = to_table(load_recipe("digits", {"phases.0.lr": 0.3}))
    write_entry(tmp_path / "one.json", entry)
    [problem] = check_recipes(tmp_path)
    assert problem.startswith(f"{tmp_path / 'one.json'}:4: the recipe 'digits' has changed since")
    write_entry(tmp_path / "one.json", entry | {"shipped_recipe": False})
    assert check_recipes(tmp_path) == []


@pytest.mark.parametrize("shipped", [True, False])
def test_every_entry_needs_a_recipe_and_a_configuration_that_can_be_read(
    tmp_path: Path, entry: dict[str, Any], shipped: bool
) -> None:
    entry["shipped_recipe"] = shipped
    entry["config"] = to_table(load_recipe("digits", {"phases.0.lr": 0.1 if shipped else 0.3}))
    write_entry(tmp_path / "one.json", entry)
    assert check_recipes(tmp_path) == []
    write_entry(tmp_path / "one.json", entry | {"recipe": "gone"})
    assert "the recipe 'gone' is no longer shipped" in check_recipes(tmp_path)[0]
    entry["config"]["phases"][0]["optimizer"] = "sgdd"
    write_entry(tmp_path / "one.json", entry)
    [problem] = check_recipes(tmp_path)
    assert "the recorded configuration can't be read" in problem
    assert "sgdd" in problem


def test_settings_of_a_shipped_recipe_are_called_so(tmp_path: Path, entry: dict[str, Any]) -> None:
    assert recipe_hash(load_recipe("digits")) == entry["recipe_hash"]
    write_entry(tmp_path / "one.json", entry | {"shipped_recipe": False})
    assert "shipped_recipe is false, but" in check_recipes(tmp_path)[0]
