from pathlib import Path

import pytest

from clearsight.config.describe import settings
from clearsight.config.recipes import load_recipe, recipe_names, to_table
from clearsight.errors import UsageError
from clearsight.files import write_json
from tools.docs.commands import command_problem, commands, generators
from tools.docs.markers import render
from tools.docs.reference import configuration, recipes


def test_every_setting_is_in_the_reference_with_its_default() -> None:
    text = configuration()
    for _, rows in settings():
        for row in rows:
            assert f"| `{row.flag}` |" in text
    assert "| `--training.batch` | INT | `512` | images per step (images) |" in text
    assert "none\\|random\\|alternating" in text


def test_every_recipe_is_shown_whole(tmp_path: Path) -> None:
    text = recipes(tmp_path)
    for name in recipe_names():
        assert f"\n## {name}\n" in text
    assert 'optimizer = "muon"' in text
    assert "No run of it is in the ledger yet." in text


def test_results_of_a_recipe_go_by_the_time_they_took(tmp_path: Path) -> None:
    for name, seconds in (("long", 600.0), ("short", 60.0)):
        scores = {"none": {"value": 0.9, "low": 0.89, "high": 0.91}}
        entry = {
            "name": name, "kind": "runs", "recipe": "digits", "n": 100,
            "config": to_table(load_recipe("digits")),
            "data": "digits", "recorded": "2025-01-02", "tta": "none",
            "runs": [{"accuracy": scores}],
            "accuracy": {"none": {"mean": 0.9}}, "seconds": {"mean": seconds},
            "hardware": {"cores": 2, "cpu": "Chip", "device": "cpu", "precision": "fp32"},
        }  # fmt: skip
        write_json(tmp_path / f"{name}.json", entry)
    text = recipes(tmp_path)
    assert text.index("| short |") < text.index("| long |")


def test_every_command_is_in_the_reference() -> None:
    text = commands()
    assert "\n## clearsight train\n" in text
    assert "\n## clearsight registry promote\n" in text
    assert "| `--seeds` | number of runs to train, with consecutive seeds | `1` |" in text
    assert "(auto, onnx, int8, torch) | `auto` |" in text
    assert "| `BUNDLE` |" in text


def test_generated_parts_are_filled_and_unknown_ones_named(tmp_path: Path) -> None:
    parts = generators(tmp_path)
    text = render("<!-- generated:commands --><!-- /generated -->", tmp_path, parts)
    assert "## clearsight train" in text
    assert render(text, tmp_path, parts) == text
    with pytest.raises(UsageError, match="'weather': no such part; there are bundle, "):
        render("<!-- generated:weather --><!-- /generated -->", tmp_path, parts)


def test_a_command_is_judged_by_its_name_flags_and_words() -> None:
    assert command_problem(["train", "airnet94", "--data.size", "64"], True) is None
    assert command_problem(["train", "--resume"], False) is None
    assert "requires an argument" in (command_problem(["train", "--resume"], True) or "")
    assert command_problem(["--version"], True) is None
    assert command_problem([], True) is not None
