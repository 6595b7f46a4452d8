"""benchmarks/step_profile.py: the parts of a step add up to it."""

from types import ModuleType

from clearsight.config.recipes import load_recipe


def test_all_parts_of_a_step_take_time(step_profile: ModuleType) -> None:
    config = load_recipe("airnet94", {"model.name": "airnet-tiny", "training.batch": 8})
    parts = step_profile.parts_of_a_step(config, 32, 2)
    assert set(parts) == set(step_profile.PARTS)
    assert all(milliseconds > 0 for milliseconds in parts.values())


def test_the_table_has_shares_and_speeds(step_profile: ModuleType) -> None:
    first, second, *others = step_profile.PARTS
    found = {24: {first: 50.0, second: 150.0, **dict.fromkeys(others, 0.0)}}
    table = step_profile.tabulated(found, 100)
    assert table["head"] == ["100 images", "24 px"]
    assert table["rows"][0] == ["choosing and augmenting", "50.0 ms (25%)"]
    assert table["rows"][-2:] == [["a step", "200 ms"], ["images per second", "500"]]
