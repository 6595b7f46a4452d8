"""Nested tables under dotted names, and what differs between two."""

from clearsight.config.tables import differences, flatten


def test_tables_become_flat() -> None:
    table = {"a": 1, "b": {"c": "x", "d": None}, "e": [{"f": 2}, {"f": 3}], "g": [[1, 2]]}
    assert flatten(table) == {"a": 1, "b.c": "x", "e.0.f": 2, "e.1.f": 3, "g": "[[1, 2]]"}


def test_differences_name_the_field_and_both_values() -> None:
    before = {"a": {"b": 1, "c": None}, "d": [{"e": 1}], "f": [1, 2], "same": True}
    after = {"a": {"b": 2}, "d": [{"e": 1}, {"e": 3}], "f": [1], "same": True}
    assert differences(before, after) == {
        "a.b": (1, 2), "d.1.e": (None, 3), "f": ("[1, 2]", "[1]"),
    }  # fmt: skip
    assert differences(before, before) == {}
